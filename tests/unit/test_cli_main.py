"""Commands, exit codes, and errors in one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

from wherry import __version__
from wherry.cli.main import main
from wherry.cli.serve import welcome
from wherry.config import Config
from wherry.errors import IncompatibleDatabase


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"wherry {__version__}\n"


def test_version_imports_no_server() -> None:
    code = (
        "import sys; from wherry.cli.main import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "print({'wherry.server', 'uvicorn', 'rich', 'pydicom'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("arguments", [[], ["sail"], ["upgrade"], ["demo", "--slices", "0"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: wherry" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "upgrade"])
def test_configuration_errors_are_one_sentence(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.json").write_text('{"HttpPort": "high"}')
    assert main([command, str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f'wherry: {tmp_path}/c.json: "HttpPort" must be a whole number (1 to 65535), '
        "not a text in quotes\n"
    )


def stub(monkeypatch: pytest.MonkeyPatch, name: str, **members: object) -> None:
    module = types.ModuleType(name)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)


def test_serve_warns_and_announces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: list[Config] = []

    def serve(config: Config, announce: object, reread: object) -> int:
        served.append(config)
        assert callable(announce)
        announce("http://localhost:9/", "Beware")
        return 0

    stub(monkeypatch, "wherry.server", serve=serve)
    (tmp_path / "c.json").write_text(json.dumps({"HttpPort": 9, "Nmae": "x"}))
    assert main(["serve", str(tmp_path)]) == 0
    assert served[0].http_port == 9
    out, err = capsys.readouterr()
    assert "http://localhost:9/" in out
    assert "WARNING: Beware." in out
    assert "Warning: " in err
    assert 'did you mean "Name"?' in err


def test_errors_at_start_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def serve(config: Config, announce: object, reread: object) -> int:
        raise IncompatibleDatabase("run: wherry upgrade CONFIG")

    stub(monkeypatch, "wherry.server", serve=serve)
    assert main(["serve"]) == 2
    assert capsys.readouterr().err == "wherry: run: wherry upgrade CONFIG\n"


def test_errors_do_not_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def serve(config: Config, announce: object, reread: object) -> int:
        raise IncompatibleDatabase("said by a server: \x1b[2J\nsecond line")

    stub(monkeypatch, "wherry.server", serve=serve)
    assert main(["serve"]) == 2
    assert capsys.readouterr().err == "wherry: said by a server: �[2J\nsecond line\n"


def test_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(config: Config, announce: object, reread: object) -> int:
        raise KeyboardInterrupt

    stub(monkeypatch, "wherry.server", serve=serve)
    assert main(["serve"]) == 130


@pytest.mark.parametrize(
    ("versions", "text"), [((1, 3), "from schema 1 to 3"), ((3, 3), "nothing to do")]
)
def test_upgrade(
    versions: tuple[int, int],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stub(monkeypatch, "wherry.server", index_settings=lambda config: config.http_port)
    stub(monkeypatch, "wherry.index.opening", upgrade=lambda settings: versions)
    (tmp_path / "c.json").write_text("{}")
    assert main(["upgrade", str(tmp_path)]) == 0
    assert text in capsys.readouterr().out


def test_welcome_shows_three_commands() -> None:
    url = "http://localhost:8042/"
    text = welcome(Config(), url)
    for command in (
        f"curl {url}instances --data-binary",
        f"curl '{url}studies?expand'",
        "wherry demo",
    ):
        assert command in text
    secured = Config(authentication_enabled=True, registered_users={"alice": "secret"})
    assert "curl -u alice http" in welcome(secured, url)
    assert "secret" not in welcome(secured, url)
