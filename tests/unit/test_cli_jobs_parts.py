"""What ``wherry jobs`` makes of a server's answers: words, sizes, speeds, lines that fit."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from wherry.cli.jobs import look
from wherry.cli.jobs.choosing import NoSuchJob, choose
from wherry.cli.jobs.contents import Volume, purpose, volume
from wherry.cli.jobs.displays import Lines, LiveTable, display_on, sentence, table
from wherry.cli.jobs.following import Followed
from wherry.cli.jobs.layout import Column, Row, lay_out
from wherry.cli.jobs.meter import Meter
from wherry.cli.jobs.view import read_job
from wherry.cli.jobs.words import as_json, count, duration, harmless, moment, parse_date, part, size
from wherry.errors import NetworkProtocol

UUID = "{:08d}-0000-4000-8000-000000000000"


def job(number: int = 1, state: str = "Running", **members: Any) -> dict[str, Any]:
    """A job as servers show it."""
    return {
        "ID": UUID.format(number),
        "Type": "PushTransfer",
        "State": state,
        "Priority": 0,
        "Progress": 40,
        "CreationTime": f"20250102T0304{number:02d}.5",
        "Timestamp": "20250102T030500",
        "EffectiveRuntime": 2.0,
        "ErrorCode": 0,
        "ErrorDescription": "Success",
        "ErrorDetails": "",
        "Content": {},
    } | members


def console(width: int, height: int = 24, **options: Any) -> Console:
    return Console(file=io.StringIO(), width=width, height=height, **options)


def printed(where: Console) -> str:
    assert isinstance(where.file, io.StringIO)
    return where.file.getvalue()


# --- words ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_600, "1.00 MB"),
        (123_456_789, "123 MB"),
        (10.0**20, "100000 PB"),
    ],
)
def test_sizes(number: float, text: str) -> None:
    assert size(number) == text


def test_parts() -> None:
    assert part(120e6, 512e6) == "120 of 512 MB"
    assert part(120e3, 512e6) == "120 kB of 512 MB"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (-1, "0.0s"),
        (0.94, "0.9s"),
        (0.96, "1s"),
        (59.6, "1m00s"),
        (200, "3m20s"),
        (3599.6, "1h00m"),
        (7500, "2h05m"),
        (273_600, "3d04h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_moments_of_today_are_short() -> None:
    then = datetime(2025, 6, 1, 12, 30, 5, tzinfo=UTC)
    local = then.astimezone()
    assert moment(then, then) == local.strftime("%H:%M:%S")
    later = datetime(2025, 6, 4, 12, tzinfo=UTC)
    assert moment(then, later) == local.strftime("%Y-%m-%d %H:%M")
    assert moment(None, later) == ""


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("20250102T030405", datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("20250102T030405.25", datetime(2025, 1, 2, 3, 4, 5, 250_000, tzinfo=UTC)),
        ("20251302T030405", None),
        ("2025-01-02", None),
        ("", None),
        (20250102, None),
        (None, None),
    ],
)
def test_dates(text: Any, date: datetime | None) -> None:
    assert parse_date(text) == date


def test_numbers_of_things() -> None:
    told = [count(n, name) for n in (1, 2) for name in ("study", "series", "job")]
    assert told == ["1 study", "1 series", "1 job", "2 studies", "2 series", "2 jobs"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07\n", "�[31mred��"),
        ("\x9b2J\u202e", "�2J�"),
        ("to http://me:se/cret@host/", "to http://me:se/cret@host/"),
        ("to http://me:secret@host/ and https://x:y@z", "to http://host/ and https://z"),
        ("to http://me:se@cret@host/", "to http://host/"),
        ("see http://host/ or write to me@host", "see http://host/ or write to me@host"),
    ],
)
def test_texts_of_servers(text: str, shown: str) -> None:
    assert harmless(text) == shown
    assert len(harmless("a" * 10_000)) == 500


def test_json_is_whole_but_for_what_could_do_harm() -> None:
    value = {"a": ["\x9b2J\x1b\u202e", "Zoë", "\U000e0001", 1.5, None, 'http://me:a"b@host/']}
    text = as_json(value)
    assert all(c.isprintable() or c == "\n" for c in text)
    value["a"][-1] = "http://host/"
    assert json.loads(text) == value
    assert "Zoë" in text
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    with pytest.raises(NetworkProtocol, match="deep"):
        as_json(deep)


# --- identifiers ---------------------------------------------------------------------------
def test_beginnings_of_identifiers() -> None:
    ids = ["aaaa-1", "aaaa-12", "bbbb-1"]
    assert choose("bbbb", ids) == choose("BBBB-1", ids) == "bbbb-1"
    assert choose("aaaa-1", ids) == "aaaa-1"
    with pytest.raises(NoSuchJob, match=r"2 jobs begin like this: aaaa-1, aaaa-12$"):
        choose("aaaa", ids)
    with pytest.raises(NoSuchJob, match="no such job"):
        choose("cccc", ids)


def test_short_identifiers_stay_apart() -> None:
    assert look.short_length(["abcdefgh1", "ibcdefgh2"]) == 8
    assert look.short_length(["abcdefgh1", "abcdefgh2"]) == 12
    assert look.short_length(["abcdefgh1", "abcdefgh1"]) == 8
    assert look.short_length([]) == 8


# --- a job ---------------------------------------------------------------------------------
ODD: list[Any] = [None, True, -1, 10**30, 1.5, "", "x" * 5000, "\x1b[2J", "9" * 30, [], [[]], {}]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
def test_whatever_a_server_says_is_shown_somehow(odd: Any) -> None:
    contents = [
        {"Resources": odd, "Peer": odd, "CompletedBytes": odd, "TotalBytes": odd},
        {"UploadedSizeMB": odd, "TotalSizeMB": odd, "NetworkSpeedKBs": odd, "Compression": odd},
        {"Resources": [odd, {"Level": odd}], "Peer": [odd], "Size": odd, "RemoteAet": odd},
        {"InstancesCount": odd, "FailedInstancesCount": odd, "CountOperations": odd},
        {"Peer": {"Url": odd}, "ArchiveSize": odd, "IsAnonymization": odd},
        odd,
    ]
    raws = [job(**{name: odd}) for name in job() if name not in ("ID", "Content")]
    raws += [{"ID": "abcd", "State": state} for state in ("Retry", "Running", "Success", "")]
    raws += [job(Type=type_, Content=one) for type_ in TYPES for one in contents]
    raws += [job(state="Retry", NextAttempt=odd, Attempts=odd)]
    raws += [job(EstimatedTimeOfArrival=odd)]
    jobs = [Followed(read_job(raw)) for raw in raws]
    for one in jobs:
        one.look(one.view)
        assert sentence(one).isprintable()
    for line in table(console(80), jobs, None)[:-1]:
        assert line.plain.isprintable()
        assert line.cell_len <= 80


TYPES = [
    "PushTransfer",
    "PullTransfer",
    "OrthancPeerStore",
    "DicomModalityStore",
    "DicomMoveScu",
    "ResourceModification",
    "Archive",
    "StorageCommitmentScp",
    "SequenceOfOperations",
    "SomethingElse",
]

MIB = 2.0**20
STUDIES = [{"Level": "Study", "ID": "a"}, {"Level": "STUDY", "ID": "b"}, {"Level": "Series"}]


@pytest.mark.parametrize(
    ("type_", "content", "words", "done"),
    [
        ("PushTransfer", {}, "", None),
        (
            "PushTransfer",
            {"Resources": STUDIES, "Peer": "paris", "CompletedBytes": "120", "TotalBytes": "512"},
            "2 studies, 1 series to paris, 120 of 512 B",
            Volume(120, 512, "bytes"),
        ),
        (
            "PushTransfer",
            {"Peer": "paris", "CompletedBytes": "512", "TotalBytes": "512"}
            | {"Stage": "Committing", "StageDone": 2000, "StageTotal": 20_000},
            "to paris, committing 2000 of 20000 instances",
            Volume(512, 512, "bytes"),
        ),
        ("PullTransfer", {"Peer": "x", "Stage": "Verifying"}, "from x, verifying", None),
        ("PullTransfer", {"Peer": "x", "Stage": ["Verifying"]}, "from x", None),
        (  # the plugin of Orthanc
            "PushTransfer",
            {"Peer": "paris", "Compression": "none", "UploadedSizeMB": 10, "TotalSizeMB": 20},
            "to paris, 10.5 of 21.0 MB",
            Volume(10 * MIB, 20 * MIB, "bytes"),
        ),
        (
            "PullTransfer",
            {"Peer": "paris", "Compression": "gzip", "DownloadedSizeMB": 10, "TotalSizeMB": 20},
            "from paris, 10.5 MB",
            Volume(10 * MIB, None, "bytes"),
        ),
        (
            "OrthancPeerStore",
            {"InstancesCount": 1, "Peer": ["http://me:pw@host/"], "Size": "1500000"},
            "1 instance to http://host/, 1.50 MB",
            Volume(1.5e6, None, "bytes"),
        ),
        (
            "OrthancPeerStore",
            {"InstancesCount": 5, "Peer": {"Url": "http://host/"}, "FailedInstancesCount": 2},
            "5 instances to http://host/, 2 failed",
            None,
        ),
        (
            "DicomModalityStore",
            {"InstancesCount": 10, "RemoteAet": "STORE"},
            "10 instances to STORE",
            Volume(4, 10, "instances"),
        ),
        ("DicomMoveScu", {"RemoteAet": "PACS", "Query": [{"0010,0010": "X"}]}, "from PACS", None),
        ("StorageCommitmentScp", {"RemoteAet": "PACS"}, "for PACS", None),
        (
            "ResourceModification",
            {"InstancesCount": 10, "IsAnonymization": True},
            "anonymize 10 instances",
            Volume(4, 10, "instances"),
        ),
        ("ResourceModification", {}, "modify", None),
        (
            "Archive",
            {"InstancesCount": 3, "ArchiveSize": "1000", "UncompressedSize": "4000"},
            "3 instances, 1.00 kB",
            Volume(1000, None, "bytes"),
        ),
        ("SequenceOfOperations", {"CountOperations": 3}, "3 operations", None),
        ("Novelty", {"Description": "x"}, "", None),
    ],
)
def test_what_a_job_does(type_: str, content: Any, words: str, done: Volume | None) -> None:
    view = read_job(job(Type=type_, Content=content))
    assert purpose(view) == words
    assert volume(view) == done


def test_a_job_read() -> None:
    view = read_job(job(EstimatedTimeOfArrival="20250102T030507.5", Priority=7, Progress=140))
    assert (view.left_s, view.priority, view.percent) == (7.5, 7, 100)
    assert view.error == ""  # what it failed with before, or Orthanc's "Success"
    failed = {"ErrorCode": 9, "ErrorDescription": "Network", "ErrorDetails": ""}
    assert read_job(job(state="Failure", **failed)).error == "Network"
    assert read_job(job(state="Pending", **failed)).error == ""
    assert read_job(job(state="Failure", **failed | {"ErrorDetails": "gone"})).error == "gone"
    cancelled = read_job(job(state="Failure", ErrorCode=37, ErrorDescription="This job was ..."))
    assert (cancelled.cancelled, cancelled.error) == (True, "cancelled")


def test_a_job_that_is_tried_again() -> None:
    retry = {"ErrorCode": 9, "ErrorDetails": "the peer is away", "Attempts": 2}
    view = read_job(job(state="Retry", **retry, NextAttempt="20250102T030512"))
    assert look.retry_words(view) == "after 2 attempts: the peer is away; next attempt in 12s"
    assert [note.plain for note in look.notes(view)] == [look.retry_words(view)]
    assert look.retry_words(view) in sentence(Followed(view))
    past = read_job(job(state="Retry", NextAttempt="20250102T030400"))
    assert look.retry_words(past) == "Success; next attempt in 0.0s"
    assert look.retry_words(read_job({"ID": "abcd", "State": "Retry"})) == ""


# --- speed ---------------------------------------------------------------------------------
def test_the_speed_is_that_of_late() -> None:
    meter = Meter()
    assert meter.speed is None
    for second in range(11):
        meter.look(second, second * 100)
    assert meter.speed == 100
    for second in range(11, 40):
        meter.look(second, 1000 + (second - 10) * 10)
    assert meter.speed == 10
    meter.look(40, 5)  # resubmitted
    assert meter.speed is None
    meter.look(40.1, 10_000)
    assert meter.speed is None  # too soon to tell
    meter.look(41, 10_000)
    assert meter.speed == 9995
    meter.forget()
    assert meter.speed is None


def moved(first: dict[str, Any], then: dict[str, Any], **members: Any) -> Followed:
    """A job seen twice, with two seconds between."""
    followed = Followed(read_job(job(Content=first, **members)))
    later = {**members, "Progress": 50, "Timestamp": "20250102T030502"}
    followed.look(read_job(job(Content=then, **later)))
    return followed


def test_speed_and_time_left() -> None:
    total = {"TotalBytes": "1000"}
    job_ = moved(total | {"CompletedBytes": "200"}, total | {"CompletedBytes": "400"})
    assert (job_.speed, job_.left_s) == (100, 6)
    assert sentence(job_).endswith("400 B of 1.00 kB: Running 50%, 100 B/s, 6s left")
    job_ = moved({}, {"NetworkSpeedKBs": 2}, EstimatedTimeOfArrival="20250102T030512")
    assert (job_.speed, job_.left_s) == (2048, 10)
    job_ = moved({"InstancesCount": 30}, {"InstancesCount": 30}, Type="DicomModalityStore")
    assert (job_.speed, job_.left_s) == (1.5, 10)
    assert sentence(job_).endswith("30 instances: Running 50%, 1.5 inst/s, 10s left")


def test_a_job_that_has_ended_has_an_average() -> None:
    done = {"TotalBytes": "5000000", "CompletedBytes": "5000000"}
    ended = Followed(read_job(job(state="Success", Content=done)))
    assert ended.speed == 2_500_000
    assert sentence(ended).endswith("PushTransfer 5.00 MB: Success in 2s, 2.50 MB/s")
    failed = Followed(read_job(job(state="Failure", Content=done, ErrorDetails="x")))
    assert (failed.speed, failed.left_s) == (None, None)
    assert sentence(failed).endswith(": Failure in 2s, x")


# --- lines ---------------------------------------------------------------------------------
COLUMNS = (Column("ID"), Column("Type", most=12), Column("Number", right=True))
NOTE = "a long sentence of what went wrong with http://somewhere.example.org/that/is/far/away"


def rows() -> list[Row]:
    return [
        Row([Text("abcdefgh"), Text("Short"), Text("1")], [Text("what")]),
        Row([Text("ijklmnop"), Text("ATypeThatIsTooLong"), Text("23456789")], [Text(NOTE)]),
        Row([Text("qrst"), Text("日本語日本語日本語"), Text("")], []),
    ]


@pytest.mark.parametrize("width", [*range(1, 130), 200])
def test_lines_fit_and_nothing_of_a_note_is_lost(width: int) -> None:
    blocks = lay_out(console(80), COLUMNS, rows(), width)
    if width >= 32:  # as wide as the columns
        assert max(line.cell_len for block in blocks for line in block) <= width
    main = width if len(blocks[1]) == 2 else 32
    words = "".join(line.plain for line in blocks[2])
    assert "".join(NOTE.split()) in "".join(words.split()) or main < 32
    assert len(blocks) == 4


def test_notes_are_beside_where_there_is_room_and_beneath_elsewhere() -> None:
    beneath = [
        "\n".join(line.plain for line in block)
        for block in lay_out(console(80), COLUMNS, rows(), 60)
    ]
    assert beneath == [
        "ID        Type            Number",
        "abcdefgh  Short                1\n          what",
        "ijklmnop  ATypeThatIs…  23456789\n"
        "          a long sentence of what went wrong with\n"
        "          http://somewhere.example.org/that/is/far/away",
        "qrst      日本語日本 …",
    ]
    beside = [
        "\n".join(line.plain for line in block)
        for block in lay_out(console(80), COLUMNS, rows(), 80)
    ]
    assert beside[:3] == [
        "ID        Type            Number  What",
        "abcdefgh  Short                1  what",
        "ijklmnop  ATypeThatIs…  23456789  a long sentence of what went wrong with\n"
        "                                  http://somewhere.example.org/that/is/far/away",
    ]
    endless = lay_out(console(80), COLUMNS, rows(), None)
    assert [len(block) for block in endless] == [1, 1, 1, 1]
    assert endless[2][0].plain.endswith(f"23456789  {NOTE}")


# --- displays ------------------------------------------------------------------------------
def followed(number: int, state: str, **members: Any) -> Followed:
    return Followed(read_job(job(number, state, **members)))


def test_one_line_for_each_change() -> None:
    where = console(80)
    lines = Lines(where)
    one, two = followed(1, "Running"), followed(2, "Pending", Progress=0)
    lines.show([one, two], "")
    lines.show([one, two], "")
    two.look(read_job(job(2, "Running", Progress=0)))
    lines.show([one, two], "")
    lines.show([one, two], "no answer for 1s")
    lines.show([one, two], "no answer for 2s")
    one.look(read_job(job(1, "Failure", ErrorDetails="a\nb")))
    two.gone = True
    lines.finish([one, two])
    told = [line[len("00:00:00 ") :] for line in printed(where).splitlines()]
    assert told == [
        f"{UUID.format(1)} PushTransfer: Running 40%",
        f"{UUID.format(2)} PushTransfer: Pending",
        f"{UUID.format(2)} PushTransfer: Running 0%",
        "no answer for 1s",
        "the server answers again",
        f"{UUID.format(1)} PushTransfer: Failure in 2s, a�b",
        f"{UUID.format(2)} PushTransfer: the server has forgotten how it ended",
        "2 jobs: 1 Failure, 1 gone",
    ]


def test_a_terminal_shows_what_moves_and_in_the_end_everything() -> None:
    states = ["Success"] * 20 + ["Pending"] * 10 + ["Running"] * 3 + ["Success"] * 5
    jobs = [followed(number, state) for number, state in enumerate(states)]
    where = console(80, height=12, force_terminal=True, color_system=None)
    with display_on(where) as display:
        assert isinstance(display, LiveTable)
        display.show(jobs, "no answer for 3s")
        shown = printed(where)
        display.finish(jobs)
    assert [shown.count(state) for state in ("Running", "Pending", "Success")] == [4, 6, 1]
    assert "38 jobs: 10 Pending, 3 Running, 25 Success; 30 not shown" in shown
    assert "no answer for 3s" in shown
    end = printed(where)[len(shown) :]
    assert end.count(" Success ") == 25
    assert "\x1b[3" not in shown  # no colours on a terminal that has none


@pytest.mark.parametrize(("width", "bar"), [(80, 12), (140, 20)])
def test_the_live_table(width: int, bar: int) -> None:
    total = {"TotalBytes": "512000000", "Peer": "paris"}
    busy = moved(total | {"CompletedBytes": "200000000"}, total | {"CompletedBytes": "256000000"})
    broken = followed(2, "Failure", ErrorDetails="libCURL error: Couldn't connect to server")
    lines = [line.plain for line in table(console(width), [busy, broken], None)]
    assert max(map(len, lines)) <= width
    full, empty = "━" * (bar // 2), " " * (bar // 2)
    beside = width == 140
    assert lines[0] == (
        f"ID        Type          State    {'Progress':{bar}}  Done       Speed    Left"
        + "  What" * beside
    )
    assert lines[1] == (
        f"00000001  PushTransfer  Running  {full}{empty}   50%   28.0 MB/s      9s"
        + "  to paris, 256 of 512 MB" * beside
    )
    assert ("          to paris, 256 of 512 MB" in lines) != beside
    assert [line.strip() for line in lines[-2:-1]] == ["libCURL error: Couldn't connect to server"]
