from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from tests.support.asgi import http_scope
from wherry import limits
from wherry.config.passwords import HashedPassword, hash_password
from wherry.errors import Unavailable
from wherry.http.auth import USERNAME, Guard

USERS = {"alice": hash_password("s3cret").text, "bob": "plain", "ann": hash_password("x:y").text}


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The passwords whose hash was computed."""
    seen: list[bytes] = []
    verify = HashedPassword.verify

    def noting(self: HashedPassword, password: bytes) -> bool:
        seen.append(password)
        return verify(self, password)

    monkeypatch.setattr(HashedPassword, "verify", noting)
    return seen


def offering(name: str, password: str) -> dict[str, Any]:
    token = base64.b64encode(f"{name}:{password}".encode()).decode()
    return http_scope("GET", "/", {"Authorization": f"Basic {token}"})


def asked(guard: Guard, name: str, password: str) -> str | None:
    """The name of the user that was let in."""
    scope = offering(name, password)
    verdict = guard.admits(scope)
    if verdict is None:
        verdict = asyncio.run(guard.settle(scope))
    assert verdict == (USERNAME in scope)
    return scope.get(USERNAME)


def test_hashed_and_plain_users(computed: list[bytes]) -> None:
    guard = Guard(USERS, remote_access_allowed=False)
    assert asked(guard, "alice", "s3cret") == "alice"
    assert asked(guard, "bob", "plain") == "bob"
    assert asked(guard, "ann", "x:y") == "ann"
    assert computed == [b"s3cret", b"x:y"]
    for name, password in [("alice", "plain"), ("bob", "s3cret"), ("eve", "s3cret"), ("", "")]:
        assert asked(guard, name, password) is None


def test_a_hash_is_no_password() -> None:
    guard = Guard(USERS, remote_access_allowed=False)
    assert asked(guard, "alice", USERS["alice"]) is None


def test_a_hash_is_computed_once(computed: list[bytes]) -> None:
    guard = Guard(USERS, remote_access_allowed=False)
    for _ in range(3):
        assert asked(guard, "alice", "s3cret") == "alice"
        assert asked(guard, "alice", "wrong") is None
    assert computed == [b"s3cret", b"wrong"]


def test_an_unknown_name_costs_as_much_as_a_known_one(computed: list[bytes]) -> None:
    guard = Guard(USERS, remote_access_allowed=False)
    assert asked(guard, "eve", "guess") is None
    assert asked(guard, "bob", "guess") is None
    assert computed == [b"guess", b"guess"]


def test_guesses_do_not_push_out_who_is_known(
    computed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PASSWORDS_REMEMBERED", 2)
    guard = Guard(USERS, remote_access_allowed=False)
    assert asked(guard, "alice", "s3cret") == "alice"
    for number in range(4):
        assert asked(guard, "eve", f"{number}") is None
    computed.clear()
    assert asked(guard, "alice", "s3cret") == "alice"
    assert computed == []
    assert asked(guard, "eve", "0") is None
    assert computed == [b"0"]


def test_too_many_guesses_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PASSWORDS_WAITING", 2)
    guard = Guard(USERS, remote_access_allowed=False)

    async def guess() -> list[Any]:
        tries = (guard.settle(offering("eve", f"{number}")) for number in range(4))
        return await asyncio.gather(*tries, return_exceptions=True)

    outcomes = asyncio.run(guess())
    assert outcomes[:2] == [False, False]
    assert [type(outcome) for outcome in outcomes[2:]] == [Unavailable, Unavailable]
    assert asked(guard, "alice", "s3cret") == "alice"
