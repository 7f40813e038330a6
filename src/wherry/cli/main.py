"""``wherry``: find the command, run it, turn errors into one sentence and an exit code.

0 = done, 1 = the command ran and says no, 2 = it could not start, 130 = stopped with Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from wherry import __version__
from wherry.cli import (
    adopt,
    demo,
    hash_password,
    import_folder,
    jobs,
    replicate,
    rotate_keys,
    serve,
    upgrade,
    verify,
)
from wherry.cli.filling import printable
from wherry.errors import WherryError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``wherry`` with these arguments (default: those of the process); the exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except WherryError as error:
        print("wherry:", printable(str(error), keep="\n"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wherry",
        description="A DICOM server that carries whole studies between sites: "
        "fast, verified, all or nothing.",
    )
    parser.add_argument("--version", action="version", version=f"wherry {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (
        serve,
        upgrade,
        adopt,
        rotate_keys,
        import_folder,
        replicate,
        jobs,
        verify,
        hash_password,
        demo,
    ):
        command.add_parser(commands)
    return parser
