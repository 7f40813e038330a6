"""An order carried out: the server that is asked, the terminal, the exit code."""

from __future__ import annotations

import io
import sys
import time
from contextlib import closing

from rich.console import Console

from wherry.cli.filling import printable
from wherry.cli.jobs.arguments import Order
from wherry.cli.jobs.choosing import NoSuchJob, choose
from wherry.cli.jobs.displays import display_on
from wherry.cli.jobs.following import Following
from wherry.cli.jobs.listing import show_list, show_one
from wherry.cli.jobs.server import JobServer
from wherry.cli.jobs.steering import steer


def carry_out(order: Order) -> int:
    """Do it; 1 when a job is unknown, failed, or would not be steered. Raises ``WherryError`` for
    a server that cannot be asked."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # names of all alphabets, terminals of one
    console = Console(
        force_terminal=sys.stdout.isatty(),  # whatever FORCE_COLOR says: a log is no terminal
        markup=False,
        highlight=False,
        emoji=False,
    )
    server = JobServer(
        order.url,
        username=order.username,
        password=order.password,
        authorities=order.authorities,
    )
    with closing(server):
        try:
            if order.action == "list":
                return show_list(server, order, console)
            if order.action == "show":
                return show_one(server, order.ids[0], console)
            if order.action == "follow":
                return _follow(server, order, console)
            return _steer(server, order)
        except NoSuchJob as error:
            return _no(f"{error}.")


def _follow(server: JobServer, order: Order, console: Console) -> int:
    known = server.ids() if order.ids else []
    ids = list(dict.fromkeys(choose(word, known) for word in order.ids))
    following = Following(server, ids, forever=order.forever, wait=time.sleep)
    try:
        with display_on(console) as display:
            return following.run(display)
    except KeyboardInterrupt:
        print("No longer watching; the jobs go on.", file=sys.stderr)
        return 130


def _steer(server: JobServer, order: Order) -> int:
    code = 0
    for outcome in steer(server, order.action, order.ids):
        if outcome.done:
            print(printable(outcome.sentence), flush=True)
        else:
            code = _no(outcome.sentence)
    return code


def _no(sentence: str) -> int:
    print("wherry:", printable(sentence), file=sys.stderr, flush=True)
    return 1
