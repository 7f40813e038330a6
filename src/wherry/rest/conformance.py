"""What this server can do with DICOM, as a text for people: a short PS3.2 statement.

Made from the tables that the server itself goes by, so that it says what is true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wherry import __version__
from wherry.config import Config
from wherry.dicom import charsets
from wherry.dicom.tags import MAIN_DICOM_TAGS
from wherry.dicom.uids import TRANSFER_SYNTAXES, storage_classes
from wherry.model import Level


def statement(config: Config) -> str:
    """The whole text."""
    return "\n".join(
        [
            _title(f"DICOM Conformance Statement of Wherry {__version__}", "="),
            _NETWORK,
            _title("Objects that are stored"),
            _STORED,
            _title("SOP Classes"),
            "Objects of any SOP Class are stored, also private ones. Those known by name are:\n",
            _columns({keyword: uid for uid, keyword in storage_classes().items()}),
            _title("Transfer Syntaxes"),
            "Kept as they came. The data set up to the pixel data is read in all of these:\n",
            _list(TRANSFER_SYNTAXES),
            _title("Character Sets"),
            "All defined terms of (0008,0005), code extensions included. A data set without one\n"
            f"is read as {config.default_encoding} (DefaultEncoding), which may be one of:\n",
            _list(charsets.ENCODINGS),
            _title("Attributes that are indexed"),
            *(f"{level.title}:\n\n{_list(MAIN_DICOM_TAGS[level])}" for level in Level),
        ]
    )


_NETWORK = """
Wherry offers the services of the REST API of Orthanc, and transfers of whole studies, over
HTTP/1.1 and HTTPS (TLS 1.2, TLS 1.3). It has none of the web services of PS3.18, yet.

It opens DICOM associations (PS3.8, with TLS 1.2 and 1.3 if configured) as SCU of the Verification
Service Class, and of the Storage Service Class for every object that it holds. Each SOP Class is
proposed once with each transfer syntax in which there are objects, and once more with Explicit and
Implicit VR Little Endian, in which native data sets are written anew if need be; compressed pixel
data are not decompressed. Up to four associations are open to one application entity; they are kept
for a few seconds. There is no asynchronous operations window. It accepts no associations, yet.
"""

_STORED = """
DICOM files (PS3.10) with or without preamble, at least with Study, Series and SOP Instance UID,
arrive over HTTP, also compressed or in a ZIP archive. They are given back byte by byte; nothing
in them is changed, checked against an IOD, or coerced.
"""


def _title(text: str, line: str = "-") -> str:
    return f"{line * len(text)}\n{text}\n{line * len(text)}\n"


def _list(items: Iterable[str]) -> str:
    return "".join(f"  {item}\n" for item in items)


def _columns(rows: Mapping[str, str]) -> str:
    width = max(map(len, rows))
    return "".join(f"  {left:<{width}} | {right}\n" for left, right in rows.items())
