"""Server → server, through this machine: every instance that the target does not have.

Study by study, so that studies become whole one after the other. What the target has is compared
by identifier and MD5 and not sent again, so that a second run goes on where the first one stopped.
Only instances are copied: metadata, attachments and labels that users added stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import NamedTuple

from wherry import limits
from wherry.errors import WherryError
from wherry.jobs.crew import Crew
from wherry.peers.refusal import PeerRefusal
from wherry.replication.local import LocalFile, temporary
from wherry.replication.remote import Remote, ends_it
from wherry.replication.report import Report

_CONFLICT = "the target has other bytes under the same identifiers, and keeps them"


class _Item(NamedTuple):
    instance: str
    there: bool
    """The target has it already."""


class ServerCopy:
    """One run. ``run`` returns when everything was looked at; raises when there is no point in
    going on."""

    def __init__(
        self,
        source: Remote,
        target: Remote,
        *,
        connections: int = limits.REPLICATION_CONNECTIONS,
    ) -> None:
        self.report = Report()
        self._source = source
        self._target = target
        self._connections = connections
        self._progress: Callable[[int], None] = _nobody

    def run(self, progress: Callable[[int], None]) -> None:
        """``progress`` is told the number of instances that were dealt with.

        Raises ``WherryError`` when a server is out of reach, refuses us, or is full."""
        self._progress = progress
        crew = Crew(self._connections, lambda: None, self._abort)
        self._source.wait = self._target.wait = crew.pause
        crew.work(self._items(), self._one)

    def _abort(self) -> None:
        self._source.abort()
        self._target.abort()

    def _items(self) -> Iterator[_Item]:
        for study in self._source.studies():
            there = set(self._target.instances_of(study))
            for instance in self._source.instances_of(study):
                yield _Item(instance, instance in there)

    def _one(self, item: _Item) -> None:
        name = f"Instance {item.instance}"
        try:
            if item.there:
                self._compare(item.instance, name)
            else:
                self._copy(item.instance, name)
        except WherryError as error:
            if ends_it(error):
                raise
            if isinstance(error, PeerRefusal) and error.status == HTTPStatus.NOT_FOUND:
                self.report.skip(name, "it has gone from the source meanwhile")
            else:
                self.report.fail(name, str(error))
        self._progress(1)

    def _compare(self, instance: str, name: str) -> None:
        here, there = self._source.md5_of(instance), self._target.md5_of(instance)
        if here and there and here != there:
            self.report.fail(name, _CONFLICT)
        else:
            self.report.found()

    def _copy(self, instance: str, name: str) -> None:
        with temporary() as file:
            md5 = self._source.fetch(instance, file)
            known = self._source.md5_of(instance)
            if known and known != md5:
                self.report.fail(name, "the source gives other bytes than it has stored")
                return
            reader = LocalFile(file)
            identifier, already = self._target.store(reader)
            there = self._target.md5_of(identifier)
        if there == md5 or (not there and identifier == instance):
            self.report.stored(reader.size, compared=bool(there))
        elif already:
            self.report.fail(name, _CONFLICT)
        else:
            self.report.fail(name, "the target has stored something else")


def _nobody(step: int) -> None:
    """Nobody looks at the progress yet."""
