from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path

import pytest

from wherry.cli.main import main
from wherry.config import load
from wherry.config.passwords import hash_password, looks_hashed, parse
from wherry.errors import ConfigurationError

# RFC 7914 §12 (scrypt: "pleaseletmein", "SodiumChloride")
SCRYPT = (
    "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$"
    "cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw"
)


def test_the_vectors_of_the_standards() -> None:
    assert parse(SCRYPT).verify(b"pleaseletmein")
    assert not parse(SCRYPT).verify(b"pleaseletmeout")
    assert parse(SCRYPT).text == SCRYPT


def test_pbkdf2() -> None:
    for scheme, algorithm in (("pbkdf2-sha256", "sha256"), ("pbkdf2-sha512", "sha512")):
        digest = hashlib.pbkdf2_hmac(algorithm, "é:x".encode(), b"saltsalt", 2000)
        text = "".join(
            [
                f"${scheme}$i=2000$",
                base64.b64encode(b"saltsalt").decode().rstrip("="),
                "$",
                base64.b64encode(digest).decode().rstrip("=").replace("+", "."),
            ]
        )
        assert parse(text).verify("é:x".encode())
        assert not parse(text).verify(b"x")


def test_a_password_has_another_hash_each_time() -> None:
    one, other = hash_password("secret"), hash_password("secret")
    assert one.text != other.text
    assert parse(one.text).verify(b"secret")
    assert looks_hashed(one.text)
    assert not looks_hashed("secret$scrypt$")


@pytest.mark.parametrize(
    "text",
    [
        "$scrypt$",
        "$scrypt$ln=15,r=8$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=15,r=8,p=1,x=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=99,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=20,r=32,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=x,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=15,r=8,p=1$c2FsdHNhbHQ$aGFzaA",
        "$scrypt$ln=15,r=8,p=1$c2FsdHNhbHQ$====",
        "$pbkdf2-sha256$i=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$pbkdf2-sha256$i=99999999999$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
    ],
)
def test_what_begins_like_a_hash_must_be_one(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        parse(text)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"RegisteredUsers": {"alice": text}}))
    with pytest.raises(ConfigurationError, match="alice") as raised:
        load([path], {})
    assert text not in str(raised.value)


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("s3cret é\r\n"))
    assert main(["hash-password"]) == 0
    assert parse(capsys.readouterr().out.strip()).verify("s3cret é".encode())
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert main(["hash-password"]) == 2
