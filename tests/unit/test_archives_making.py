"""An archive that is made twice, at the same moment, is the same: else none could be continued."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.dicom_files import make_series
from tests.support.face import serving
from wherry import clock
from wherry.archives.contents import list_contents
from wherry.archives.making import Making
from wherry.archives.order import ArchiveOrder


@pytest.mark.parametrize("media", [False, True], ids=["archive", "media"])
def test_the_same_bytes_again(tmp_path: Path, media: bool) -> None:
    with serving(tmp_path) as face:
        for data in make_series(3):
            face.upload(data)
        order = ArchiveOrder(tuple(face.json("/patients")), media)
        with face.rooms.index.read() as tx:
            contents = list_contents(tx, order, utf8=True)
        moment = clock.now()
        first, second = (
            b"".join(Making(face.rooms.storage, contents, moment).whole()) for _ in range(2)
        )
    assert first == second
