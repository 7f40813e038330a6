"""What a sender learns of the end of its transfer while it waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import orjson
import pytest

from wherry import limits
from wherry.errors import BadFileFormat, PeerUnavailable
from wherry.transfers.stages import Stage, read_stage, watched

COMMITTING = Stage("Committing", 3, 20)


@pytest.mark.parametrize("stage", [COMMITTING, Stage("Verifying", 0, 1), Stage("Committing")])
def test_what_one_end_tells_the_other_reads(stage: Stage) -> None:
    assert read_stage(orjson.dumps({"State": "open", **stage.told()})) == stage


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ({}, None),
        ({"Stage": None}, None),
        ({"Stage": ["Committing"]}, None),
        ({"Stage": "Dancing", "StageDone": 1, "StageTotal": 2}, None),
        ({"Stage": "Verifying", "StageDone": "1", "StageTotal": 2}, Stage("Verifying")),
        ({"Stage": "Verifying", "StageDone": 3, "StageTotal": 2}, Stage("Verifying")),
        ({"Stage": "Verifying", "StageDone": -1, "StageTotal": 2}, Stage("Verifying")),
    ],
)
def test_nonsense_of_a_peer_is_left_out(told: object, read: Stage | None) -> None:
    assert read_stage(orjson.dumps(told)) == read


@pytest.mark.parametrize("answer", [b"", b"no JSON", b"[]"])
def test_what_is_no_answer(answer: bytes) -> None:
    with pytest.raises(BadFileFormat):
        read_stage(answer)


def test_a_peer_is_looked_at_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not answer is asked again; what is answered behind the end is not told."""
    monkeypatch.setattr(limits, "STAGE_LOOK_S", 0.001)
    told: list[Stage] = []
    seen, late, ended, last = (threading.Event() for _ in range(4))

    def answers() -> Iterator[Stage | None]:
        yield None
        yield COMMITTING
        late.set()
        ended.wait(30)
        yield Stage("Committing", 20, 20)

    stages = answers()
    failed: list[None] = []

    def ask() -> Stage | None:
        if not failed:
            failed.append(None)
            raise PeerUnavailable("it is not there")
        try:
            return next(stages)
        except StopIteration:
            raise AssertionError("asked behind the end") from None
        finally:
            if ended.is_set():
                last.set()

    def tell(stage: Stage) -> None:
        told.append(stage)
        seen.set()

    with watched(ask, tell):
        assert seen.wait(30)
        assert late.wait(30)
    ended.set()
    assert last.wait(30)
    assert told == [COMMITTING]
