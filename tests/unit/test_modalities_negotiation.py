"""Which presentation contexts are proposed, and through which one an instance goes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wherry import limits
from wherry.config import Config
from wherry.config.dimse import DimseConfig
from wherry.dicom.preamble import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from wherry.errors import NoAcceptableContext
from wherry.imaging.transcoding import Transcoder
from wherry.modalities.associations.association import Context
from wherry.modalities.associations.negotiation import Kind, Recoding, proposals, recoding
from wherry.model import Modality

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
J2K, RLE = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"
AS_THEY_ARE = Recoding(allowed=False)


def test_each_kind_as_it_is_and_each_class_uncompressed() -> None:
    [one] = proposals([Kind(MR, J2K), Kind(CT, J2K), Kind(CT, EXPLICIT), Kind(CT, J2K)], Recoding())
    assert one.contexts == (
        (CT, (EXPLICIT,)),
        (CT, (J2K,)),
        (CT, (IMPLICIT,)),
        (MR, (J2K,)),
        (MR, (EXPLICIT, IMPLICIT)),
    )
    assert one.kinds == {Kind(MR, J2K), Kind(CT, J2K), Kind(CT, EXPLICIT)}


def test_nothing_else_when_nothing_may_be_transcoded() -> None:
    [one] = proposals([Kind(CT, EXPLICIT), Kind(CT, J2K)], AS_THEY_ARE)
    assert one.contexts == ((CT, (EXPLICIT,)), (CT, (J2K,)))


def test_the_preferred_transfer_syntax_comes_first() -> None:
    [one] = proposals([Kind(CT, J2K)], Recoding(preferred=IMPLICIT))
    assert one.contexts[-1] == (CT, (IMPLICIT, EXPLICIT))
    [one] = proposals([Kind(CT, J2K)], Recoding(preferred=RLE))  # nobody can write that
    assert one.contexts[-1] == (CT, (EXPLICIT, IMPLICIT))


def test_a_compressed_one_has_a_context_of_its_own() -> None:
    rules = Recoding(preferred=RLE, transcoder=Transcoder(None, 90))  # type: ignore[arg-type]
    [one] = proposals([Kind(CT, J2K), Kind(CT, EXPLICIT)], rules)
    assert one.contexts == ((CT, (EXPLICIT,)), (CT, (J2K,)), (CT, (RLE,)), (CT, (IMPLICIT,)))
    accepted = [Context(1, CT, IMPLICIT), Context(3, CT, RLE)]
    for syntax in (J2K, EXPLICIT):
        assert [found.id for found in rules.choose(accepted, Kind(CT, syntax))] == [3, 1]
    unknown = Kind(CT, "1.2.840.10008.1.2.4.100")
    with pytest.raises(NoAcceptableContext, match="cannot be decompressed"):
        rules.choose(accepted, unknown)
    many = [Kind(CT, f"1.2.{number}") for number in range(200)]
    assert all(len(found.contexts) <= 128 for found in proposals(many, rules))


def test_what_has_no_transfer_syntax_is_written_anew() -> None:
    [one] = proposals([Kind(CT, "")], Recoding())
    assert one.contexts == ((CT, (EXPLICIT, IMPLICIT)),)


@pytest.mark.parametrize("classes", [63, 64, 65, 200])
def test_more_kinds_than_an_association_has_contexts(classes: int) -> None:
    kinds = [Kind(f"1.2.3.{number}", J2K) for number in range(classes)]
    found = proposals(kinds, Recoding())
    assert len(found) == -(-classes // 64)
    assert all(len(one.contexts) <= limits.PRESENTATION_CONTEXTS for one in found)
    assert sorted(kind for one in found for kind in one.kinds) == sorted(kinds)


def test_more_transfer_syntaxes_of_one_class_than_an_association_has_contexts() -> None:
    kinds = [Kind(CT, f"1.2.3.{number}") for number in range(300)]
    found = proposals(kinds, Recoding())
    assert [len(one.contexts) for one in found] == [128, 128, 47]
    for one in found:
        assert one.contexts[-1] == (CT, (EXPLICIT, IMPLICIT))
        for kind in one.kinds:
            assert (kind.sop_class, (kind.transfer_syntax,)) in one.contexts


def test_nothing_to_propose() -> None:
    assert proposals([], Recoding()) == []


ACCEPTED = [
    Context(1, CT, J2K),
    Context(3, CT, IMPLICIT),
    Context(5, CT, EXPLICIT),
    Context(7, MR, IMPLICIT),
]


@pytest.mark.parametrize(
    ("kind", "rules", "chosen"),
    [
        (Kind(CT, J2K), AS_THEY_ARE, 1),
        (Kind(CT, IMPLICIT), Recoding(), 3),
        (Kind(CT, BIG_ENDIAN), Recoding(), 5),
        (Kind(CT, DEFLATED), Recoding(), 5),
        (Kind(CT, ""), Recoding(preferred=IMPLICIT), 3),
        (Kind(MR, EXPLICIT), Recoding(), 7),
    ],
)
def test_the_context_of_an_instance(kind: Kind, rules: Recoding, chosen: int) -> None:
    assert rules.choose(ACCEPTED, kind)[0].id == chosen


@pytest.mark.parametrize(
    ("kind", "rules", "why"),
    [
        (Kind("1.2.3", EXPLICIT), Recoding(), "SOP class 1.2.3 is not accepted"),
        (Kind(CT, RLE), Recoding(), "cannot be decompressed"),
        (Kind(CT, BIG_ENDIAN), AS_THEY_ARE, "nothing may be transcoded"),
        (Kind(MR, J2K), Recoding(), "cannot be decompressed"),
    ],
)
def test_there_may_be_none(kind: Kind, rules: Recoding, why: str) -> None:
    with pytest.raises(NoAcceptableContext, match=why):
        rules.choose(ACCEPTED, kind)


def test_none_in_which_it_could_be_written() -> None:
    with pytest.raises(NoAcceptableContext, match="nor is one in which it could be written"):
        Recoding().choose([Context(1, CT, J2K)], Kind(CT, EXPLICIT))


@pytest.mark.parametrize("of_the_server", [True, False])
@pytest.mark.parametrize("of_the_modality", [True, False])
def test_both_must_allow_it(of_the_server: bool, of_the_modality: bool) -> None:
    dimse = DimseConfig(transcode=of_the_server, preferred_transfer_syntax=IMPLICIT)
    modality = Modality("m", "M", "h", 104, allow_transcoding=of_the_modality)
    found = recoding(replace(Config(), dimse=dimse), modality)
    assert found == Recoding(of_the_server and of_the_modality, IMPLICIT)
