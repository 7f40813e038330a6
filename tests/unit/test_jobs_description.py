"""The job object of REST (jobs.md §2)."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from wherry import errors
from wherry.jobs.description import describe, error_description
from wherry.model import Job, JobState

BORN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
NOW = datetime(2026, 1, 2, 3, 5, 0, tzinfo=UTC)
RUNNING = Job(
    id="11111111-2222-3333-4444-555555555555",
    type="PushTransfer",
    state=JobState.RUNNING,
    priority=-3,
    parameters={"Peer": "ward"},
    content={"TotalInstances": 20},
    checkpoint={"secret": 1},
    progress=0.25,
    created_at=BORN,
    changed_at=NOW - timedelta(seconds=2),
    runtime_s=4.0004,
    owner="process",
    requested="pause",
    username="alice",
)


def test_a_running_job() -> None:
    assert describe(RUNNING, NOW) == {
        "Content": {"TotalInstances": 20},
        "CreationTime": "20260102T030405.678901",
        "EffectiveRuntime": 6.0,
        "ErrorCode": 0,
        "ErrorDescription": "Success",
        "ErrorDetails": "",
        "EstimatedTimeOfArrival": "20260102T030518.001200",
        "ID": "11111111-2222-3333-4444-555555555555",
        "Priority": -3,
        "Progress": 25,
        "State": "Running",
        "Timestamp": "20260102T030500",
        "Type": "PushTransfer",
    }


@pytest.mark.parametrize("state", [JobState.SUCCESS, JobState.FAILURE])
def test_an_ended_job_tells_when_and_stands_still(state: JobState) -> None:
    ended = dataclasses.replace(RUNNING, state=state, completed_at=NOW, error_code=37)
    told = describe(ended, NOW + timedelta(hours=1))
    assert told["CompletionTime"] == "20260102T030500"
    assert told["EffectiveRuntime"] == 4.0
    assert told["ErrorDescription"] == "This job was canceled"
    assert "EstimatedTimeOfArrival" not in told


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.PAUSED, JobState.RETRY])
def test_a_waiting_job_stands_still(state: JobState) -> None:
    told = describe(dataclasses.replace(RUNNING, state=state), NOW)
    assert told["EffectiveRuntime"] == 4.0
    assert not {"CompletionTime", "EstimatedTimeOfArrival"} & told.keys()


@pytest.mark.parametrize(
    ("progress", "shown"), [(0, 0), (0.004, 0), (0.005, 1), (2 / 3, 67), (1, 100)]
)
def test_progress_is_a_rounded_percentage(progress: float, shown: int) -> None:
    told = describe(dataclasses.replace(RUNNING, progress=progress), NOW)
    assert told["Progress"] == shown
    assert type(told["Progress"]) is int
    assert ("EstimatedTimeOfArrival" in told) == (progress > 0.01)


def test_a_clock_behind_does_not_shorten_the_runtime() -> None:
    told = describe(RUNNING, NOW - timedelta(hours=1))
    assert told["EffectiveRuntime"] == 4.0


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "Success"),
        (-1, "Internal error"),
        (6, "Bad sequence of calls"),
        (8, "Bad request"),
        (9, "Error in the network protocol"),
        (36, "The database is currently not available (probably a transient situation)"),
        (37, "This job was canceled"),
        (424242, "Unknown error code"),
    ],
)
def test_error_description(code: int, text: str) -> None:
    assert error_description(code) == text


def test_every_error_has_a_description() -> None:
    found = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    kinds = [kind for kind in found if issubclass(kind, errors.WherryError)]
    assert len(kinds) > 20
    for kind in kinds:
        assert error_description(kind.code) != "Unknown error code"
