"""Tasks for workers of images that do what decoders should not."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from wherry.errors import ParameterOutOfRange
from wherry.imaging.work import Work

_HELD: list[bytearray] = []


def echo(work: Work) -> dict[str, Any]:
    """The input, and who wrote it."""
    work.write(work.source)
    return {"pid": os.getpid(), "size": len(work.source), **work.arguments}


def environment(work: Work) -> dict[str, Any]:
    """What a decoder could see."""
    files = [f"/proc/self/fd/{number}" for number in range(3, 64)]
    return {
        "environ": dict(os.environ),
        "files": [os.readlink(file) for file in files if os.path.exists(file)],
    }


def refuse(work: Work) -> dict[str, Any]:
    """An error that a caller should see."""
    raise ParameterOutOfRange("there is no such frame")


def stumble(work: Work) -> dict[str, Any]:
    """An error that nobody has thought of."""
    return {"value": work.arguments["Doe^John"]}


def crash(work: Work) -> dict[str, Any]:
    """As a native decoder that reads what is not its own."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def leave(work: Work) -> dict[str, Any]:
    """As a native decoder that calls exit()."""
    os._exit(0)


def sleep(work: Work) -> dict[str, Any]:
    """A hang that uses no processor."""
    work.write(str(os.getpid()).encode())
    time.sleep(3600)
    return {}


def spin(work: Work) -> dict[str, Any]:
    """A hang inside native code that holds the interpreter's lock."""
    work.write(str(os.getpid()).encode())
    return {"found": str(3 ** (3**18))}


def allocate(work: Work) -> dict[str, Any]:
    """Memory without end, all of it touched."""
    held = []
    while True:
        held.append(bytearray(b"\1") * 2**24)


def grow(work: Work) -> dict[str, Any]:
    """Much memory, and it stays."""
    _HELD.append(bytearray(b"\1") * 300_000_000)
    return {"pid": os.getpid()}


def go_on(work: Work) -> dict[str, Any]:
    """Long as a whole, and never silent for long."""
    for _ in range(2):
        time.sleep(1.2)
        work.alive()
    return {}


def flood(work: Work) -> dict[str, Any]:
    """An output without end."""
    piece = bytes(2**20)
    while True:
        work.write(piece)
