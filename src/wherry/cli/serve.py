"""``wherry serve [CONFIG…]``: run the server until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from wherry import __version__, logs
from wherry.cli.options import add_configuration, read_configuration
from wherry.config import Config
from wherry.logs import Verbosity

_LOG_FORMAT = "%(asctime)s %(levelname).1s %(name)s: %(message)s"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "serve",
        help="run the server",
        description="Run the server. Without CONFIG it keeps everything in the folder "
        "WherryStorage, answers this machine only over HTTP, and takes DICOM at port 4242.",
    )
    add_configuration(parser, required=False)
    parser.add_argument(
        "--no-jobs",
        action="store_true",
        help='cancel the jobs that wait since an earlier run (as "SaveJobs": false)',
    )
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Serve."""
    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT, stream=sys.stderr)
    logging.addLevelName(logs.TRACE, "TRACE")
    logs.set_verbosity(Verbosity.VERBOSE if parsed.verbose else Verbosity.DEFAULT)
    config = _configuration(parsed)
    from wherry.server import serve

    def announce(url: str, notice: str) -> None:
        print(welcome(config, url, notice), flush=True)

    return serve(config, announce, lambda: _configuration(parsed))


def _configuration(parsed: argparse.Namespace) -> Config:
    config = read_configuration(parsed)
    return replace(config, save_jobs=False) if parsed.no_jobs else config


def welcome(config: Config, url: str, notice: str = "") -> str:
    """What a newcomer sees first: the address and what to try next; before that, ``notice``."""
    user = f" -u {next(iter(config.registered_users))}" if config.authentication_enabled else ""
    index = "PostgreSQL" if config.postgresql else f"SQLite in {config.index_directory}"
    tries = {
        f"curl{user} {url}instances --data-binary @image.dcm": "store an image",
        f"curl{user} '{url}studies?expand'": "see what is there",
        f"{_program()} demo": "watch a study travel between two servers",
    }
    width = max(map(len, tries))
    lines = "\n".join(f"  {command:<{width}}   {what}" for command, what in tries.items())
    loud = f"\nWARNING: {notice}.\n" if notice else ""
    return f"""{loud}
Wherry {__version__} answers at {url}
  {_modalities(config)}
  files in {config.storage_directory}
  index: {index}

Try next:
{lines}

Ctrl-C stops it.
"""


def _modalities(config: Config) -> str:
    if not config.dimse.server_enabled:
        return "DICOM: off (DicomServerEnabled)"
    where = config.wherry.dicom_bind_address or "every interface"
    tls = " over TLS" if config.dimse.tls_enabled else ""
    return f"DICOM: {config.dicom_aet} at port {config.dicom_port} of {where}{tls}"


def _program() -> str:
    """What to type for ``wherry`` in this shell."""
    if shutil.which("wherry"):
        return "wherry"
    started = Path(sys.argv[0])
    return str(started) if started.name == "wherry" else f"{sys.executable} -m wherry"
