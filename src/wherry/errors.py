"""The one exception tree of Wherry.

Every class knows how it is answered: the Orthanc error code and its exact text, the HTTP status
and the DIMSE status (PS3.4, PS3.7 Annex C). The numbers are those of the Orthanc Book's table of
error codes, so that a client written for Orthanc recognises them.

    WherryError                    -1   500  something is broken on our side
    ├── Refused                              the request cannot be honoured as it is
    │   ├── ParameterOutOfRange     3   400  a value is outside its range
    │   ├── BadParameterType        5   400  a value has the wrong type
    │   ├── BadRequest              8   400  the request makes no sense
    │   │   └── TooLarge            8   413  a body or declaration passes a bound
    │   ├── BadFileFormat          15   400  the bytes are not what they should be
    │   ├── RequestTimeout         16   408  the sender of a body has fallen silent
    │   ├── BadJson                28   400  a JSON document does not parse
    │   ├── Unauthorized           29   401  missing or wrong credentials
    │   ├── Forbidden              45   403  known, but not allowed
    │   ├── RangeNotSatisfiable    41   416  a byte range lies outside the resource
    │   ├── CannotCreate                     an instance cannot be created as it is asked for
    │   │   ├── NotAString       2019   400  a value is no text
    │   │   ├── InheritedTag     2020   400  a tag has a value already
    │   │   ├── PixelsAsTag      2021   400  pixel data are given as a tag
    │   │   ├── NoContent        2022   400  an instance of a series is without content
    │   │   ├── NoDataUri        2023   400  a content is no text
    │   │   ├── NoSuchParent     2024   400  the parent does not exist
    │   │   └── ParentIsInstance 2025   400  the parent is an instance
    │   ├── Conflict               46   409  the resource exists already
    │   ├── BadRevision            43   409  somebody else changed it meanwhile
    │   └── UnsupportedMediaType 3000   415  no such representation
    │       ├── UndecodableImage 3000   415  no pixels can be made of what the file holds
    │       │   └── CannotDecode 3000   415  a frame that no decoder reads, or that lies
    │       └── CannotEncode     3000   415  pixels that a transfer syntax cannot hold
    ├── NotFound                             what is named does not exist
    │   ├── InexistentItem          7   404  an item of a known resource
    │   ├── UnknownResource        17   404  a resource
    │   └── InexistentTag          21   404  a DICOM tag that is needed
    ├── UnknownDicomTag            27   500  a tag name that no dictionary knows
    ├── CannotStoreInstance      2018   500  an instance is there already and may not be replaced
    ├── CannotOrderSlices        2040   500  a series that says nothing of its order
    ├── NotImplementedYet       2   500  asked for something that is not done here
    ├── BadSequenceOfCalls          6   500  right call, wrong moment
    ├── NetworkProtocol             9   500  the other machine did not answer as it should
    │   ├── PeerUnavailable         9   500  … and trying again later may help
    │   ├── NoAcceptableContext  2015   500  it takes nothing of the kind that is to be sent
    │   ├── FindNotSupported     2016   500  it is not asked like this (C-FIND)
    │   └── MoveNotSupported     2017   500  it sends nothing to others (C-MOVE)
    ├── DatabaseError              11   500  the index failed
    │   ├── IncompatibleDatabase   18   500  the index has another schema version
    │   └── DatabaseUnavailable    36   503  the index is out of reach for now
    ├── CannotWriteFile            14   500  the storage area refused the bytes
    │   └── StorageFull            19   507  … because it is full
    │       └── NoRoom             19   507  … because the store has reached its configured size
    ├── MissingFile              2006   500  a stored file is not there any more
    ├── CorruptedFile              20   500  bytes differ from their digest or identity
    ├── Unavailable                36   503  a bound on concurrent work is reached, try later
    │   └── StorageUnavailable     36   503  the storage area is out of reach for now
    ├── MoveFailed                1   500  files could not be moved to another store
    ├── JobCanceled                37   500  somebody cancelled the job
    └── ConfigurationError          8   500  the server cannot start like this

Not here: text for logs only, and the control flow of jobs (see ``jobs``).
"""

from __future__ import annotations

from typing import ClassVar


class WherryError(Exception):
    """Base of all errors; raised itself only for a defect of our own.

    ``details`` is one sentence for the person who reads the answer. It never holds patient data,
    secrets or paths of the server.
    """

    code: ClassVar[int] = -1
    text: ClassVar[str] = "Internal error"
    http_status: ClassVar[int] = 500
    dimse_status: ClassVar[int] = 0x0110  # Processing failure
    temporary: bool = False
    """Whether the same attempt may succeed later, without anybody doing anything about it."""
    retry_after_s: float | None = None
    """When to come back, if somebody said so."""

    def __init__(self, details: str = "") -> None:
        super().__init__(details or self.text)
        self.details = details


class Refused(WherryError):
    """The request cannot be honoured as it is; the same request will fail again."""

    code, text, http_status = 8, "Bad request", 400
    dimse_status = 0xA900


class ParameterOutOfRange(Refused):
    """A value is outside its range."""

    code, text = 3, "Parameter out of range"


class BadParameterType(Refused):
    """A value has the wrong type."""

    code, text = 5, "Bad type for a parameter"


class BadRequest(Refused):
    """The request makes no sense."""


class TooLarge(BadRequest):
    """A body, or what it declares, passes a bound of ``limits``."""

    http_status = 413
    dimse_status = 0xA700


class BadFileFormat(Refused):
    """The bytes are not what they should be: not DICOM, not gzip, wrong members."""

    code, text = 15, "Bad file format"
    dimse_status = 0xC000


class RequestTimeout(Refused):
    """The sender of a body has fallen silent (RFC 9110 §15.5.9)."""

    code, text, http_status = 16, "Timeout", 408


class BadJson(Refused):
    """A JSON document does not parse."""

    code, text = 28, "Cannot parse a JSON document"


class Unauthorized(Refused):
    """Missing or wrong credentials."""

    code, text, http_status = 29, "Bad credentials were provided to an HTTP request", 401


class Forbidden(Refused):
    """The resource is known, but access is not allowed."""

    code, text, http_status = 45, "Access to a resource is forbidden", 403


class RangeNotSatisfiable(Refused):
    """A byte range lies outside the resource (RFC 9110 §14.4)."""

    code, text, http_status = 41, "Incorrect range request", 416

    def __init__(self, details: str = "", total: int | None = None) -> None:
        """``total``: bytes of the resource, which the answer tells."""
        super().__init__(details)
        self.total = total


class Conflict(Refused):
    """The resource exists already, or two writers met."""

    code, text, http_status = 46, "Duplicate resource", 409


class BadRevision(Refused):
    """The entity tag that came with a change is missing, or no longer that of the item."""

    code, http_status = 43, 409
    text = (
        "A bad revision number was provided, which might indicate conflict between multiple writers"
    )


class UnsupportedMediaType(Refused):
    """No such representation."""

    code, text, http_status = 3000, "Unsupported media type", 415


class UndecodableImage(UnsupportedMediaType):
    """No pixels can be made of what a file holds: unknown, damaged, too large, or its decoder has
    died or not come to an end."""


class CannotDecode(UndecodableImage):
    """A frame that no decoder reads, or that is not what the file says."""


class CannotEncode(UnsupportedMediaType):
    """Pixels that the wanted transfer syntax cannot hold."""


class NothingToEncode(CannotEncode):
    """A file without pixels, in a transfer syntax that compresses them."""


class CannotCreate(Refused):
    """An instance cannot be created as it is asked for."""


class NotAString(CannotCreate):
    """A value is no text, where only texts are taken."""

    code, text = 2019, "Only string values are supported when creating DICOM instances"


class InheritedTag(CannotCreate):
    """A tag has a value already, of a parent or generated, and ``Force`` is not set."""

    code, text = 2020, "Trying to override a value inherited from a parent module"


class PixelsAsTag(CannotCreate):
    """Pixel data are given as a tag."""

    code, text = 2021, 'Use "Content" to inject an image into a new DICOM instance'


class NoContent(CannotCreate):
    """An instance of a series is without content."""

    code, text = 2022, "No payload is present for one instance in the series"


class NoDataUri(CannotCreate):
    """A content is no text."""

    code = 2023
    text = "The payload of the DICOM instance must be specified according to Data URI scheme"


class NoSuchParent(CannotCreate):
    """The parent does not exist."""

    code, text = 2024, "Trying to attach a new DICOM instance to an inexistent resource"


class ParentIsInstance(CannotCreate):
    """The parent is an instance."""

    code = 2025
    text = (
        "Trying to attach a new DICOM instance to an instance (must be a series, study or patient)"
    )


class NotFound(WherryError):
    """What is named does not exist."""

    code, text, http_status = 17, "Unknown resource", 404
    dimse_status = 0x0112


class InexistentItem(NotFound):
    """A known resource has no such item."""

    code, text = 7, "Accessing an inexistent item"


class UnknownResource(NotFound):
    """No such resource."""


class InexistentTag(NotFound):
    """A DICOM tag that is needed is absent."""

    code, text = 21, "Inexistent tag"
    dimse_status = 0xA900


class UnknownDicomTag(WherryError):
    """A tag name that no dictionary knows (a server error in Orthanc, and so here)."""

    code, text = 27, "Unknown DICOM tag"


class NotImplementedYet(WherryError):
    """Asked for something that Wherry does not do."""

    code, http_status, text = 2, 500, "Not implemented yet"


class CannotStoreInstance(WherryError):
    """What a job has made is there already, of another origin, and may not be replaced."""

    code, text = 2018, "Cannot store an instance"


class CannotOrderSlices(WherryError):
    """The instances of a series say neither where they lie nor which comes after which."""

    code, text = 2040, "Unable to order the slices of the series"


class BadSequenceOfCalls(WherryError):
    """The right call at the wrong moment."""

    code, text = 6, "Bad sequence of calls"


class NetworkProtocol(WherryError):
    """The other machine did not answer as it should."""

    code, text = 9, "Error in the network protocol"


class PeerUnavailable(NetworkProtocol):
    """The other machine is out of reach or overloaded; trying again later may help."""

    temporary = True


class NoAcceptableContext(NetworkProtocol):
    """Another DICOM system takes nothing of this kind, or not in this encoding."""

    code = 2015
    text = "DicomUserConnection: No acceptable presentation context for modality"


class FindNotSupported(NetworkProtocol):
    """The other machine takes no C-FIND, or not this one."""

    code = 2016
    text = "DicomUserConnection: The C-FIND command is not supported by the remote SCP"


class MoveNotSupported(NetworkProtocol):
    """The other machine takes no C-MOVE."""

    code = 2017
    text = "DicomUserConnection: The C-MOVE command is not supported by the remote SCP"


class DatabaseError(WherryError):
    """The index failed."""

    code, text = 11, "Error with the database engine"


class IncompatibleDatabase(DatabaseError):
    """The index has another schema version; the details say what to run."""

    code, text = 18, "Incompatible version of the database"


class DatabaseUnavailable(DatabaseError):
    """The index is out of reach for now."""

    code, http_status = 36, 503
    text = "The database is currently not available (probably a transient situation)"


class CannotWriteFile(WherryError):
    """The storage area refused the bytes."""

    code, text = 14, "Cannot write to file"
    dimse_status = 0xA700


class StorageFull(CannotWriteFile):
    """The storage area is full (PS3.4 Annex B: out of resources)."""

    code, text, http_status = 19, "The file storage is full", 507


class NoRoom(StorageFull):
    """The store may not grow (``MaximumStorageSize``, ``MaximumPatientCount``) and nothing can be
    recycled; whoever raises it has changed nothing."""


class MissingFile(WherryError):
    """A stored file is not there any more."""

    code, text = 2006, "The specified path does not point to a regular file"


class CorruptedFile(WherryError):
    """Bytes differ from their declared size, digest or identity."""

    code, text = 20, "Corrupted file (e.g. inconsistent MD5 hash)"
    dimse_status = 0xC000


class MismatchedDataSet(CorruptedFile):
    """A data set is not the one that its message names (PS3.4 §B.2.3)."""

    dimse_status = 0xA900


class Unavailable(WherryError):
    """A bound on concurrent work is reached; ``Retry-After`` says when to come back."""

    code, http_status = 36, 503
    text = "The server is busy"
    dimse_status = 0xA700

    def __init__(self, details: str = "", retry_after_s: int = 1) -> None:
        super().__init__(details)
        self.retry_after_s: float = retry_after_s


class StorageUnavailable(Unavailable):
    """The storage area is out of reach for now: nothing is known of its files."""

    text = "The storage area is currently not available (probably a transient situation)"
    temporary = True

    def __init__(
        self, details: str = "", retry_after_s: int = 5, *, nothing_done: bool = False
    ) -> None:
        super().__init__(details, retry_after_s)
        self.nothing_done = nothing_done
        """Whether it is certain that what was to be written is not there; else it may be."""


class MoveFailed(WherryError):
    """Files could not be moved to another store; those that were moved stay there. (Orthanc's code
    is that of its plugins.)"""

    code, text = 1, "Error encountered within the plugin engine"


class JobCanceled(WherryError):
    """Somebody cancelled the job."""

    code, text = 37, "This job was canceled"


class ConfigurationError(WherryError):
    """The server cannot start like this; the details name file, key and remedy."""

    code, text = 8, "Bad configuration"
