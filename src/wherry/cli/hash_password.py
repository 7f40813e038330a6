"""``wherry hash-password``: what to write into ``RegisteredUsers`` in the place of a password.

Reads the password from the terminal, or from standard input when that is none; never from the
command line, which every user of the machine can see.
"""

from __future__ import annotations

import argparse
import getpass
import sys

from wherry.config.passwords import hash_password
from wherry.errors import ConfigurationError


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "hash-password",
        help="hash a password for RegisteredUsers",
        description="Ask for a password and print its hash, which RegisteredUsers takes in the "
        "place of the password. Without a terminal the password is the first line of the input.",
    )
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Print the hash."""
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise ConfigurationError("The two passwords differ")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise ConfigurationError("The password is empty")
    print(hash_password(password).text)
    return 0
