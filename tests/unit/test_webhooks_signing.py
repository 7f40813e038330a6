"""The signature against the published vector, and against openssl."""

from __future__ import annotations

import base64
import re
import time
from pathlib import Path
from typing import Any

from tests.support.listener import Call
from wherry.webhooks.signing import signed_headers


def test_the_vector_of_the_specification() -> None:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert signed_headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_every_part_is_signed() -> None:
    headers = signed_headers(b"k" * 24, "a-b", 12, b"{}")
    assert Call("/", headers, b"{}").is_signed(b"k" * 24)
    assert not Call("/", headers, b"{ }").is_signed(b"k" * 24)
    assert not Call("/", headers | {"webhook-id": "a-c"}, b"{}").is_signed(b"k" * 24)
    assert not Call("/", headers | {"webhook-timestamp": "13"}, b"{}").is_signed(b"k" * 24)
    assert not Call("/", headers, b"{}").is_signed(b"x" * 24)


def test_the_lines_of_the_manual() -> None:
    text = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    now, secret = int(time.time()), "whsec_" + base64.b64encode(bytes(24)).decode()
    headers = signed_headers(bytes(24), "a-b", now, b"{}")
    assert names["verify"](headers, b"{}", secret)
    assert not names["verify"](headers, b"{ }", secret)
    old = signed_headers(bytes(24), "a-b", now - 1000, b"{}")
    assert not names["verify"](old, b"{}", secret)
