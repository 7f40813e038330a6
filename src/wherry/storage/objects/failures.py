"""What an object store complains of, in our words.

Its messages may hold addresses, keys and signatures: only the status, its code word and the kind of
a broken connection are taken from them.
"""

from __future__ import annotations

import re

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)

from wherry.errors import (
    CannotWriteFile,
    CorruptedFile,
    MissingFile,
    StorageFull,
    StorageUnavailable,
    WherryError,
)

OURS = (BaseError, OSError, ValueError)
"""What obstore raises."""

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_KIND = re.compile(r"kind: ([A-Z]\w{2,40}),|\b(TimedOut)\b")
_SHORT = re.compile(r"Requested \d+\.\.\d+, got \d+\.\.\d+")
_FULL_CODES = {"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "XAmzStorageFull"}
_NO_BUCKET_CODES = {"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"}
_INSUFFICIENT_STORAGE = 507
_RANGE_NOT_SATISFIABLE = 416
_BUSY = {408, 429}
_RETRIES = re.compile(r"\bretries: (\d+)")
_REFUSED = "ConnectionRefused"


def failure(error: Exception, *, writing: bool = False) -> WherryError:
    """The error to raise instead."""
    text = str(error)
    status, code = _status(text), _code(text)
    if code in _NO_BUCKET_CODES:
        return StorageUnavailable("The object storage has no such bucket")
    if isinstance(error, FileNotFoundError):
        return MissingFile("A stored file is missing in the object storage")
    if isinstance(error, AlreadyExistsError):
        return CannotWriteFile("The object storage has a file of this name already")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return StorageUnavailable(f"The object storage refuses us ({_told(status, code)})", 60)
    if status == _INSUFFICIENT_STORAGE or code in _FULL_CODES:
        return StorageFull("No space left in the object storage")
    if _SHORT.search(text):
        return CorruptedFile("A stored file has lost bytes in the object storage")
    if writing and 400 <= status < 500 and status not in _BUSY:
        return CannotWriteFile(f"The object storage refuses the file ({_told(status, code)})")
    if status:
        return StorageUnavailable(f"The object storage answers {_told(status, code)}")
    kind = _kind(text)
    return StorageUnavailable(
        f"The object storage does not answer{f' ({kind})' if kind else ''}",
        nothing_done=kind == _REFUSED and _is_first(text),
    )


def is_missing(error: FileNotFoundError) -> bool:
    """It is the object that is not there, and not the whole bucket."""
    return _code(str(error)) not in _NO_BUCKET_CODES


def is_empty(error: Exception) -> bool:
    """A range was asked of an object that has no bytes."""
    return _status(str(error)) == _RANGE_NOT_SATISFIABLE


def is_out_of_reach(error: Exception) -> bool:
    """Other requests would fare no better."""
    text = str(error)
    status = _status(text)
    if not status:
        return isinstance(failure(error), StorageUnavailable)
    return status in _BUSY or (status >= 500 and status != _INSUFFICIENT_STORAGE)


def _is_first(text: str) -> bool:
    """It was told of the first attempt: of one before, nobody knows whether the store got it."""
    return {int(count) for count in _RETRIES.findall(text)} == {0}


def _status(text: str) -> int:
    found = _STATUS.search(text)
    return int(found[1]) if found else 0


def _code(text: str) -> str:
    found = _CODE.search(text)
    return found[1] if found else ""


def _told(status: int, code: str) -> str:
    return f"{status}, {code}" if code else str(status)


def _kind(text: str) -> str:
    found = [first or second for first, second in _KIND.findall(text)]
    return found[-1] if found else ""
