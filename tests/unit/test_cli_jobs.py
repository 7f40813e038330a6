"""``wherry jobs``: asked, listed, followed, steered; with real servers and scripted ones."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from rich.console import Console

from tests.support.dicom_files import make_series
from tests.support.orthanc import ORTHANC, Orthanc
from tests.support.proxy import Message, Proxy, proxied
from tests.support.receiver import receiving
from tests.support.server import Server, free_port, running
from wherry import clock, limits
from wherry.cli.jobs.arguments import Order, parse
from wherry.cli.jobs.displays import Lines
from wherry.cli.jobs.following import Followed, Following
from wherry.cli.jobs.listing import show_list
from wherry.cli.jobs.server import JobServer, type_raw
from wherry.cli.jobs.steering import steer
from wherry.cli.main import main
from wherry.errors import NetworkProtocol, PeerUnavailable
from wherry.peers.refusal import PeerRefusal

KINDS = {"wherry": Server, "orthanc": Orthanc}
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def named(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


def job(number: int, state: str, **members: Any) -> type_raw:
    return {
        "ID": named(number),
        "Type": "PushTransfer",
        "State": state,
        "Priority": 0,
        "Progress": 0,
        "CreationTime": f"20250102T0304{number:02d}",
        "Timestamp": "20250102T030500",
        "EffectiveRuntime": 2.0,
        "Content": {},
    } | members


def refusal(status: int, text: str = "no") -> PeerRefusal:
    return PeerRefusal(text, status=status, peer_code=None, retry_after_s=None)


class Scripted:
    """A server whose jobs change with each look at all of them; errors are raised."""

    def __init__(self, *looks: Sequence[type_raw] | Exception) -> None:
        self.looks = list(looks)
        self.now: dict[str, type_raw] = {}
        self.asked: list[str] = []
        self.refusals: dict[str, PeerRefusal] = {}
        self.effect: Callable[[str, str], None] = lambda *_: None

    def all(self) -> list[type_raw]:
        self.asked.append("all")
        look = self.looks.pop(0)
        if isinstance(look, Exception):
            raise look
        self.now = {raw["ID"]: raw for raw in look}
        return list(look)

    def ids(self) -> list[str]:
        return sorted(self.now)

    def job(self, job_id: str) -> type_raw | None:
        self.asked.append(job_id)
        return self.now.get(job_id)

    def act(self, job_id: str, action: str) -> PeerRefusal | None:
        self.asked.append(f"{action} {job_id}")
        self.effect(job_id, action)
        return self.refusals.get(job_id)


# --- what is asked for ---------------------------------------------------------------------
URL = "http://host:8042/"


@pytest.mark.parametrize(
    ("arguments", "order"),
    [
        ("", Order("http://localhost:8042/")),
        (URL, Order(URL)),
        ("follow", Order("http://localhost:8042/", "follow")),
        (f"{URL} follow --forever", Order(URL, "follow", forever=True)),
        (f"{URL} follow 1234 5678 1234", Order(URL, "follow", ("1234", "5678"))),
        (f"{URL} --cacert f follow 1234", Order(URL, "follow", ("1234",), authorities=Path("f"))),
        (f"--cacert f {URL} show 1234", Order(URL, "show", ("1234",), authorities=Path("f"))),
        (f"--limit 3 {URL} --json", Order(URL, limit=3, json=True)),
        (
            f"--state running {URL} --state RETRY --type PushTransfer",
            Order(URL, states=("Running", "Retry"), types=("pushtransfer",)),
        ),
        ("cancel 1234", Order("http://localhost:8042/", "cancel", ("1234",))),
    ],
)
def test_words_and_options_in_any_order(arguments: str, order: Order) -> None:
    assert parse(arguments.split(), {}) == order


def test_the_environment_helps() -> None:
    environ = {"WHERRY_URL": URL, "WHERRY_USERNAME": "me", "WHERRY_PASSWORD": "secret"}
    assert parse(["follow"], environ) == Order(URL, "follow", username="me", password="secret")
    assert parse(["https://other/"], environ).url == "https://other/"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("sail", "'sail' is neither an action"),
        ("cancle 1234", 'did you mean "cancel"'),
        ("list 1234", "neither an action"),
        ("cancel", "needs the ID"),
        ("cancel all", "at least 4 characters"),
        ("show", "the ID of one job"),
        ("show 1234 5678", "the ID of one job"),
        ("follow --json", "belong to the list"),
        ("follow 1234 --forever", "without IDs"),
        ("--forever", "belongs to follow"),
        ("--state Sunk", "is one of Pending"),
        ("--limit 0", "at least 1"),
        ("--limit http://me:secret@host/", "at least 1"),
        ("--state http://me:secret@host/", "is one of Pending"),
        ("follow http://me:secret@host/", "comes first"),
        ("http://me:secret@host/ http://me:secret@host/", "comes first"),
        ("me:secret@host me:secret@host", "comes first"),
        ("--sail", "unrecognized"),
    ],
)
def test_wrong_usage(arguments: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["jobs", *arguments.split()])
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: wherry jobs [URL]" in err
    assert sentence in err.splitlines()[-1]
    assert "secret" not in err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["jobs", "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for word in ("follow", "resubmit", "WHERRY_URL", "--forever"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80


# --- the list ------------------------------------------------------------------------------
JOBS = [
    job(1, "Success", Progress=100),
    job(2, "Running", Type="OrthancPeerStore", Content={"Peer": ["http://u:pw@x/"]}),
    job(3, "Failure", ErrorDetails="the peer is away " + "\x1b[2J"),
    job(4, "Running"),
]


def listed(order: Order, width: int = 80) -> list[str]:
    where = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    server: Any = Scripted(JOBS)
    assert show_list(server, order, where) == 0
    assert isinstance(where.file, io.StringIO)
    return where.file.getvalue().splitlines()


def test_the_newest_come_first() -> None:
    lines = listed(Order(URL))
    assert [line[:8] for line in lines if line[:4].isdigit()] == [
        f"{number:08d}" for number in (4, 3, 2, 1)
    ]
    assert lines[-1] == "4 jobs: 2 Running, 1 Success, 1 Failure"
    assert "          the peer is away �[2J" in lines
    assert "          to http://x/" in lines
    assert max(map(len, listed(Order(URL), 80))) <= 80
    assert len(listed(Order(URL), 140)) == len(JOBS) + 2


@pytest.mark.parametrize(
    ("order", "numbers"),
    [
        (Order(URL, states=("Running",)), [4, 2]),
        (Order(URL, states=("Running", "Failure"), limit=2), [4, 3]),
        (Order(URL, types=("orthancpeerstore",)), [2]),
        (Order(URL, states=("Success",), types=("orthancpeerstore",)), []),
    ],
)
def test_filters(order: Order, numbers: list[int]) -> None:
    lines = listed(order)
    assert [int(line[:8]) for line in lines if line[:4].isdigit()] == numbers
    assert lines[-1].endswith(f"; {4 - len(numbers)} not shown")


# --- following -----------------------------------------------------------------------------
def follow(
    server: Any, *ids: str, forever: bool = False, wait: Callable[[float], None] | None = None
) -> tuple[int, list[str]]:
    """The exit code, and the lines without their time."""
    where = Console(file=io.StringIO(), width=80)
    following = Following(server, ids, forever=forever, wait=wait or (lambda _: None))
    code = following.run(Lines(where))
    assert isinstance(where.file, io.StringIO)
    return code, [line.split(" ", 1)[1] for line in where.file.getvalue().splitlines()]


def test_nothing_to_follow() -> None:
    assert follow(Scripted([job(1, "Success"), job(2, "Failure")])) == (
        0,
        ["no job is unfinished"],
    )


def test_unfinished_jobs_and_those_that_come() -> None:
    server = Scripted(
        [job(1, "Failure"), job(2, "Pending")],
        [job(1, "Failure"), job(2, "Running")],
        [job(1, "Failure"), job(2, "Success"), job(3, "Running")],
        [job(1, "Failure"), job(2, "Success"), job(3, "Success"), job(4, "Success")],
    )
    code, lines = follow(server)
    assert code == 0  # the first had failed before
    assert not any(line.startswith(named(1)) for line in lines)
    assert [line.split(":")[1].split()[0] for line in lines if named(2) in line] == [
        "Pending",
        "Running",
        "Success",
    ]
    assert any(line.startswith(named(4)) for line in lines)  # it came and ended between two looks
    assert lines[-1] == "3 jobs: 3 Success"


def test_a_job_that_fails() -> None:
    server = Scripted(
        [job(1, "Running"), job(2, "Running")], [job(1, "Failure"), job(2, "Success")]
    )
    assert follow(server)[0] == 1


def test_a_failed_job_that_is_resubmitted_counts_as_it_ends() -> None:
    server = Scripted(
        [job(1, "Failure"), job(2, "Running")],
        [job(1, "Running"), job(2, "Failure")],
        [job(1, "Success"), job(2, "Running")],
        [job(1, "Success"), job(2, "Success")],
    )
    code, lines = follow(server)
    assert (code, lines[-1]) == (0, "2 jobs: 2 Success")


def test_named_jobs_are_asked_for_one_by_one_until_they_end() -> None:
    server = Scripted()
    server.now = {named(1): job(1, "Success"), named(2): job(2, "Running")}

    def wait(_: float) -> None:
        server.now[named(2)] = job(2, "Success")
        server.now[named(3)] = job(3, "Failure")

    code, lines = follow(server, named(1), named(2), wait=wait)
    assert (code, lines[-1]) == (0, "2 jobs: 2 Success")
    assert server.asked == [named(1), named(2), named(2)]


def test_a_job_that_the_server_forgets_did_not_succeed() -> None:
    code, lines = follow(Scripted([job(1, "Running")], []))
    assert (code, lines[-1]) == (1, "1 job: 1 gone")
    assert "has forgotten how it ended" in lines[-2]


def test_forever_goes_on_and_does_not_grow() -> None:
    looks = [[], [job(1, "Running")], [job(1, "Success")], [], [job(2, "Success")]]
    server = Scripted(*looks)
    shown: list[list[str]] = []

    class Noting:
        def show(self, jobs: Sequence[Followed], trouble: str) -> None:
            shown.append([one.view.id for one in jobs])

        def finish(self, jobs: Sequence[Followed]) -> None:
            raise AssertionError("it came to an end")

    def wait(_: float) -> None:
        if not server.looks:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Following(server, (), forever=True, wait=wait).run(Noting())
    assert shown == [[], [named(1)], [named(1)], [], [named(2)]]


AWAY = PeerUnavailable("the list of jobs: out of reach \x1b[2J")


@pytest.mark.parametrize("error", [AWAY, refusal(503, "busy"), refusal(502, "proxy")])
def test_a_server_that_is_away_for_a_moment(error: Exception) -> None:
    code, lines = follow(Scripted([job(1, "Running")], error, error, [job(1, "Success")]))
    assert code == 0
    assert lines[1].startswith("no answer for ")
    assert lines[1].isprintable()
    assert lines[2] == "the server answers again"
    assert len(lines) == 5


@pytest.mark.parametrize("error", [refusal(401), refusal(500), NetworkProtocol("what?")])
def test_answers_that_waiting_does_not_change(error: Exception) -> None:
    with pytest.raises(NetworkProtocol):
        follow(Scripted([job(1, "Running")], error, [job(1, "Success")]))


def test_a_server_that_is_away_from_the_beginning_or_for_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(PeerUnavailable):
        follow(Scripted(AWAY, [job(1, "Success")]))
    now = [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    with pytest.raises(PeerUnavailable):
        follow(Scripted([job(1, "Running")], *[AWAY] * 1000), wait=wait)
    assert limits.JOBS_SILENCE_S < now[0] <= limits.JOBS_SILENCE_S + 2 * limits.JOBS_POLL_S
    assert set(waits) == {limits.JOBS_POLL_S}


def test_a_slow_server_is_asked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    waits = []

    class Slow(Scripted):
        def all(self) -> list[type_raw]:
            now[0] += [0.1, 2, 100][3 - len(self.looks)] if len(self.looks) <= 3 else 0
            return super().all()

    unfinished = [job(1, "Running")]
    server = Slow(unfinished, unfinished, unfinished)
    with pytest.raises(IndexError):
        follow(server, wait=waits.append)
    assert waits == [limits.JOBS_POLL_S, 4, limits.JOBS_POLL_LONGEST_S]


# --- steering ------------------------------------------------------------------------------
CANCELLED = {"ErrorCode": 37}


@pytest.mark.parametrize(
    ("action", "before", "after", "done", "sentence"),
    [
        ("cancel", job(1, "Pending"), job(1, "Failure", **CANCELLED), True, "is cancelled"),
        ("cancel", job(1, "Running"), None, True, "will be cancelled after its present step"),
        ("cancel", job(1, "Running"), job(1, "Success"), False, "was faster: it has ended"),
        ("cancel", job(1, "Success"), None, False, "has ended already, in state Success"),
        ("cancel", job(1, "Failure"), None, False, "has ended already, in state Failure"),
        ("cancel", job(1, "Failure", **CANCELLED), None, True, "was cancelled before"),
        ("pause", job(1, "Pending"), job(1, "Paused"), True, "is paused"),
        ("pause", job(1, "Paused"), None, True, "was paused before"),
        ("pause", job(1, "Running"), None, True, "will be paused after its present step"),
        ("pause", job(1, "Running"), job(1, "Failure"), False, "was faster: it has ended"),
        ("pause", job(1, "Success"), None, False, "has ended already"),
        ("resume", job(1, "Paused"), job(1, "Running"), True, "goes on: it is in state Running"),
        ("resubmit", job(1, "Failure"), job(1, "Pending"), True, "starts again: it is in state P"),
    ],
)
def test_what_came_of_it(
    action: str, before: type_raw, after: type_raw | None, done: bool, sentence: str
) -> None:
    server = Scripted()
    server.now = {named(1): before}
    server.effect = lambda *_: server.now.update({named(1): after or before})
    (outcome,) = steer(server, action, ["00000001"])
    assert outcome.done is done
    assert outcome.sentence.startswith(f"{named(1)} (PushTransfer) {sentence}")
    assert outcome.sentence.endswith(".")
    assert f"{action} {named(1)}" in server.asked


def test_refusals() -> None:
    server = Scripted()
    states = ["Running", "Failure", "Success"]
    server.now = {named(number): job(number, state) for number, state in enumerate(states)}
    text = "resubmit: peer host answered 500: Cannot resubmit the creation of an archive"
    server.refusals = {named(0): refusal(400), named(1): refusal(500, text)}
    outcomes = steer(server, "resubmit", ["00000000", "00000001", "0000", "ffff"])
    assert not any(outcome.done for outcome in outcomes)
    told = [outcome.sentence for outcome in outcomes]
    assert told == [
        f"{named(0)} (PushTransfer) refused: it is in state Running, and only a failed job can be "
        "resubmitted.",
        f"{named(1)} (PushTransfer) refused: {text}; it is in state Failure.",
        f"0000: 3 jobs begin like this: {named(0)}, {named(1)}, {named(2)}.",
        "ffff: the server knows no such job (any more).",
    ]


def test_a_job_that_is_forgotten_meanwhile() -> None:
    server = Scripted()
    server.now = {named(1): job(1, "Running")}
    server.effect = lambda *_: server.now.clear()
    (outcome,) = steer(server, "cancel", ["00000001"])
    assert (outcome.done, outcome.sentence) == (
        False,
        f"{named(1)} is not known to the server any more.",
    )


# --- servers that answer something else ----------------------------------------------------
def answering(status: int, answer: bytes) -> Callable[[Message], None]:
    def rule(message: Message) -> None:
        message.status, message.answer = status, answer

    return rule


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    """In front of nothing."""
    with proxied(0) as one:
        yield one


@pytest.mark.parametrize("words", [[], ["follow"], ["follow", "abcd"], ["pause", "abcd"]])
@pytest.mark.parametrize(
    ("status", "answer", "sentence"),
    [
        (401, b"", "without the right user and password"),
        (403, b"", "does not allow this user"),
        (302, b"", "which address"),
        (404, b"", "answered 404"),
        (500, b'{"Details": "on \\u001b[2J fire"}', "on  [2J fire"),
        (200, b"<html>", "is it one?"),
        (200, b"{}", "is it one?"),
        (200, b"[1]", "is it one?"),
        (200, b'[{"ID": "\\u001b[2J"}]', "is it one?"),
        (200, b'["\\u001b[2J"]', "is it one?"),
        (200, b"[" * 3000, "is it one?"),
    ],
)
def test_errors_are_one_sentence(
    words: list[str],
    status: int,
    answer: bytes,
    sentence: str,
    proxy: Proxy,
    capsys: pytest.CaptureFixture[str],
) -> None:
    proxy.rule = answering(status, answer)
    assert main(["jobs", proxy.url.replace("//", "//me:secret@"), *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert sentence in err
    assert err.rstrip().isprintable()
    assert "secret" not in err
    assert proxy.headers[-1]["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        pytest.param(
            f"http://me:secret@127.0.0.1:{free_port()}/", "is out of reach", id="nobody listens"
        ),
        ("http://me:secret@127.0.0.1:port/", "is no number"),
        ("me:secret@127.0.0.1", "looks like http"),
        ("ftp://me:secret@127.0.0.1/", "looks like http"),
    ],
)
def test_no_server(url: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["follow"], ["cancel", "abcd"], ["show", "abcd"]):
        assert main(["jobs", url, *words]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert sentence in err
        assert len(err.splitlines()) == 1
        assert "secret" not in err


def test_an_endless_answer(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(limits, "REPLICATION_LIST_BYTES", 1000)
    proxy.rule = answering(200, b'["' + b"a" * 2000 + b'"]')
    assert main(["jobs", proxy.url]) == 2
    assert "longer than makes sense" in capsys.readouterr().err


def test_a_wish_is_not_sent_twice() -> None:
    """A kept-alive connection that closes: the server may have heard the first one."""
    with proxied(0) as proxy, closing(JobServer(proxy.url)) as server:
        proxy.rule = answering(200, b"[]")
        proxy.after = lambda message: message.method == "GET"
        server.ids()
        with pytest.raises(PeerUnavailable):
            server.act("abcd", "resume")
        assert proxy.sent("POST") == ["/jobs/abcd/resume"]


# --- real servers --------------------------------------------------------------------------
class Gate:
    """A peer that takes instances only when it is told to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.open = threading.Event()
        self.reached = threading.Event()


@contextmanager
def gated() -> Iterator[Gate]:
    with receiving() as receiver:
        gate = Gate(receiver.url)

        def rule(_: str) -> None:
            gate.reached.set()
            assert gate.open.wait(60)

        receiver.rule = rule
        try:
            yield gate
        finally:
            gate.open.set()


@pytest.fixture(params=KINDS)
def busy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, Gate, str]]:
    """A server with a job that waits at its peer."""
    if request.param == "orthanc" and ORTHANC is None:
        pytest.skip("there is no Orthanc to speak with: apt-get install orthanc")
    with ExitStack() as stack:
        gate = stack.enter_context(gated())
        config = {"OrthancPeers": {"there": [gate.url]}, "ConcurrentJobs": 1}
        server = stack.enter_context(running(KINDS[request.param](tmp_path / "s", config=config)))
        for data in make_series(3):
            assert server.request("POST", "/instances", data)[0] == 200
        name = submit(server)
        assert gate.reached.wait(60)
        yield server, gate, name


def submit(server: Server) -> str:
    order = {"Resources": server.json("GET", "/studies"), "Asynchronous": True, "Priority": 3}
    return str(server.json("POST", "/peers/there/store", order)["ID"])


@contextmanager
def wherry(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """``wherry jobs`` in a process of its own, and what it prints."""
    with subprocess.Popen(
        [sys.executable, "-m", "wherry", "jobs", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "FORCE_COLOR": "1"},  # a log is no terminal, whatever it says
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout
        finally:
            process.kill()


def lines_until(output: IO[str], text: str) -> list[str]:
    found = []
    for line in output:
        found.append(line)
        if text in line:
            return found
    raise AssertionError((text, found))


def test_a_job_is_seen_followed_and_done(
    busy: tuple[Server, Gate, str], capsys: pytest.CaptureFixture[str]
) -> None:
    server, gate, name = busy
    assert main(["jobs", server.url, "--state", "running", "--type", "orthancPeerStore"]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == [
        "ID", "Type", "State", "Prio", "Done", "Created", "Runtime", "What"
    ]  # fmt: skip
    assert line.split()[:5] == [name, "OrthancPeerStore", "Running", "3", "0%"]
    assert f"3 instances to {gate.url}" in line
    assert main(["jobs", server.url, "--json"]) == 0
    assert [one["ID"] for one in json.loads(capsys.readouterr().out)] == [name]
    assert main(["jobs", server.url, "show", name[:6]]) == 0
    assert json.loads(capsys.readouterr().out)["Content"]["InstancesCount"] == 3
    with wherry(server.url, "follow") as (process, output):
        lines_until(output, "Running 0%")
        second = submit(server)
        lines_until(output, f"{second} OrthancPeerStore")
        gate.open.set()
        last = lines_until(output, "2 jobs: 2 Success")
        assert any(name in line and ": Success in " in line for line in last)
        assert process.wait(60) == 0


def test_a_job_is_paused_resumed_cancelled_and_resubmitted(
    busy: tuple[Server, Gate, str], capsys: pytest.CaptureFixture[str]
) -> None:
    server, gate, first = busy
    second = submit(server)  # waits for the first, which has the only worker

    def steered(action: str, name: str) -> tuple[int, str]:
        code = main(["jobs", server.url, action, name[:8]])
        out, err = capsys.readouterr()
        assert (out == "") == (code == 1) == (err != "")
        return code, out + err

    assert steered("resume", second) == (
        1,
        f"wherry: {second} (OrthancPeerStore) refused: it is in state Pending, and only a paused "
        "job can be resumed.\n",
    )
    assert steered("pause", second) == (0, f"{second} (OrthancPeerStore) is paused.\n")
    assert steered("pause", second) == (0, f"{second} (OrthancPeerStore) was paused before.\n")
    assert "goes on" in steered("resume", second)[1]
    assert steered("cancel", second) == (0, f"{second} (OrthancPeerStore) is cancelled.\n")
    assert main(["jobs", server.url, "follow", second]) == 1
    assert "Failure" in capsys.readouterr().out
    assert "starts again" in steered("resubmit", second)[1]
    assert steered("cancel", first)[0] == 0
    gate.open.set()
    assert main(["jobs", server.url, "follow", first, second]) == 1
    assert "2 jobs: 1 Success, 1 Failure" in capsys.readouterr().out
    assert main(["jobs", server.url, "cancel", first, second, "ffffffff"]) == 1
    out, err = capsys.readouterr()
    assert out == f"{first} (OrthancPeerStore) was cancelled before.\n"
    assert f"{second} (OrthancPeerStore) has ended already, in state Success" in err
    assert "ffffffff: the server knows no such job" in err
    assert main(["jobs", server.url, "show", "ffffffff"]) == 1
    assert capsys.readouterr().err.startswith("wherry: ffffffff: the server knows no such job")


def test_control_c_while_following(busy: tuple[Server, Gate, str]) -> None:
    server, _, name = busy
    for words in ([], ["--forever"], [name]):
        with wherry(server.url, "follow", *words) as (process, output):
            lines_until(output, "Running 0%")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
            assert process.returncode == 130
            assert err == "No longer watching; the jobs go on.\n"


def test_a_restart_is_waited_for(tmp_path: Path) -> None:
    with gated() as gate, ExitStack() as stack:
        config = {"OrthancPeers": {"there": [gate.url]}}
        server = stack.enter_context(running(Server(tmp_path / "s", config=config)))
        for data in make_series(3):
            assert server.request("POST", "/instances", data)[0] == 200
        name = submit(server)
        assert gate.reached.wait(60)
        with wherry(server.url, "follow", name) as (process, output):
            lines_until(output, "Running 0%")
            server.kill()
            lines_until(output, "no answer for ")
            gate.open.set()
            server.start()
            lines_until(output, "1 job: 1 Success")
            assert process.wait(60) == 0


def test_a_job_that_is_tried_again_says_when(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"OrthancPeers": {"there": [f"http://127.0.0.1:{free_port()}/"]}}
    with running(Server(tmp_path / "s", config=config)) as server:
        assert server.request("POST", "/instances", make_series(1)[0])[0] == 200
        name = submit(server)
        with wherry(server.url, "follow", name) as (process, output):
            retry = lines_until(output, ": Retry, ")[-1]
            assert re.search(r"after \d+ attempts?: .* is out of reach .*; next attempt in ", retry)
            assert main(["jobs", server.url, "cancel", name]) == 0
            assert name in capsys.readouterr().out
            lines_until(output, "1 job: 1 Failure")
            assert process.wait(60) == 1


def test_who_is_not_known_is_not_let_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"AuthenticationEnabled": True, "RegisteredUsers": {"me": "a secret"}}
    with running(Server(tmp_path / "s", config=config)) as server:
        assert main(["jobs", server.url]) == 2
        assert "WHERRY_PASSWORD" in capsys.readouterr().err
        assert main(["jobs", server.url.replace("//", "//me:a%20secret@")]) == 0
        monkeypatch.setenv("WHERRY_URL", server.url)
        monkeypatch.setenv("WHERRY_USERNAME", "me")
        monkeypatch.setenv("WHERRY_PASSWORD", "a secret")
        assert main(["jobs"]) == 0
        assert main(["jobs", "--json"]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == "[]"
