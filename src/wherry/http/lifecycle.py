"""What a request may ask of the process itself: to end, or to begin anew.

Both happen after the answer: the client hears ``{}``, then the port is closed as by SIGTERM. To
begin anew is to take everything apart and put it together again, with the configuration as it is
on disk by then; who connects meanwhile waits in the queue of the port and is answered afterwards.

Not here: taking apart and putting together (``server``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from wherry.http.answers import PLAIN_JSON, Answer

if TYPE_CHECKING:
    from wherry.config import Config


class Lifecycle:
    """The wishes of one life of the server. On the event loop only."""

    def __init__(self, read_configuration: Callable[[], Config]) -> None:
        self.read_configuration = read_configuration
        """The configuration as it is now. Blocking; raises ``ConfigurationError``."""
        self.next: Config | None = None
        """Of the life that is to follow; None = the process ends."""
        self.ending = False
        """Whether this life is over."""

    def shutdown(self) -> None:
        """End this life, and the process."""
        self.next = None
        self.ending = True

    def reset(self, config: Config) -> None:
        """End this life, and begin another one; a shutdown that came first wins."""
        if not self.ending:
            self.next = config
            self.ending = True


class LastWord(Answer):
    """The literal ``{}``, and then ``act``."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__(b"{}", 200, PLAIN_JSON)
        self._act = act

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; a client that does not wait for it is obeyed all the same."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._act()
