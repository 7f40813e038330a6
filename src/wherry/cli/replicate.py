"""``wherry replicate FROM TO``: every instance of one server into another."""

from __future__ import annotations

import argparse

from wherry.cli.filling import add_connections, bar, carry_out, remote


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "replicate",
        help="copy every instance of one server to another",
        description="Copy every instance of one running server to another, study by study, "
        "through this machine; each may be a Wherry or an Orthanc. What is there already is "
        "compared and not sent again: run it again after a stop. Users and passwords stand in the "
        "addresses or in WHERRY_FROM_USERNAME, WHERRY_FROM_PASSWORD, WHERRY_TO_USERNAME and "
        "WHERRY_TO_PASSWORD.",
    )
    parser.add_argument("source", metavar="FROM", help="http://user:pw@host:8042/")
    parser.add_argument("target", metavar="TO")
    add_connections(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Copy; 1 when anything that should be there is not."""
    from rich.console import Console

    from wherry.replication.copying import ServerCopy

    console = Console()
    with (
        remote(parsed.source, "FROM", parsed.cacert) as source,
        remote(parsed.target, "TO", parsed.cacert) as target,
    ):
        total = source.count()
        target.count()
        work = ServerCopy(source, target, connections=parsed.connections)
        shown = bar(console, f"{source.name} to {target.name}", total, size=False)
        return carry_out(console, shown, work.run, work.report, "copied")
