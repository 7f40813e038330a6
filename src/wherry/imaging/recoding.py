"""The task ``transcode`` of a worker: a file in another transfer syntax."""

from __future__ import annotations

from typing import Any

from wherry.dicom.codecs.syntaxes import LOSSY
from wherry.dicom.transcoding.transcoding import Transcoding
from wherry.errors import CannotEncode
from wherry.imaging.work import Work


def transcode(work: Work) -> dict[str, Any]:
    """``transcode``: the input, a file that is not deflated, in the first transfer syntax of
    ``wanted`` that can hold it. ``quality``: of those that lose something, which are left out
    unless ``lossy``; ``keeps_uid``: also then.

    Returns ``syntax``, ``sop_instance_uid`` and ``is_new_image``. Raises ``CannotEncode`` when
    there is none.
    """
    problem = CannotEncode("Nothing that is wanted can hold these pixels")
    for syntax in work.arguments["wanted"]:
        if syntax in LOSSY and not work.arguments["lossy"]:
            continue
        try:
            return _transcoded(work, syntax)
        except CannotEncode as error:
            problem = error
            work.begin_again()
    raise problem


def _transcoded(work: Work, syntax: str) -> dict[str, Any]:
    def alive() -> None:
        work.alive()
        work.forget()

    found = Transcoding(
        work.source,
        syntax,
        quality=work.arguments["quality"],
        keeps_uid=work.arguments["keeps_uid"],
        alive=alive,
    )
    for piece in found.pieces():
        work.write(piece)
    for position, value in found.patches:
        work.overwrite(value, position)
    return {
        "syntax": found.syntax,
        "sop_instance_uid": found.sop_instance_uid,
        "is_new_image": found.is_new_image,
    }
