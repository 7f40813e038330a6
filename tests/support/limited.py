"""A server with other bounds than those of ``wherry.limits``: small steps, many checkpoints."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.server import Server

_DRIVER = """
import json, sys
from wherry import limits
from wherry.cli.main import main
for name, value in json.loads(sys.argv[1]).items():
    getattr(limits, name)
    setattr(limits, name, value)
raise SystemExit(main(sys.argv[2:]))
"""


@dataclass
class Limited(Server):
    """Like ``Server``, with these ``limits``."""

    limits: Mapping[str, float] = field(default_factory=dict)

    def command(self, path: Path) -> list[str]:
        return [sys.executable, "-c", _DRIVER, json.dumps(dict(self.limits)), "serve", str(path)]
