"""``wherry serve [CONFIG…]``: run the server until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import logging
import sys

from wherry import __version__
from wherry.cli.options import add_configuration, read_configuration
from wherry.config import Config

_LOG_FORMAT = "%(asctime)s %(levelname).1s %(name)s: %(message)s"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "serve",
        help="run the server",
        description="Run the server. Without CONFIG it keeps everything in the folder "
        "WherryStorage and answers this machine only.",
    )
    add_configuration(parser, required=False)
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Serve."""
    logging.basicConfig(
        level=logging.DEBUG if parsed.verbose else logging.INFO,
        format=_LOG_FORMAT,
        stream=sys.stderr,
    )
    config = read_configuration(parsed)
    from wherry.server import serve

    return serve(config, lambda url: print(welcome(config, url), flush=True))


def welcome(config: Config, url: str) -> str:
    """What a newcomer sees first: the address and what to try next."""
    user = f" -u {next(iter(config.registered_users))}" if config.authentication_enabled else ""
    index = "PostgreSQL" if config.postgresql else f"SQLite in {config.index_directory}"
    return f"""
Wherry {__version__} answers at {url}
  files in {config.storage_directory}
  index: {index}

Try next:
  curl{user} {url}instances --data-binary @image.dcm     store an image
  curl{user} {url}studies?expand                         see what is there
  wherry demo                                            watch a study travel between two servers

Ctrl-C stops it.
"""
