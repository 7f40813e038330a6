"""``wherry demo``: two servers, one study, carried over and compared byte for byte.

study    makes the DICOM files, one at a time
servers  two ``wherry serve`` processes in a temporary folder
client   the few HTTP calls
journey  upload, send, verify
show     progress bars and the summary
"""

from __future__ import annotations

import argparse


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "demo",
        help="watch a study travel between two servers on this machine",
        description="Start two servers, make a study, send it from one to the other and "
        "compare every byte at the end.",
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave both servers running until Ctrl-C"
    )
    parser.add_argument(
        "--slices",
        type=_count,
        default=200,
        metavar="N",
        help="CT slices of 512x512 pixels, 0.5 MB each (default: 200)",
    )
    parser.add_argument(
        "--frames",
        type=_count,
        default=64,
        metavar="N",
        help="frames of the enhanced multi-frame CT, 0.5 MB each (default: 64)",
    )
    parser.add_argument(
        "--compression",
        choices=("none", "gzip"),
        default="none",
        help="how the bytes travel (default: none)",
    )
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Run the demonstration; 1 when anything differs."""
    from wherry.cli.demo.journey import Plan, demonstrate

    return demonstrate(
        Plan(
            slices=parsed.slices,
            frames=parsed.frames,
            compression=parsed.compression,
            keep=parsed.keep,
        )
    )


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 10_000:
        raise argparse.ArgumentTypeError("must be between 1 and 10000")
    return number
