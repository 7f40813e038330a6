"""What several commands share: the configuration argument, and reading it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from wherry.config import Config, load


def add_configuration(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add ``[CONFIG…]``."""
    parser.add_argument(
        "configuration",
        metavar="CONFIG",
        nargs="+" if required else "*",
        type=Path,
        help="a JSON file in Orthanc's format, or a folder of them; several are merged",
    )


def read_configuration(parsed: argparse.Namespace) -> Config:
    """Load it and print its warnings. Raises ``ConfigurationError``."""
    config, warnings = load(parsed.configuration, os.environ)
    for warning in warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    return config
