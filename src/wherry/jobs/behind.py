"""Work that goes on behind those who asked for it, such as a commit while a line is kept busy."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Behind:
    """One piece of work at a time, in a thread of its own. One thread at a time may call."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def begin(self, work: Callable[[], None]) -> None:
        """Wait for the work before, raise what it raised, and begin this."""
        self.wait()
        self._thread = threading.Thread(target=self._run, args=(work,), name="behind", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until nothing goes on; raises what the last work raised, once."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._error = error
