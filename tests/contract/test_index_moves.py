"""Files on their way between the stores, as the index knows them, on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from tests.support.staged import staged, study
from wherry import clock
from wherry.index import attachments, deletions, moves, resources, tiers
from wherry.index.database import Index
from wherry.index.moves import Move
from wherry.index.processes import ProcessRow, register
from wherry.model import Attachment, Level, StagedInstance

HERE, THERE = "", "object-storage:.dcm:"


@pytest.fixture
def one(index: Index) -> StagedInstance:
    one = staged()
    index.write(lambda tx: resources.add_instances(tx, [one], overwrite=False))
    for process in ("me", "other"):
        row = ProcessRow(process, "host", 1, "1", clock.timestamp())
        index.write(partial(register, process=row))
    return one


def move_of(one: StagedInstance) -> Move:
    return Move(one.attachment.uuid, HERE, THERE)


def begin(index: Index, move: Move, owner: str = "me", job: str = "job") -> list[Move]:
    return index.write(lambda tx: moves.begin(tx, owner, job, [move]))


def finish(index: Index, move: Move, job: str = "job") -> list[Move]:
    return index.write(lambda tx: moves.finish(tx, job, [move]))


def place(index: Index, move: Move) -> str | None:
    with index.read() as tx:
        return moves.place_of(tx, move.uuid)


def journal(index: Index) -> list[tuple[str, str]]:
    with index.read() as tx:
        return deletions.pending(tx, 100)


def test_a_move(index: Index, one: StagedInstance) -> None:
    move = move_of(one)
    assert place(index, move) == HERE
    assert begin(index, move) == [move]
    assert place(index, move) == HERE
    assert journal(index) == []
    assert finish(index, move) == [move]
    assert place(index, move) == THERE
    assert journal(index) == [(move.uuid, HERE)]
    assert finish(index, move) == []


def test_a_file_has_one_mover(index: Index, one: StagedInstance) -> None:
    move = move_of(one)
    begin(index, move)
    assert begin(index, move, "other", "another") == []
    assert finish(index, move, "another") == []
    assert place(index, move) == HERE
    assert finish(index, move) == [move]
    assert begin(index, move) == []  # it is not where it was


def test_a_name_comes_back_only_when_its_removal_is_over(index: Index, one: StagedInstance) -> None:
    move = move_of(one)
    back = Move(move.uuid, THERE, HERE)
    begin(index, move)
    finish(index, move)
    assert begin(index, back) == []
    claimed = index.write(lambda tx: deletions.claim(tx, "me", ("", ""), 10))
    assert claimed == [(move.uuid, HERE)]
    assert begin(index, back) == []
    index.write(lambda tx: deletions.done(tx, "other", claimed))
    assert begin(index, back) == []
    index.write(lambda tx: deletions.done(tx, "me", claimed))
    assert begin(index, back) == [back]


def test_what_one_process_removes_no_other_does(index: Index, one: StagedInstance) -> None:
    files = [(f"u{number}", HERE) for number in range(3)]
    index.write(lambda tx: deletions.add(tx, files))

    def claim(owner: str, limit: int = 10) -> list[tuple[str, str]]:
        return index.write(lambda tx: deletions.claim(tx, owner, ("", ""), limit))

    assert claim("me", 2) == files[:2]
    assert claim("other") == files[2:]
    assert claim("me") == files[:2]
    index.write(lambda tx: tx.run("DELETE FROM processes WHERE id = 'me'"))
    assert claim("other") == files


def test_copies_that_are_given_up(index: Index, one: StagedInstance) -> None:
    move = move_of(one)
    begin(index, move)
    index.write(lambda tx: moves.give_up(tx, "job", [move]))
    assert journal(index) == [(move.uuid, THERE)]
    assert (place(index, move), finish(index, move)) == (HERE, [])


def test_copies_of_an_earlier_run_of_a_job(index: Index, one: StagedInstance) -> None:
    move = move_of(one)
    begin(index, move, job=moves.new_run("this"))
    assert index.write(lambda tx: moves.give_up_all(tx, "another")) == 0
    assert index.write(lambda tx: moves.give_up_all(tx, "this")) == 1
    assert journal(index) == [(move.uuid, THERE)]


@pytest.mark.parametrize("gone", [False, True])
def test_copies_of_a_dead_process(index: Index, one: StagedInstance, gone: bool) -> None:
    move = move_of(one)
    begin(index, move)
    if gone:  # it has left without giving them up
        index.write(lambda tx: tx.run("DELETE FROM processes WHERE id = 'me'"))
    dead = [] if gone else ["me"]
    with index.read() as tx:
        assert moves.left_behind(tx, ["other"]) == ([(move.uuid, THERE)] if gone else [])
        assert moves.left_behind(tx, dead) == [(move.uuid, THERE)]
    assert index.write(lambda tx: moves.take_over(tx, dead)) == 1
    assert journal(index) == [(move.uuid, THERE)]
    assert finish(index, move) == []  # it was not dead after all
    assert place(index, move) == HERE


def test_an_earlier_run_has_no_share_in_a_later_one(index: Index, one: StagedInstance) -> None:
    move = move_of(one)
    earlier, later = moves.new_run("job"), moves.new_run("job")
    begin(index, move, job=earlier)
    index.write(lambda tx: moves.give_up_all(tx, "job"))
    removed(index)
    assert begin(index, move, job=later) == [move]
    assert finish(index, move, earlier) == []
    index.write(lambda tx: moves.give_up(tx, earlier, [move]))
    assert (place(index, move), journal(index)) == (HERE, [])
    assert finish(index, move, later) == [move]
    assert finish(index, move, earlier) == []
    assert journal(index) == [(move.uuid, HERE)]


@pytest.mark.parametrize("deleted", [False, True])
def test_a_copy_that_comes_after_it_was_given_up_goes(
    index: Index, one: StagedInstance, deleted: bool
) -> None:
    move = move_of(one)
    begin(index, move)
    index.write(lambda tx: moves.take_over(tx, ["me"]))
    if deleted:
        ids = one.summary.identifiers
        index.write(lambda tx: resources.delete(tx, Level.INSTANCE, ids.instance))
    removed(index)
    assert finish(index, move) == []
    assert journal(index) == [(move.uuid, THERE)]


def removed(index: Index) -> None:
    """What the janitor does."""
    gone = index.write(lambda tx: deletions.claim(tx, "me", ("", ""), 10))
    index.write(lambda tx: deletions.done(tx, "me", gone))


def test_a_deletion_meanwhile_wins(index: Index, one: StagedInstance) -> None:
    move = move_of(one)
    begin(index, move)
    ids = one.summary.identifiers
    index.write(lambda tx: resources.delete(tx, Level.INSTANCE, ids.instance))
    assert finish(index, move) == []
    assert journal(index) == [(move.uuid, HERE), (move.uuid, THERE)]
    assert place(index, move) is None


def test_a_replacement_meanwhile_wins(index: Index, one: StagedInstance) -> None:
    move = move_of(one)
    begin(index, move)
    newer = staged(size=2000)
    index.write(lambda tx: resources.add_instances(tx, [newer], overwrite=True))
    assert finish(index, move) == []
    assert journal(index) == [(move.uuid, HERE), (move.uuid, THERE)]
    assert place(index, move_of(newer)) == HERE


def test_rows_and_forms_below(index: Index) -> None:
    instances = study(3, series_size=2)
    index.write(lambda tx: resources.add_instances(tx, instances, overwrite=False))
    ids = instances[0].summary.identifiers
    beside = Attachment("a" * 36, 1024, 50, "", 20, "", 2)
    index.write(lambda tx: attachments.put(tx, Level.STUDY, ids.study, beside))

    def below(level: Level, *names: str) -> Sequence[int]:
        with index.read() as tx:
            return moves.rows_below(tx, level, names)

    assert len(below(Level.PATIENT, ids.patient)) == 1 + 1 + 2 + 3
    assert len(below(Level.INSTANCE, ids.instance, "unknown")) == 1
    rows = below(Level.STUDY, ids.study)
    with index.read() as tx:
        assert [file.uuid for file in moves.files_of(tx, rows)].count(beside.uuid) == 1
        assert len(moves.files_of(tx, rows)) == 4
        assert [tuple(form) for form in moves.forms_below(tx, rows)] == [
            (HERE, 1, 3, 3000, 3000),
            (HERE, 2, 1, 20, 50),
        ]
        assert moves.studies_of(tx, Level.INSTANCE, [ids.instance]) == [
            *moves.studies_of(tx, Level.PATIENT, [ids.patient])
        ]


def test_what_was_read(index: Index, one: StagedInstance) -> None:
    ids = one.summary.identifiers

    def rows() -> list[tuple[float, float]]:
        with index.read() as tx:
            return tx.all("SELECT read_at, away_at FROM tiers")

    with index.read() as tx:
        found = tiers.studies_of_files(tx, [one.attachment.uuid, "unknown"])
        assert [*found] == moves.studies_of(tx, Level.STUDY, [ids.study])
    index.write(lambda tx: tiers.read(tx, [*found, 10_000], 5.0))
    assert rows() == [(5, 0)]
    index.write(lambda tx: tiers.went_away(tx, found, 6.0))
    assert rows() == [(5, 6)]
    index.write(lambda tx: tiers.came_back(tx, found, 7.0))
    assert rows() == [(7, -7)]
    index.write(lambda tx: resources.delete(tx, Level.STUDY, ids.study))
    assert rows() == []
