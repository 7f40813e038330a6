"""Names and numbers of metadata and attachments (rest-api §7).

Below 1024 both are the server's own; from 1024 to 65535 they belong to the users, who may give
them names (``UserMetadata``, ``UserContentType``). A number without a name is written in digits.
"""

from __future__ import annotations

from typing import Final

from wherry.config import Config
from wherry.config.names import CONTENT_NAMES, METADATA_NAMES, NUMBERS_OF_USERS
from wherry.errors import InexistentItem
from wherry.model import DICOM_CONTENT

_METADATA_NUMBERS: Final = {name: number for number, name in METADATA_NAMES.items()}
_CONTENT_NUMBERS: Final = {name: number for number, name in CONTENT_NAMES.items()}

_CONTENT_MEDIA: Final = {DICOM_CONTENT: "application/dicom", 2: "application/json"}
_ANY_MEDIA: Final = "application/octet-stream"


def metadata_name(config: Config, number: int) -> str:
    """How a piece of metadata is called; its number in digits when nobody has named it."""
    known = METADATA_NAMES.get(number)
    if known is not None:
        return known
    for name, users in config.user_metadata.items():
        if users == number:
            return name
    return str(number)


def metadata_number(config: Config, name: str) -> int:
    """The number of a name, or of a number in digits. Raises ``InexistentItem``."""
    number = _METADATA_NUMBERS.get(name)
    if number is None:
        number = config.user_metadata.get(name)
    return _digits(name) if number is None else number


def content_name(config: Config, number: int) -> str:
    """How an attachment is called; its number in digits when nobody has named it."""
    known = CONTENT_NAMES.get(number)
    if known is not None:
        return known
    for name, (users, _) in config.user_content_type.items():
        if users == number:
            return name
    return str(number)


def content_number(config: Config, name: str) -> int:
    """The number of a name, or of a number in digits. Raises ``InexistentItem``."""
    number = _CONTENT_NUMBERS.get(name)
    if number is not None:
        return number
    users = config.user_content_type.get(name)
    return _digits(name) if users is None else users[0]


def content_media(config: Config, number: int) -> str:
    """The media type of an attachment: declared in ``UserContentType``, else just bytes."""
    for users, media in config.user_content_type.values():
        if users == number and media:
            return media
    return _CONTENT_MEDIA.get(number, _ANY_MEDIA)


def of_user(number: int) -> bool:
    """Whether users may set and delete this number."""
    return number in NUMBERS_OF_USERS


def _digits(name: str) -> int:
    """Also a number that is out of range is a number: it is refused, not unknown."""
    if name.isascii() and name.isdigit() and len(name) < 10:
        return int(name)
    raise InexistentItem
