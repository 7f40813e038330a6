"""What follows the last byte of a transfer, for whoever waits for its end.

Both ends tell of it in the same words: the receiver in ``GET /transfers/push/{id}``, a job in its
content. A sender looks at a receiver that is a Wherry while it waits for its commit (``watched``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, cast, get_args

from wherry import limits
from wherry.errors import WherryError
from wherry.model import type_json
from wherry.transfers.protocol import an_object, parse_json

type_name = Literal["Verifying", "Committing"]


@dataclass(frozen=True, slots=True)
class Stage:
    """So many instances of so many; ``total`` is 0 where nobody knows."""

    name: type_name
    done: int = 0
    total: int = 0

    def told(self) -> dict[str, type_json]:
        """Members of a JSON object."""
        numbers: dict[str, type_json] = {"StageDone": self.done, "StageTotal": self.total}
        return {"Stage": self.name, **(numbers if self.total else {})}


def read_stage(answer: bytes) -> Stage | None:
    """What a peer says of its end of a transfer; None when it says nothing that we know. Raises
    ``BadFileFormat``."""
    told = an_object(parse_json(answer), "Answer")
    name, done, total = (told.get(member) for member in ("Stage", "StageDone", "StageTotal"))
    if name not in get_args(type_name):
        return None
    if not isinstance(done, int) or not isinstance(total, int) or not 0 <= done <= total:
        return Stage(cast(type_name, name))
    return Stage(cast(type_name, name), done, total)


@contextmanager
def watched(ask: Callable[[], Stage | None], tell: Callable[[Stage], None]) -> Iterator[None]:
    """While inside, ``ask`` now and then, in a thread, and ``tell`` what it answers; when it cannot
    be asked, nothing is told."""
    over, lock = threading.Event(), threading.Lock()

    def look() -> None:
        while not over.wait(limits.STAGE_LOOK_S):
            with suppress(WherryError):
                stage = ask()
                with lock:
                    if stage is not None and not over.is_set():
                        tell(stage)

    threading.Thread(target=look, name="transfer-stage", daemon=True).start()
    try:
        yield
    finally:
        with lock:
            over.set()
