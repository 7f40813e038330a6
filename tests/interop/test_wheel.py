"""The wheel is complete: installed with pip into an empty environment, it can demonstrate."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "WHERRY", "ORTHANC"))
    }
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environ, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = run(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder
    )
    if built.returncode:
        pytest.skip(f"pip cannot build here: {built.stderr.strip()[-200:]}")
    (found,) = folder.glob("*.whl")
    return found


def test_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    sources = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "wherry").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert sources <= set(names)
    assert "wherry/py.typed" in names
    assert {name.partition("/")[0] for name in names} == {"wherry", "wherry-0.1.0.dist-info"}


@pytest.mark.timeout(600)
def test_installed_alone_it_demonstrates(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    programs = tmp_path / "venv" / "bin"
    installed = run(programs / "pip", "install", "--quiet", wheel, cwd=tmp_path)
    if installed.returncode:
        pytest.skip(f"pip cannot install here: {installed.stderr.strip()[-200:]}")
    shown = run(programs / "wherry", "demo", "--slices", "10", "--frames", "2", cwd=tmp_path)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "verified: 11 of 11 instances identical" in shown.stdout
    assert list(tmp_path.glob("*")) == [tmp_path / "venv"]
