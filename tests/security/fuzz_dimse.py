"""Fuzzing of everything that reads bytes of DICOM associations, guided by coverage (atheris).

    make fuzz-dimse            ten minutes
    python -m tests.security.fuzz_dimse -runs=100000 FOLDER

The first byte says which reader gets the rest. A reader may say that the bytes make no sense, by
``NetworkProtocol`` or ``BadFileFormat``, and nothing else; what it does read, it writes and reads
again. ``dimse_corpus`` has inputs that CI runs too (``test_dimse_corpus``); those that once broke
something stay there.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from wherry.dicom import attributes
from wherry.dicom.preamble import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from wherry.dicom.wire import commands, pdu, reading, writing
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.messages import Messages, message
from wherry.errors import BadFileFormat, NetworkProtocol

CORPUS: Final = Path(__file__).with_name("dimse_corpus")


def stream(data: bytes) -> None:
    """A connection, in portions of any size: all the same comes out."""
    found = [taken_apart(data, portion) for portion in (len(data) or 1, 7)]
    assert found[0] == found[1]


def taken_apart(data: bytes, portion: int) -> list[object]:
    messages = Messages(16384)
    found: list[object] = []
    try:
        for start in range(0, len(data), portion):
            for one in messages.feed(memoryview(data[start : start + portion])):
                if not hasattr(one, "data"):
                    found.append(one)
    except NetworkProtocol as error:
        found.append(str(error))
    return found


def one_pdu(data: bytes) -> None:
    """A PDU that is no data; what is read can be written and is the same then."""
    if not data:
        return
    found = reading.decode(data[0] % 9, memoryview(data[1:]))
    try:
        written = writing.encode(found)
    except (UnicodeEncodeError, OverflowError):
        return  # texts that are no ASCII, kept as they were read
    again = reading.decode(written[0], memoryview(written[6:]))
    assert type(again) is type(found)


def command(data: bytes) -> None:
    """A command; what is read can be written and is the same then."""
    found = commands.decode(data)
    assert commands.decode(commands.encode(found)).field == found.field


def data_set(syntax: str) -> Callable[[bytes], None]:
    """A small data set; written in another encoding it says the same."""

    def run(data: bytes) -> None:
        found = attributes.read(data, syntax)
        attributes.read(attributes.write(found, EXPLICIT), EXPLICIT)

    return run


TARGETS: Final[tuple[Callable[[bytes], None], ...]] = (
    stream,
    one_pdu,
    command,
    data_set(IMPLICIT),
    data_set(EXPLICIT),
    data_set(BIG_ENDIAN),
    data_set(DEFLATED),
)


def run(data: bytes) -> None:
    """One input."""
    if not data:
        return
    try:
        TARGETS[data[0] % len(TARGETS)](data[1:])
    except (NetworkProtocol, BadFileFormat):
        pass


def seeds() -> Iterator[bytes]:
    """Valid inputs of every kind, for a fuzzer to begin with."""
    user = pdu.UserInformation(
        16384,
        "1.2.3",
        "SEED",
        asynchronous=(1, 1),
        roles=(pdu.Roles("1.2.840.10008.5.1.4.1.1.2", scu=True, scp=True),),
        extended=(pdu.ExtendedNegotiation("1.2", b"\1\0"),),
        identity=pdu.UserIdentity(2, answer_wanted=True, primary=b"me", secondary=b"secret"),
        identity_answer=b"token",
    )
    proposed = pdu.ProposedContext(1, "1.2.840.10008.1.1", (IMPLICIT, EXPLICIT))
    answered = pdu.AnsweredContext(1, pdu.Outcome.ACCEPTED, IMPLICIT)
    pdus = [
        pdu.AssociateRequest("CALLED", "CALLING", (proposed,), user),
        pdu.AssociateAccept("CALLED", "CALLING", (answered,), user),
        pdu.AssociateReject(1, 1, 7),
        pdu.ReleaseRequest(),
        pdu.ReleaseResponse(),
        pdu.Abort(2, 6),
    ]
    for one in pdus:
        written = writing.encode(one)
        yield b"\0" + written
        yield b"\1" + written[:1] + written[6:]
    asked = Command(
        CommandField.C_STORE_RQ,
        has_data_set=True,
        affected_sop_class="1.2",
        affected_sop_instance="1.2.3",
        message_id=1,
        priority=0,
        originator="ME",
        originator_message_id=3,
        offending_elements=(0x00100010,),
    )
    yield b"\2" + commands.encode(asked)
    yield b"\0" + writing.encode(pdus[0]) + b"".join(map(bytes, message(1, asked, b"data", 20)))
    item = {0x00100010: attributes.Attribute("PN", "A^B")}
    values = {
        0x00080005: attributes.Attribute("CS", "ISO_IR 100"),
        0x00081110: attributes.Attribute("SQ", (item, {})),
        0x00100020: attributes.Attribute("LO", "x\\y"),
        0x00280010: attributes.Attribute("US", "1"),
        0x00420011: attributes.Attribute("OB", b"\0\1"),
    }
    for number, syntax in ((3, IMPLICIT), (4, EXPLICIT), (5, BIG_ENDIAN)):
        yield bytes((number,)) + attributes.write(values, syntax)
    packer = zlib.compressobj(wbits=-15)
    yield b"\6" + packer.compress(attributes.write(values, EXPLICIT)) + packer.flush()


def main() -> None:
    """The command line of libFuzzer."""
    import atheris

    if not any(not one.startswith("-") for one in sys.argv[1:]):
        raise SystemExit("Name a folder for what is found: the first one is written to")
    atheris.instrument_all()
    atheris.Setup([*sys.argv, str(CORPUS)], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
