"""``Wherry.Webhooks``: what is read, what is refused, and that secrets are never shown."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from wherry.config import Config, load
from wherry.config.webhooks import Webhook
from wherry.errors import ConfigurationError
from wherry.model import ChangeType, JobState

PLAIN = "a secret of thirty-one letters."
ENTRY = {"Url": "https://host:8443/told?token=hidden", "Events": ["StudyReceived"], "Secret": PLAIN}


def read(tmp_path: Path, *entries: Any) -> tuple[Config, list[str]]:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"Wherry": {"Webhooks": list(entries)}}))
    return load([path], {})


def test_what_an_entry_says(tmp_path: Path) -> None:
    config, warnings = read(tmp_path, ENTRY)
    assert warnings == []
    assert config.wherry.webhooks == (
        Webhook(
            name="host:8443",
            url=ENTRY["Url"],  # type: ignore[arg-type]
            secret=PLAIN.encode(),
            changes=frozenset({ChangeType.StudyReceived}),
        ),
    )
    encoded = "whsec_" + base64.b64encode(bytes(24)).decode()
    more = {"Name": "pacs", "Secret": encoded, "Headers": {"X-Room": "1"}, "Timeout": 3}
    (webhook,) = read(tmp_path, ENTRY | more)[0].wherry.webhooks
    assert (webhook.name, webhook.secret, webhook.timeout_s) == ("pacs", bytes(24), 3)
    assert webhook.http_headers == {"X-Room": "1"}


def test_events(tmp_path: Path) -> None:
    names = ["JobFailure", "StableStudy", "NewPatient"]
    (webhook,) = read(tmp_path, ENTRY | {"Events": names})[0].wherry.webhooks
    assert webhook.changes == {ChangeType.StableStudy, ChangeType.NewPatient}
    assert webhook.job_states == {JobState.FAILURE}
    (webhook,) = read(tmp_path, ENTRY | {"Events": ["NewStudy", "*"]})[0].wherry.webhooks
    assert webhook.changes == set(ChangeType)
    assert webhook.job_states == {JobState.SUCCESS, JobState.FAILURE}


def test_an_unknown_key_is_reported(tmp_path: Path) -> None:
    _, (warning,) = read(tmp_path, ENTRY | {"Timeuot": 3})
    assert warning.endswith(
        '"Wherry.Webhooks.0.Timeuot" is not a known key; did you mean "Timeout"?'
    )


def test_one_that_is_not_checked_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"HttpsVerifyPeers": False, "Wherry": {"Webhooks": [ENTRY]}}))
    (warning,) = load([path], {})[1]
    assert "the identity of webhooks is not checked" in warning


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Url": None}, "Url"),
        ({"Url": "host/told"}, "Url"),
        ({"Url": "ftp://host/told"}, "Url"),
        ({"Url": "https://host/told#part"}, "Url"),
        ({"Url": "https://user:hidden@host/"}, "Headers"),
        ({"Events": []}, "stands for all"),
        ({"Events": "StudyReceived"}, "a list"),
        ({"Events": ["StudyRecieved"]}, "StudyReceived"),
        ({"Events": ["Deleted"]}, "does not exist"),
        ({"Secret": "hidden"}, "24 bytes"),
        ({"Secret": "whsec_hidden"}, "base64"),
        ({"Secret": "whsec_" + base64.b64encode(bytes(23)).decode()}, "24 bytes"),
        ({"Secret": 12}, "a text"),
        ({"Name": ""}, "letters"),
        ({"Name": "x" * 65}, "letters"),
        ({"Name": "a\nb"}, "letters"),
        ({"Headers": {"Content-Type": "text/plain"}}, "Content-Type"),
        ({"Headers": {"Webhook-Id": "hidden"}}, "Webhook-Id"),
        ({"Headers": {"a b": "hidden"}}, "header"),
        ({"Timeout": 0}, "Timeout"),
        ({"Timeout": 301}, "Timeout"),
    ],
)
def test_what_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, ENTRY | change)
    assert said in str(caught.value)
    assert "Wherry.Webhooks.0" in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("key", ["Url", "Events", "Secret"])
def test_what_must_be_said(tmp_path: Path, key: str) -> None:
    entry = {name: value for name, value in ENTRY.items() if name != key}
    with pytest.raises(ConfigurationError, match=key):
        read(tmp_path, entry)


def test_names_are_unique_and_there_is_an_end_of_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"Webhooks\.1.*another Name"):
        read(tmp_path, ENTRY, ENTRY)
    with pytest.raises(ConfigurationError, match="more than 32"):
        read(tmp_path, *[ENTRY | {"Name": str(n)} for n in range(33)])
    with pytest.raises(ConfigurationError, match="an object"):
        read(tmp_path, "https://host/")


def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    config, _ = read(tmp_path, ENTRY | {"Headers": {"Authorization": "hidden"}})
    assert "hidden" not in repr(config)
    assert PLAIN not in repr(config)
