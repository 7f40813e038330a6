"""``wherry upgrade CONFIG``: bring the index to the schema of this version."""

from __future__ import annotations

import argparse

from wherry.cli.options import add_configuration, read_configuration


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "upgrade",
        help="bring the index of a stopped server to the schema of this version",
        description="Bring the index to the schema of this version. Stop every server that "
        "uses it, and make a backup, before.",
    )
    add_configuration(parser, required=True)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Upgrade."""
    config = read_configuration(parsed)
    from wherry.index.opening import upgrade
    from wherry.server import index_settings

    old, new = upgrade(index_settings(config))
    if old == new:
        print(f"The index has schema {new} already; nothing to do.")
    else:
        print(f"The index went from schema {old} to {new}.")
    return 0
