"""What ``wherry jobs`` is asked for: words in their order, options anywhere between them.

The words are ``[URL] [ACTION [ID…]]``. An address is known by its colon or slash, so that it can
be left out; it is never repeated in a message, because a password may stand in it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from wherry import limits
from wherry.cli.jobs.steering import ACTIONS
from wherry.model import JobState

_DEFAULT_URL = "http://localhost:8042/"
_STATES = {state.value.lower(): state.value for state in JobState}
_FEW = limits.JOB_PREFIX_CHARACTERS
_USAGE = """\
wherry jobs [URL] [--state STATE] [--type TYPE] [--limit N] [--json]
       wherry jobs [URL] follow [ID ...] [--forever]
       wherry jobs [URL] show ID
       wherry jobs [URL] cancel|pause|resume|resubmit ID [ID ...]"""
_DESCRIPTION = f"""\
The jobs of a running server, a Wherry or an Orthanc.

  URL              http://host:8042/ or https://user:password@host/; without it,
                   the variable WHERRY_URL, or {_DEFAULT_URL}.
                   User and password may stand in the variables WHERRY_USERNAME
                   and WHERRY_PASSWORD too.
  ID               of a job, or its beginning: {_FEW} characters, or what it takes
                   to be unique

  (nothing)        list the jobs, the newest first
  follow [ID ...]  watch jobs until they have ended; without IDs, all that are
                   unfinished and all that come meanwhile. Exit code 0 when all
                   succeed, 1 when one fails
  show ID          everything about a job, as JSON
  cancel ID ...    end jobs for good
  pause ID ...     hold jobs until they are resumed
  resume ID ...    let paused jobs go on
  resubmit ID ...  start failed jobs again
"""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for."""

    url: str
    """May hold a password."""
    action: str = "list"
    """``list``, ``follow``, ``show``, or a key of ``steering.ACTIONS``."""
    ids: tuple[str, ...] = ()
    """Identifiers of jobs or their beginnings, as they were typed."""
    states: tuple[str, ...] = ()
    """As ``JobState`` spells them; none = all."""
    types: tuple[str, ...] = ()
    """In lower case; none = all."""
    limit: int | None = None
    json: bool = False
    forever: bool = False
    authorities: Path | None = None
    username: str = ""
    password: str = ""


def parse(arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> Order:
    """The order in these arguments. Ends the program with a usage message when there is none."""
    environ = os.environ if environ is None else environ
    parser = _parser()
    found = parser.parse_intermixed_args(arguments)
    words = list(found.words)
    url = words.pop(0) if words and _is_address(words[0]) else environ.get("WHERRY_URL", "")
    action = words.pop(0) if words else "list"
    _check(parser, found, action, words)
    return Order(
        url=url or _DEFAULT_URL,
        action=action,
        ids=tuple(dict.fromkeys(words)),
        states=tuple(found.state or ()),
        types=tuple(found.type or ()),
        limit=found.limit,
        json=found.json,
        forever=found.forever,
        authorities=found.cacert,
        username=environ.get("WHERRY_USERNAME", ""),
        password=environ.get("WHERRY_PASSWORD", ""),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wherry jobs",
        usage=_USAGE,
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument(
        "--cacert",
        type=Path,
        metavar="FILE",
        help="certificates (PEM) to trust instead of those of the system",
    )
    listing = parser.add_argument_group("options of the list")
    listing.add_argument(
        "--state",
        type=_state,
        action="append",
        metavar="STATE",
        help="only jobs that are Pending, Running, Success, Failure, Paused or Retry; "
        "may be given several times",
    )
    listing.add_argument(
        "--type",
        type=str.lower,
        action="append",
        metavar="TYPE",
        help="only jobs of this type, such as PushTransfer; may be given several times",
    )
    listing.add_argument("--limit", type=_count, metavar="N", help="only the N newest of them")
    listing.add_argument("--json", action="store_true", help="as JSON, for programs")
    following = parser.add_argument_group("options of follow")
    following.add_argument(
        "--forever", action="store_true", help="wait for more jobs when all have ended"
    )
    return parser


def _check(
    parser: argparse.ArgumentParser, found: argparse.Namespace, action: str, ids: list[str]
) -> None:
    if any(_is_address(word) for word in (action, *ids)):
        parser.error("the address of the server comes first, and once")
    if action not in ("list", "follow", "show", *ACTIONS) or (action == "list" and ids):
        _unknown(parser, action)
    if action != "list" and (found.state or found.type or found.limit or found.json):
        parser.error("--state, --type, --limit and --json belong to the list")
    if found.forever and (action != "follow" or ids):
        parser.error("--forever belongs to follow, without IDs")
    if action == "show" and len(ids) != 1:
        parser.error("show needs the ID of one job")
    if action in ACTIONS and not ids:
        parser.error(f"{action} needs the ID of a job, or several")
    if any(len(word) < _FEW for word in ids):
        parser.error(f"an ID needs at least {_FEW} characters")


def _unknown(parser: argparse.ArgumentParser, action: str) -> NoReturn:
    names = ("follow", "show", *ACTIONS)
    near = get_close_matches(action.lower(), names, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(names)}"
    parser.error(f"{action!r} is neither an action ({hint}) nor an address like {_DEFAULT_URL}")


def _is_address(word: str) -> bool:
    return ":" in word or "/" in word or "@" in word


def _state(text: str) -> str:
    if text.lower() not in _STATES:
        raise argparse.ArgumentTypeError(f"is one of {', '.join(_STATES.values())}")
    return _STATES[text.lower()]


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise argparse.ArgumentTypeError("must be a whole number, at least 1")
    return int(text)
