"""``wherry adopt --from ORTHANC_CONFIG``: take over the store of an Orthanc, in place."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wherry import limits
from wherry.cli.filling import add_groups, bar, count
from wherry.cli.options import add_configuration, read_configuration

if TYPE_CHECKING:
    from rich.console import Console

    from wherry.config import Config
    from wherry.index.database import Index
    from wherry.index.orthanc.reading import OrthancIndex
    from wherry.replication.filecheck import FileCheck
    from wherry.replication.report import Group
    from wherry.replication.survey import Survey

_MEGABYTE = 1_000_000


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "adopt",
        help="take over the store of a stopped Orthanc, in place",
        description="Take over the store of a stopped Orthanc: its index is copied into Wherry's, "
        "its files stay where they are. The index of the Orthanc is not changed, so that one can "
        "go back. CONFIG: what is added to the configuration of the Orthanc for Wherry, for "
        "instance an index in PostgreSQL. What is adopted already is not adopted again.",
    )
    parser.add_argument(
        "--from",
        dest="original",
        metavar="ORTHANC_CONFIG",
        action="append",
        required=True,
        type=Path,
        help="the configuration of the Orthanc, a file or a folder; may be given several times",
    )
    add_configuration(parser, required=False)
    parser.add_argument(
        "--dry-run", action="store_true", help="look at all of it, and change nothing"
    )
    parser.add_argument(
        "--accept-losses", action="store_true", help="adopt although something would be lost"
    )
    parser.add_argument(
        "--check", action="store_true", help="afterwards, look whether every file is there"
    )
    parser.add_argument(
        "--verify", action="store_true", help="afterwards, compare every file with its digest"
    )
    parser.add_argument(
        "--connections",
        type=count,
        default=limits.REPLICATION_CONNECTIONS,
        metavar="N",
        help=f"files that are read at once (default: {limits.REPLICATION_CONNECTIONS})",
    )
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Adopt; 1 when something would be lost, or is not as it should be."""
    from rich.console import Console

    from wherry.index.orthanc.opening import orthanc_index
    from wherry.replication.adoption import check_original

    idle = check_original(parsed.original, parsed.configuration, os.environ)
    parsed.configuration = [*parsed.original, *parsed.configuration]
    config = read_configuration(parsed)
    console = Console()
    with orthanc_index(config.index_directory) as source:
        return _adopt(parsed, config, console, source, idle)


def _adopt(
    parsed: argparse.Namespace,
    config: Config,
    console: Console,
    source: OrthancIndex,
    idle: list[str],
) -> int:
    from wherry.index.opening import is_made, open_index
    from wherry.replication.adoption import adopted, check_empty
    from wherry.replication.survey import Survey
    from wherry.server import index_settings

    if parsed.dry_run and (parsed.check or parsed.verify):
        words = "a dry run does not check: --check and --verify look at files after adopting"
        print("wherry:", words, file=sys.stderr)
    settings = index_settings(config)
    before = None
    if is_made(settings):
        index = open_index(settings)
        try:
            before = adopted(index)
            if before is None:
                check_empty(index)
        finally:
            index.close()
    survey, changed = None, False
    if before is None:
        survey = Survey(config, source, idle=idle)
        with bar(console, "Looking", survey.resources, size=False) as progress:
            survey.run(progress)
        _show(console, survey)
        lost = survey.report.failures > 0
        if parsed.dry_run or (lost and not parsed.accept_losses):
            _say_whether(survey, dry_run=parsed.dry_run)
            return int(lost)
    else:
        print(f"This index was adopted already, at {before.get('At')}.")
        changed = before.get("Fingerprint") != source.fingerprint()
        if changed:
            words = "the Orthanc has changed since: bring what is new with wherry replicate"
            print("wherry:", words, file=sys.stderr)
        if parsed.dry_run:
            return int(changed)
    index = open_index(settings)
    try:
        return _carry_out(parsed, config, console, source, index, survey) or int(changed)
    finally:
        index.close()


def _carry_out(
    parsed: argparse.Namespace,
    config: Config,
    console: Console,
    source: OrthancIndex,
    index: Index,
    survey: Survey | None,
) -> int:
    from wherry import clock
    from wherry.metrics import Metrics
    from wherry.replication.adoption import adopt
    from wherry.replication.filecheck import FileCheck
    from wherry.server import open_storage

    if survey is not None:
        with bar(console, "Adopting", survey.resources, size=False) as progress:
            adopt(index, config, source, survey, progress)
    storage = open_storage(config, index, clock.new_uuid(), Metrics()).area
    try:
        files = FileCheck(index, storage, parsed.connections)
        if missing := files.unfinished():
            with bar(console, "Reading what the index did not know", missing, size=False) as step:
                files.finish(step)
        if parsed.check or parsed.verify:
            with bar(console, "Checking", files.count(), size=False) as progress:
                files.check(progress, digests=parsed.verify)
        _show_files(console, files)
    finally:
        storage.close()
    names = " ".join(str(path) for path in parsed.configuration)
    print(
        f"Serve it with:  wherry serve {names}\n"
        "These files are the whole configuration; the warnings above say what is different.\n"
        "To go back, stop Wherry and start the Orthanc: its index is as it was."
    )
    return int(files.report.failures > 0)


# --- what is shown ---------------------------------------------------------------------------
def _show(console: Console, survey: Survey) -> None:
    from rich.table import Table

    table = Table(title="To adopt")
    table.add_column("")
    table.add_column("number", justify="right")
    for what, number in survey.counts.items():
        if what == "bytes":
            table.add_row("megabytes", f"{number / _MEGABYTE:.1f}")
        else:
            table.add_row(what, str(number))
    console.print(table)
    _show_groups(console, "To know", survey.report.skipped)
    _show_groups(console, "WOULD BE LOST", survey.report.failed)


def _show_files(console: Console, files: FileCheck) -> None:
    if files.report.there:
        print(f"{files.report.there} files are as they should be.")
    _show_groups(console, "NOT AS THEY SHOULD BE", files.report.failed)


def _show_groups(console: Console, title: str, groups: dict[str, Group]) -> None:
    from rich.table import Table

    if not groups:
        return
    table = Table(title=title)
    table.add_column("")
    table.add_column("number", justify="right")
    table.add_column("for instance", overflow="fold")
    add_groups(table, groups)
    console.print(table)


def _say_whether(survey: Survey, *, dry_run: bool) -> None:
    if not survey.report.failures:
        objects = survey.objects
        looked = f"objects were looked at by sample ({objects.looked_at} of {objects.count})"
        print(
            f"Nothing would be lost{f'; {looked}' if objects.count else ''}. Nothing was changed."
        )
        return
    advice = "" if dry_run else "; --accept-losses adopts all the same"
    print(f"wherry: something would be lost. Nothing was changed{advice}", file=sys.stderr)
