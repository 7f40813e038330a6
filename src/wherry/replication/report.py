"""What became of everything: counted, with the reasons and an example or two of each."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from wherry import limits

_OTHER = "for other reasons"


@dataclass
class Group:
    """All that met the same fate for the same reason."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


class Report:
    """Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.done = 0
        """Instances that arrived, and were compared."""
        self.done_bytes = 0
        self.not_compared = 0
        """Of these: the server knows no digest, so that only the identifier was compared."""
        self.there = 0
        """Instances that were there already, the same bytes."""
        self.skipped: dict[str, Group] = {}
        """By reason: what is no concern of the server."""
        self.failed: dict[str, Group] = {}
        """By reason: what should be there and is not."""

    def stored(self, size: int, *, compared: bool) -> None:
        """An instance arrived."""
        with self._lock:
            self.done += 1
            self.done_bytes += size
            self.not_compared += not compared

    def found(self) -> None:
        """An instance was there already."""
        with self._lock:
            self.there += 1

    def skip(self, name: str, reason: str) -> None:
        """``name`` is not for the server."""
        self._note(self.skipped, name, reason)

    def fail(self, name: str, reason: str) -> None:
        """``name`` should be there, and is not."""
        self._note(self.failed, name, reason)

    @property
    def failures(self) -> int:
        """How many failed."""
        with self._lock:
            return sum(group.count for group in self.failed.values())

    def _note(self, groups: dict[str, Group], name: str, reason: str) -> None:
        with self._lock:
            if reason not in groups and len(groups) >= limits.REPORT_REASONS:
                reason = _OTHER
            group = groups.setdefault(reason, Group())
            group.count += 1
            if len(group.examples) < limits.REPORT_EXAMPLES:
                group.examples.append(name)
