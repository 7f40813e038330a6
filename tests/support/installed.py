"""Servers of others that no distribution packages: installed once, into the user's cache.

Each lies in a folder of its own that is named by its version, so that several checkouts and test
processes share it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

_TIMEOUT_S = 300


@cache
def python_packages(name: str, *requirements: str) -> Path:
    """The ``bin`` of a virtual environment with these packages. Skips the test when they cannot be
    had."""
    folder = _folder(name)
    commands = (
        (sys.executable, "-m", "venv", "--clear", folder),
        (folder / "bin" / "python", "-m", "pip", "install", "--quiet", *requirements),
    )
    _install(name, folder, commands)
    return folder / "bin"


@cache
def node_packages(name: str, *requirements: str) -> Path:
    """The folder of the programs of these packages. Skips the test when they cannot be had."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"without npm (apt install npm): no {name}")
    folder = _folder(name)
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--silent")
    _install(name, folder, ((npm, "install", "--prefix", folder, *options, *requirements),))
    return folder / "node_modules" / ".bin"


def _folder(name: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "wherry-tests" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _install(name: str, folder: Path, commands: Sequence[Sequence[object]]) -> None:
    done = folder.with_name(f"{name}.installed")
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists():
            return
        for command in commands:
            try:
                subprocess.run(
                    [str(part) for part in command],
                    check=True,
                    capture_output=True,
                    stdin=subprocess.DEVNULL,
                    timeout=_TIMEOUT_S,
                )
            except (OSError, subprocess.SubprocessError) as error:
                said = getattr(error, "stderr", None) or b""
                pytest.skip(f"{name} could not be installed: {said.decode()[-200:] or error}")
        done.touch()
