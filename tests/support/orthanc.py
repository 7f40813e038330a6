"""The real Orthanc in a process of its own, for tests that bring it together with Wherry."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.server import Server, free_port

ORTHANC = shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

needs_orthanc = pytest.mark.skipif(
    ORTHANC is None, reason="there is no Orthanc to speak with: apt-get install orthanc"
)


class Orthanc(Server):
    """Like ``Server``, but the original."""

    def command(self, path: Path) -> list[str]:
        assert ORTHANC is not None
        return [ORTHANC, str(path)]

    def start(self) -> Server:
        defaults = {
            "DicomPort": free_port(),
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "Plugins": [],
        }
        self.config = defaults | self.config
        return super().start()
