"""One worker process as the server sees it: started, asked, killed.

Not here: how many there are and who gets which (``pool``), what goes on inside (``worker``).
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from wherry import clock
from wherry.errors import Unavailable, UndecodableImage
from wherry.imaging.messages import receive, send, type_document

_BEGIN: Final = (
    "import sys; sys.path[:] = sys.argv[3:]; from wherry.imaging.worker import main;"
    " main(int(sys.argv[1]), int(sys.argv[2]))"
)
_ENVIRONMENT: Final = {
    "LC_ALL": "C.UTF-8",
    "OMP_NUM_THREADS": "1",  # there are as many workers as processors
    "OPENBLAS_NUM_THREADS": "1",
}
"""All of it: what the server was told in its own (passwords, keys) is none of a decoder's business.
"""


class WorkerProcess:
    """A worker; one task at a time."""

    def __init__(self, memory_bytes: int) -> None:
        """Start it. It may use ``memory_bytes`` of address space beside its input. Raises
        ``Unavailable``."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [
            sys.executable,
            "-I",
            "-c",
            _BEGIN,
            str(theirs.fileno()),
            str(memory_bytes),
            *sys.path,
        ]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # decoders complain there of what they are given
                cwd="/",
                env=_ENVIRONMENT,
                pass_fds=[theirs.fileno()],
            )
        except OSError as error:
            ours.close()
            raise Unavailable("No process for images could be started") from error
        finally:
            theirs.close()
        self._line = ours
        self.idle_since = 0.0
        """``clock.monotonic`` when it was given back."""
        self.reusable = True
        """False: it has died, or wants to be replaced."""

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def ask(
        self, order: Mapping[str, Any], files: Sequence[int], patience_s: float
    ) -> type_document:
        """The answer to ``order``. A worker that is silent for ``patience_s`` is killed; it and one
        that dies raise ``UndecodableImage``. Afterwards see ``reusable``."""
        reusable, self.reusable = self.reusable, False  # whatever is raised below
        try:
            send(self._line, order, files)
            answer = self._listen(patience_s)
        except (BrokenPipeError, ConnectionResetError):
            answer = None
        if answer is None:
            raise UndecodableImage(f"its decoder has died ({self._cause()})")
        self.reusable = reusable and not answer.pop("last")
        return answer

    def _listen(self, patience_s: float) -> type_document | None:
        """The answer; None when the worker has gone."""
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        end = clock.monotonic() + patience_s
        while True:
            if not poll.poll(max(0.0, end - clock.monotonic()) * 1000):
                self.end()
                raise UndecodableImage(f"its decoder has not come to an end in {patience_s:g} s")
            message = receive(self._line)
            if message is None:
                return None
            if "alive" not in message[0]:
                return message[0]
            end = clock.monotonic() + patience_s

    def _cause(self) -> str:
        code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def is_alive(self) -> bool:
        """Whether it is there. Who kills it while it is idle (the kernel, for want of memory) does
        not tell us."""
        return self._process.poll() is None

    def kill(self) -> None:
        """From any thread; who asks it hears that it has died."""
        self._process.kill()

    def end(self) -> None:
        """Kill it and wait until it is gone; for the thread that asks it. May be called again."""
        self._process.kill()
        self._process.wait()
        self._line.close()


def memfd() -> int:
    """A file in memory, without a name; the caller closes it."""
    return os.memfd_create("image", os.MFD_CLOEXEC)
