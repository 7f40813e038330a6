"""Making a batch of instances visible: a fixed number of statements, whatever the size.

What is there already is asked once, all new rows are computed here, then each table gets its rows
at once. Writers exclude each other, so nothing can change in between.

Not here: what makes a file safe before this (``ingest``), reading (``resources``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from wherry import clock, limits
from wherry.index import (
    changes,
    completeness,
    deletions,
    recycling,
    removing,
    rows,
    signing,
    totals,
)
from wherry.index.database import Transaction
from wherry.index.recycling import Bounds
from wherry.index.rows import expected_instances, type_row
from wherry.index.totals import Totals
from wherry.model import ChangeType, Level, StagedInstance, Stored, StoreStatus

_ACTIVITY = ("resource", "level", "updated_at")


@dataclass(slots=True)
class _Parents:
    """The rows above one instance, and which of them begin with it."""

    series: int
    study: int
    patient: int
    expected: int | None
    """Instances that the series announces."""
    new: tuple[Level, ...] = ()
    """SERIES, STUDY, PATIENT as far as they are new; emptied after the first instance."""


@dataclass(slots=True)
class _Batch:
    """What one batch writes."""

    signatures: Mapping[Level, str]
    patients: list[type_row] = field(default_factory=list)
    studies: list[type_row] = field(default_factory=list)
    series: list[type_row] = field(default_factory=list)
    instances: list[type_row] = field(default_factory=list)
    attachments: list[type_row] = field(default_factory=list)
    changes: list[tuple[ChangeType, Level, int]] = field(default_factory=list)


def add_instances(
    tx: Transaction,
    batch: Sequence[StagedInstance],
    *,
    overwrite: bool,
    bounds: Bounds | None = None,
    signatures: Mapping[Level, str] = MappingProxyType({}),
    tell: Callable[[int], None] = lambda count: None,
) -> list[Stored]:
    """Make ``batch`` visible; the answers come in its order.

    ``AlreadyStored``: nothing changed, the *new* file is the caller's to delete. With
    ``overwrite`` the new file takes the place of the old one, which goes to the journal of
    deletions. A file that is attached already counts as ``Success``: the caller repeats a commit
    of unknown outcome.

    With ``bounds``, other patients may have to go. Raises ``NoRoom`` when there is no room all
    the same; nothing has changed then.

    ``signatures`` say which tags are kept of each level, when these are not just the main ones.
    ``tell`` is called now and then with the number of instances that are written.
    """
    wanted, superseded = _distinct(batch, overwrite)
    there = _existing(tx, wanted)
    repeated = {key for key, (_, uuid) in there.items() if uuid == wanted[key].attachment.uuid}
    replaced = {key: row for key, (row, _) in there.items() if overwrite and key not in repeated}
    fresh = [staged for key, staged in wanted.items() if key not in there or key in replaced]
    if bounds is not None and fresh:
        _make_room(tx, bounds, fresh, list(replaced.values()))
    if superseded:
        deletions.add(tx, superseded)
    if fresh:
        _write(tx, fresh, list(replaced.values()), signatures, tell)
    return [
        Stored(
            staged.summary.identifiers,
            StoreStatus.SUCCESS
            if overwrite
            or (
                ((key := staged.summary.identifiers.instance) not in there or key in repeated)
                and wanted[key].attachment.uuid == staged.attachment.uuid
            )
            else StoreStatus.ALREADY_STORED,
        )
        for staged in batch
    ]


def _make_room(
    tx: Transaction, bounds: Bounds, fresh: list[StagedInstance], replaced: list[int]
) -> None:
    size = sum(staged.attachment.compressed_size for staged in fresh)
    if replaced:
        row = tx.one(
            "SELECT coalesce(sum(compressed_size), 0) FROM attachments WHERE resource IN ?",
            (replaced,),
        )
        assert row is not None
        size -= int(row[0])
    patients = {staged.summary.identifiers.patient for staged in fresh}
    recycling.make_room(tx, bounds, size, patients)


def _distinct(
    batch: Sequence[StagedInstance], overwrite: bool
) -> tuple[dict[str, StagedInstance], list[tuple[str, str]]]:
    """One file for each instance: the first, with ``overwrite`` the last; and the files of the
    others that ``overwrite`` makes useless."""
    wanted: dict[str, StagedInstance] = {}
    superseded = []
    for staged in batch:
        key = staged.summary.identifiers.instance
        first = wanted.setdefault(key, staged)
        if first is not staged and overwrite:
            if first.attachment.uuid != staged.attachment.uuid:
                superseded.append((first.attachment.uuid, first.attachment.place))
            wanted[key] = staged
    return wanted, superseded


def _existing(tx: Transaction, wanted: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Row and DICOM file of the instances that are there."""
    found = tx.all(
        "SELECT i.orthanc_id, i.id, a.uuid FROM instances i LEFT JOIN attachments a"
        " ON a.resource = i.id AND a.content_type = 1 WHERE i.orthanc_id IN ?",
        (list(wanted),),
    )
    return {orthanc_id: (row, uuid) for orthanc_id, row, uuid in found}


def _write(
    tx: Transaction,
    fresh: list[StagedInstance],
    replaced: list[int],
    signatures: Mapping[Level, str],
    tell: Callable[[int], None],
) -> None:
    counters = totals.load(tx)
    reborn = removing.make_room(tx, counters, replaced) if replaced else frozenset[int]()
    into = _Batch(signatures)
    parents = _known_parents(tx, fresh)
    _add_parents(tx, counters, fresh, parents, into)
    if reborn:
        _give_birth_again(tx, fresh, parents, reborn, signatures)
    _insert_parents(tx, counters, into)
    now = clock.now()
    date = clock.orthanc_date(now)
    for start in range(0, len(fresh), limits.INDEX_ROWS_AT_ONCE):
        for staged in fresh[start : start + limits.INDEX_ROWS_AT_ONCE]:
            _add_instance(counters, staged, parents[staged.summary.identifiers.series], into)
        _insert_instances(tx, counters, into, date)
        tell(min(len(fresh), start + limits.INDEX_ROWS_AT_ONCE))
    _touch(tx, parents.values(), into, now.timestamp())
    expecting = [p.series for p in parents.values() if p.expected is not None]
    if expecting:
        complete = completeness.complete(tx, expecting)
        done = [(ChangeType.CompletedSeries, Level.SERIES, series) for series in complete]
        changes.log(tx, counters, done, date)
    totals.save(tx, counters)


def _known_parents(tx: Transaction, fresh: list[StagedInstance]) -> dict[str, _Parents]:
    """The rows above the instances, by series, as far as the series is there."""
    wanted = {staged.summary.identifiers.series for staged in fresh}
    found = tx.all(
        "SELECT se.orthanc_id, se.id, se.parent, st.parent, se.expected_instances"
        " FROM series se JOIN studies st ON st.id = se.parent WHERE se.orthanc_id IN ?",
        (list(wanted),),
    )
    return {row[0]: _Parents(*row[1:]) for row in found}


def _add_parents(
    tx: Transaction,
    counters: Totals,
    fresh: list[StagedInstance],
    parents: dict[str, _Parents],
    into: _Batch,
) -> None:
    """Make the series, studies and patients that are missing."""
    first: dict[str, StagedInstance] = {}
    for staged in fresh:
        series = staged.summary.identifiers.series
        if series not in parents:
            first.setdefault(series, staged)
    if not first:
        return
    studies, patients = _known_upper(tx, first.values())
    for series, staged in first.items():
        ids = staged.summary.identifiers
        new: tuple[Level, ...] = (Level.SERIES,)
        if ids.study not in studies:
            new += (Level.STUDY,)
            if ids.patient not in patients:
                new += (Level.PATIENT,)
                patients[ids.patient] = counters.new_id()
                into.patients.append(rows.patient(staged, patients[ids.patient]))
            studies[ids.study] = (counters.new_id(), patients[ids.patient])
            into.studies.append(rows.study(staged, *studies[ids.study]))
        study, patient = studies[ids.study]
        row = counters.new_id()
        into.series.append(rows.series(staged, row, study))
        parents[series] = _Parents(row, study, patient, expected_instances(staged), new)


def _known_upper(
    tx: Transaction, staged: Iterable[StagedInstance]
) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
    """Studies (row, row of the patient) and patients (row) that are there."""
    identifiers = [one.summary.identifiers for one in staged]
    studies = tx.all(
        "SELECT orthanc_id, id, parent FROM studies WHERE orthanc_id IN ?",
        (list({ids.study for ids in identifiers}),),
    )
    patients = tx.all(
        "SELECT orthanc_id, id FROM patients WHERE orthanc_id IN ?",
        (list({ids.patient for ids in identifiers}),),
    )
    return {row[0]: (row[1], row[2]) for row in studies}, dict(patients)


def _add_instance(
    counters: Totals, staged: StagedInstance, parents: _Parents, into: _Batch
) -> None:
    row = counters.new_id()
    into.instances.append(rows.instance(staged, row, parents.series))
    into.attachments.append(rows.attachment(staged.attachment, row))
    counters.disk_bytes += staged.attachment.compressed_size
    counters.uncompressed_bytes += staged.attachment.uncompressed_size
    into.changes.append((ChangeType.NewInstance, Level.INSTANCE, row))
    if parents.new:
        for level in parents.new:
            change, resource = _BIRTH[level], _row_at(parents, level)
            into.changes.append((change, level, resource))
        parents.new = ()


_BIRTH = {
    Level.SERIES: ChangeType.NewSeries,
    Level.STUDY: ChangeType.NewStudy,
    Level.PATIENT: ChangeType.NewPatient,
}


def _row_at(parents: _Parents, level: Level) -> int:
    return (parents.patient, parents.study, parents.series)[level - 1]


def _insert_parents(tx: Transaction, counters: Totals, into: _Batch) -> None:
    for level, columns, values in (
        (Level.PATIENT, rows.PATIENT, into.patients),
        (Level.STUDY, rows.STUDY, into.studies),
        (Level.SERIES, rows.SERIES, into.series),
    ):
        if values:
            tx.insert(level.plural, columns, values)
            signing.sign(tx, into.signatures, level, [row[0] for row in values])
    counters.patients += len(into.patients)
    counters.studies += len(into.studies)
    counters.series += len(into.series)


def _insert_instances(tx: Transaction, counters: Totals, into: _Batch, date: str) -> None:
    """Write the instances gathered so far and forget them: memory stays flat."""
    tx.insert("instances", rows.INSTANCE, into.instances)
    signing.sign(tx, into.signatures, Level.INSTANCE, [row[0] for row in into.instances])
    tx.insert("attachments", rows.ATTACHMENT, into.attachments)
    changes.log(tx, counters, into.changes, date)
    counters.instances += len(into.instances)
    into.instances.clear()
    into.attachments.clear()
    into.changes.clear()


def _touch(tx: Transaction, parents: Iterable[_Parents], into: _Batch, at: float) -> None:
    """The parents changed just now and are not stable any more."""
    new = [
        (row[0], int(level), at)
        for level, made in (
            (Level.PATIENT, into.patients),
            (Level.STUDY, into.studies),
            (Level.SERIES, into.series),
        )
        for row in made
    ]
    if new:
        tx.insert("activity", _ACTIVITY, new)
    known = {row for p in parents for row in (p.patient, p.study, p.series)}
    known.difference_update(row[0] for row in new)
    if not known:
        return
    stable = tx.all(
        "UPDATE activity SET updated_at = ? WHERE resource IN ? RETURNING stable",
        (at, list(known)),
    )
    if (1,) in stable:  # apart from the above: most commits need not touch an index for it
        tx.run("UPDATE activity SET stable = 0 WHERE resource IN ?", (list(known),))


def _give_birth_again(
    tx: Transaction,
    fresh: list[StagedInstance],
    parents: dict[str, _Parents],
    reborn: frozenset[int],
    signatures: Mapping[Level, str],
) -> None:
    """Parents all of whose instances are replaced: they are described by the new files and
    announced again, but keep what a user attached to them."""
    signing.unsign(tx, reborn)
    done: set[int] = set()
    for staged in fresh:
        above = parents[staged.summary.identifiers.series]
        for level, columns, values in (
            (Level.SERIES, rows.SERIES, rows.series(staged, above.series, above.study)),
            (Level.STUDY, rows.STUDY, rows.study(staged, above.study, above.patient)),
            (Level.PATIENT, rows.PATIENT, rows.patient(staged, above.patient)),
        ):
            row = _row_at(above, level)
            if row in reborn and row not in done:
                done.add(row)
                above.new += (level,)
                assignments = ", ".join(f"{column} = ?" for column in columns)
                tx.run(f"UPDATE {level.plural} SET {assignments} WHERE id = ?", (*values, row))
                signing.sign(tx, signatures, level, [row])
                if level is Level.SERIES:
                    above.expected = expected_instances(staged)
