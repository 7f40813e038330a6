"""An archive that is made twice, at the same moment, is the same: else none could be continued."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.support.dicom_files import make_series
from tests.support.face import serving
from tests.support.pydicom_files import ROOT
from wherry import clock
from wherry.archives.contents import list_contents
from wherry.archives.making import Making
from wherry.archives.order import ArchiveOrder
from wherry.dicom.codecs.syntaxes import RLE


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


def test_a_medium_is_not_continued_with_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a worker could not transcode at first, and can later, is in the archive as it came: the
    DICOMDIR must not say otherwise."""
    with serving(tmp_path) as face:
        face.upload((ROOT / "test_files" / "CT_small.dcm").read_bytes())
        order = ArchiveOrder(tuple(face.json("/patients")), media=True, transcode=RLE)
        with face.rooms.index.read() as tx:
            contents = list_contents(tx, order, utf8=True)
        rooms, moment = face.rooms, clock.now()
        with monkeypatch.context() as patch:
            patch.setattr(rooms.transcoder, "or_as_it_is", lambda *_, **__: nullcontext())
            first = Making(rooms.storage, contents, moment, rooms.transcoder)
            assert b"".join(first.member())
        again = Making(rooms.storage, contents, moment, rooms.transcoder)
        with pytest.raises(ValueError, match="another one"):
            again.take_up(first.state())
