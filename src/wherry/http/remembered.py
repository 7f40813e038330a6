"""What was answered lately, for as long as the index does not change.

The index has a number that is another one after each commit, of whatever process
(``Index.state``). It is asked before an answer is made; the answer may be given again while the
number is still the same, because nothing that it shows can have changed. For routes that show the
index and nothing else (``routing.of_index``).

Used by the event loop alone. Not here: who may see an answer; that is asked each time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from wherry import limits


class Remembered:
    """Values that hold in one state of the index, by whatever names them; bounded."""

    def __init__(self, state: Callable[[], int | None]) -> None:
        """``state`` gives None where nobody knows: then nothing is remembered."""
        self._ask = state
        self._state: int | None = None
        self._held: dict[Hashable, Any] = {}
        self._bytes = 0

    def look(self) -> int | None:
        """The state of the index now; what belongs to another one is forgotten."""
        state = self._ask()
        if state != self._state:
            self._state = state
            self._forget()
        return state

    def get(self, key: Hashable) -> Any:
        """What was remembered in the state that ``look`` saw last, or None."""
        return self._held.get(key)

    def put(self, key: Hashable, value: Any, size_bytes: int, state: int | None) -> None:
        """Remember what was found out after ``look`` had given ``state``."""
        if state is None or state != self._state or size_bytes > limits.REMEMBERED_ANSWER_BYTES:
            return
        self._bytes += size_bytes + limits.REMEMBERED_OVERHEAD_BYTES
        if self._bytes > limits.REMEMBERED_BYTES:
            self._forget()
            return
        self._held[key] = value

    def _forget(self) -> None:
        self._held.clear()
        self._bytes = 0
