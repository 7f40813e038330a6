"""Says what is wrong with an archive: its members against the files that were uploaded, by SHA-256,
with Python's ``zipfile``; and whether ``unzip`` and ``zipinfo`` of Info-ZIP accept it.

Not here: where the archive comes from (``archives``).
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Final

DICOMDIR: Final = "DICOMDIR"
TOOLS: Final = (("unzip", "-tq"), ("zipinfo",))
_PIECE_BYTES: Final = 1 << 20


def faults(archive: Path, uploaded: Iterable[Path], *, media: bool = False) -> list[str]:
    """Empty when it holds these files and no others, and all tools accept it."""
    found = []
    expected = Counter(map(_digest_of, uploaded))
    try:
        with zipfile.ZipFile(archive) as opened:
            names = opened.namelist()
            if len(set(names)) < len(names):
                found.append("two members of one name")
            if media and DICOMDIR not in names:
                found.append("no DICOMDIR")
            members = [name for name in names if not (media and name == DICOMDIR)]
            digests = Counter(_member_digest(opened, name) for name in members)
    except (zipfile.BadZipFile, OSError) as error:
        return [*found, f"zipfile: {error}"]
    for word, counted in (("missing", expected - digests), ("foreign", digests - expected)):
        if counted:
            found.append(f"{counted.total()} files {word}")
    return found + [fault for command in TOOLS if (fault := _refusal(command, archive))]


def _refusal(command: Sequence[str], archive: Path) -> str:
    """What the tool says, if it does not accept the archive."""
    if shutil.which(command[0]) is None:
        return f"{command[0]} is not installed (Debian: apt-get install unzip)"
    done = subprocess.run([*command, str(archive)], capture_output=True, check=False)
    if done.returncode == 0:
        return ""
    return f"{command[0]}: {done.returncode} {(done.stderr or done.stdout)[-200:]!r}"


def _member_digest(archive: zipfile.ZipFile, name: str) -> str:
    with archive.open(name) as file:
        return _digest(file)


@cache
def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return _digest(file)


def _digest(file: IO[bytes]) -> str:
    known = hashlib.sha256()
    while piece := file.read(_PIECE_BYTES):
        known.update(piece)
    return known.hexdigest()
