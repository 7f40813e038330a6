"""``wherry import FOLDER… --to URL``: every DICOM file of a folder into a server."""

from __future__ import annotations

import argparse
from pathlib import Path

from wherry.cli.filling import add_connections, bar, carry_out, remote
from wherry.errors import ConfigurationError


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "import",
        help="bring a folder of DICOM files into a server",
        description="Bring every DICOM file of a folder, also those in ZIP archives, into a "
        "running server, a Wherry or an Orthanc. What is there already is compared and not sent "
        "again: run it again after a stop. User and password stand in the address or in "
        "WHERRY_TO_USERNAME and WHERRY_TO_PASSWORD.",
    )
    parser.add_argument("folders", metavar="FOLDER", nargs="+", type=Path)
    parser.add_argument("--to", required=True, metavar="URL", help="http://user:pw@host:8042/")
    add_connections(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Import; 1 when anything that should be there is not."""
    from rich.console import Console

    from wherry.replication.folder import measure
    from wherry.replication.importing import FolderImport

    for folder in parsed.folders:
        if not folder.exists():
            raise ConfigurationError(f"there is no {folder}")
    console = Console()
    with remote(parsed.to, "TO", parsed.cacert) as target:
        target.count()
        with console.status("Looking at what there is"):
            total = sum(measure(folder)[1] for folder in parsed.folders)
        work = FolderImport(target, parsed.folders, connections=parsed.connections)
        shown = bar(console, f"To {target.name}", total, size=True)
        return carry_out(console, shown, work.run, work.report, "imported")
