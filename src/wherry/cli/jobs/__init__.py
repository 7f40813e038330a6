"""``wherry jobs``: the jobs of a running server, a Wherry or an Orthanc: seen, watched, steered.

arguments  what is asked for
carrying   ... done: the server, the terminal, the exit code
server     the requests, and their errors in one sentence
choosing   the job that the beginning of an identifier means
view       a job as read from an answer that is not trusted
contents   what the job does, and how much of it is done
meter      how fast
words      sizes, durations, moments, texts of a server
layout     lines of columns in a terminal of any width
look       cells and notes of a job
listing    the list, and one job as JSON
following  jobs until they have ended
displays   what that looks like
steering   cancel, pause, resume, resubmit
"""

from __future__ import annotations

import argparse


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    # No prefix: every argument, options too, is left to the parser of ``arguments``, which finds
    # options between the words. A parser below another one does not.
    parser = commands.add_parser(
        "jobs",
        help="list, watch, cancel, pause, resume the jobs of a server",
        add_help=False,
        prefix_chars="\0",
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Do what is asked for; 1 when a job failed, is unknown, or would not be steered."""
    from wherry.cli.jobs.arguments import parse
    from wherry.cli.jobs.carrying import carry_out

    return carry_out(parse(parsed.arguments))
