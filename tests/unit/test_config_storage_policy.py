"""``Wherry.StoragePolicy`` as it is read, and what is refused."""

from __future__ import annotations

import json
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from wherry.config import Config, load
from wherry.config.links import Span
from wherry.config.storage_policy import StoragePolicy
from wherry.errors import ConfigurationError

BUCKET = {"BucketName": "b", "Region": "r", "HybridMode": "WriteToFileSystem"}


def read(folder: Path, policy: Any, **others: Any) -> Config:
    path = folder / "c.json"
    path.write_text(json.dumps({"Wherry": {"StoragePolicy": policy}, **others}))
    return load([path], {})[0]


def test_nothing_moves_by_default(tmp_path: Path) -> None:
    assert read(tmp_path, {}).wherry.storage_policy == StoragePolicy()
    assert not StoragePolicy().takes_away


def test_all_of_it(tmp_path: Path) -> None:
    policy = {
        "MoveAfterDays": 30,
        "KeepLocalGB": 2,
        "MoveWhenStable": True,
        "PrefetchWithNewStudy": True,
        "Interval": 5,
        "From": "22:00",
        "To": "06:30",
    }
    assert read(tmp_path, policy, AwsS3Storage=BUCKET).wherry.storage_policy == StoragePolicy(
        30, 2 * 1024**3, True, 300, True, Span(time(22), time(6, 30))
    )


@pytest.mark.parametrize(
    ("policy", "word"),
    [
        (1, "object"),
        ({"MoveAfterWeeks": 1}, "MoveAfterWeeks"),
        ({"MoveAfterDays": -1}, "MoveAfterDays"),
        ({"KeepLocalGB": "2"}, "KeepLocalGB"),
        ({"PrefetchWithNewStudy": 1}, "PrefetchWithNewStudy"),
        ({"MoveWhenStable": 1}, "MoveWhenStable"),
        ({"Interval": 0}, "Interval"),
        ({"From": "22:00"}, "To"),
        ({"From": "22:00", "To": "6"}, "To"),
    ],
)
def test_what_is_refused(tmp_path: Path, policy: Any, word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        read(tmp_path, policy, AwsS3Storage=BUCKET)


@pytest.mark.parametrize("others", [{}, {"AwsS3Storage": BUCKET | {"HybridMode": "Disabled"}}])
def test_it_takes_two_stores(tmp_path: Path, others: Any) -> None:
    with pytest.raises(ConfigurationError, match="HybridMode"):
        read(tmp_path, {"MoveAfterDays": 1}, **others)
