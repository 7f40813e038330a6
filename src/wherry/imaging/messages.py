"""What server and worker say to each other: one JSON document a message, with open files.

Over a pair of Unix sockets that keep messages apart (SOCK_SEQPACKET); descriptors travel beside
the text (SCM_RIGHTS). The bytes of images are in these files, never in a message.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from wherry import limits
from wherry.errors import TooLarge

type_document = dict[str, Any]


def send(line: socket.socket, document: Mapping[str, Any], files: Sequence[int] = ()) -> None:
    """Send ``document`` and the descriptors ``files``. Raises ``TooLarge``, ``OSError``."""
    data = json.dumps(document, separators=(",", ":")).encode()
    if len(data) > limits.IMAGING_MESSAGE_BYTES:
        raise TooLarge("Too much to say to a worker of images")
    if files:
        socket.send_fds(line, [data], list(files))
    else:
        line.send(data)


def receive(line: socket.socket, files: int = 0) -> tuple[type_document, list[int]] | None:
    """The next message and at most ``files`` descriptors that came with it, which are the caller's;
    None when the other side has gone. Raises ``OSError``."""
    try:
        data, opened, _, _ = socket.recv_fds(line, limits.IMAGING_MESSAGE_BYTES, files)
    except ConnectionResetError:
        return None
    if not data:
        return None
    return json.loads(data), opened
