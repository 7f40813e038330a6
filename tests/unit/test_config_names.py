from __future__ import annotations

from pathlib import Path

import pytest

from wherry.config import Config
from wherry.config.names import user_content_type, user_metadata
from wherry.config.place import Place, Source
from wherry.errors import ConfigurationError, InexistentItem
from wherry.rest import names

PLACE = Place(Source("c.json", Path()), "UserMetadata")

CONFIG = Config(
    user_metadata={"my-meta": 4321},
    user_content_type={"my-att": (4400, "text/plain"), "plain": (1024, "")},
)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "must be an object"),
        ({"a": 1023}, "must be between 1024 and 65535"),
        ({"a": 65536}, "must be between 1024 and 65535"),
        ({"a": True}, "must be a whole number"),
        ({"a": "1024"}, "must be a whole number"),
        ({"": 1024}, "must be a name"),
        ({"77": 1024}, "must be a name"),
        ({"a\0": 1024}, "NUL"),
        ({"a": 1024, "b": 1024}, "gives the number 1024 to two names"),
    ],
)
def test_what_names_may_not_be(value: object, message: str) -> None:
    for read in (user_metadata, user_content_type):
        with pytest.raises(ConfigurationError, match=message):
            read(value, PLACE)


def test_names_of_the_server_are_taken() -> None:
    with pytest.raises(ConfigurationError, match="name of the server"):
        user_metadata({"LastUpdate": 1024}, PLACE)
    with pytest.raises(ConfigurationError, match="name of the server"):
        user_content_type({"dicom": 1024}, PLACE)


@pytest.mark.parametrize("entry", [[1024], [1024, "text/plain", 3], [1024, 5], [1024, "text"]])
def test_what_media_types_may_not_be(entry: object) -> None:
    with pytest.raises(ConfigurationError):
        user_content_type({"a": entry}, PLACE)


def test_a_media_type_cannot_break_a_header() -> None:
    with pytest.raises(ConfigurationError):
        user_content_type({"a": [1024, "text/plain\r\nX: y"]}, PLACE)


def test_names_that_are_read() -> None:
    assert user_metadata({"a": 1024, "b": 65535}, PLACE) == {"a": 1024, "b": 65535}
    assert user_content_type({"a": 1024, "b": [1025, "text/plain; charset=utf-8"]}, PLACE) == {
        "a": (1024, ""),
        "b": (1025, "text/plain; charset=utf-8"),
    }


def test_from_number_to_name() -> None:
    assert names.metadata_name(CONFIG, 7) == "LastUpdate"
    assert names.metadata_name(CONFIG, 4321) == "my-meta"
    assert names.metadata_name(CONFIG, 4322) == "4322"
    assert names.content_name(CONFIG, 1) == "dicom"
    assert names.content_name(CONFIG, 4400) == "my-att"
    assert names.content_name(CONFIG, 4401) == "4401"


def test_from_name_to_number() -> None:
    assert names.metadata_number(CONFIG, "LastUpdate") == 7
    assert names.metadata_number(CONFIG, "my-meta") == 4321
    assert names.metadata_number(CONFIG, "65536") == 65536
    assert names.content_number(CONFIG, "dicom") == 1
    assert names.content_number(CONFIG, "my-att") == 4400
    assert names.content_number(CONFIG, "4401") == 4401


@pytest.mark.parametrize("name", ["nope", "", "-1", "1e3", "١", "9" * 5000, "lastupdate"])
def test_what_is_neither(name: str) -> None:
    with pytest.raises(InexistentItem):
        names.metadata_number(CONFIG, name)
    with pytest.raises(InexistentItem):
        names.content_number(CONFIG, name)


def test_media_types() -> None:
    assert names.content_media(CONFIG, 1) == "application/dicom"
    assert names.content_media(CONFIG, 4400) == "text/plain"
    assert names.content_media(CONFIG, 1024) == "application/octet-stream"
    assert names.content_media(CONFIG, 5000) == "application/octet-stream"


def test_what_users_may_set() -> None:
    assert [names.of_user(n) for n in (1, 1023, 1024, 65535, 65536)] == [
        False,
        False,
        True,
        True,
        False,
    ]
