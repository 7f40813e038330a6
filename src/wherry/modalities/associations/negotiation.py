"""Which presentation contexts are proposed for instances, and which of the accepted ones an
instance goes through (PS3.8 §7.1.1.13, PS3.4 Annex B).

For each SOP class: one context for each transfer syntax in which there are instances, so that the
other end can take them as they are; and one more with what is not compressed, so that they may be
written anew for it. An association has 128 contexts at most: more kinds need several.

Not here: the writing (``outgoing``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

from wherry import limits
from wherry.dicom.codecs.syntaxes import DECODED, ENCODED, LOSSY
from wherry.dicom.preamble import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from wherry.errors import NoAcceptableContext

if TYPE_CHECKING:
    from wherry.config import Config
    from wherry.imaging.transcoding import Transcoder
    from wherry.model import Modality

NATIVE: Final = frozenset((IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, ""))
"""What can be written anew without touching pixels; "" = as no transfer syntax has it."""
LOSSLESS: Final = ENCODED - LOSSY - NATIVE
"""Compressed ones in which it can be written."""
WRITTEN: Final = (EXPLICIT, IMPLICIT)
"""In which it can be written."""


class Kind(NamedTuple):
    """What a presentation context is for."""

    sop_class: str
    transfer_syntax: str


type_proposed = tuple[tuple[str, tuple[str, ...]], ...]
"""Abstract syntaxes, each with the transfer syntaxes of one presentation context."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one association is asked for."""

    kinds: frozenset[Kind]
    """What it is for."""
    contexts: type_proposed


class Accepted(Protocol):
    """A presentation context that the other end has accepted."""

    @property
    def id(self) -> int:
        """Its number."""

    @property
    def abstract_syntax(self) -> str:
        """The SOP class."""

    @property
    def transfer_syntax(self) -> str:
        """The one that the acceptor has chosen."""


C = TypeVar("C", bound=Accepted)


@dataclass(frozen=True, slots=True)
class Recoding:
    """Whether instances may be written anew for the other end, and how it is best."""

    allowed: bool = True
    preferred: str = EXPLICIT
    transcoder: Transcoder | None = None
    """Who compresses and decompresses pixels; None: nobody."""

    @property
    def choices(self) -> tuple[str, ...]:
        """Native transfer syntaxes to write in, the best first."""
        if not self.allowed:
            return ()
        return tuple(sorted(WRITTEN, key=lambda one: one != self.preferred))

    @property
    def compressed(self) -> tuple[str, ...]:
        """The compressed one that is better than those; what cannot hold every image has a context
        of its own."""
        is_one = self.allowed and self.transcoder is not None and self.preferred in LOSSLESS
        return (self.preferred,) if is_one else ()

    def _decodes(self, syntax: str) -> bool:
        return self.transcoder is not None and syntax in DECODED

    def choose(self, contexts: Iterable[C], kind: Kind) -> Sequence[C]:
        """The contexts for an instance of this kind, the best first. Raises
        ``NoAcceptableContext`` when there is none, saying why."""
        found = {one.transfer_syntax: one for one in contexts if one.abstract_syntax == kind[0]}
        if (as_it_is := found.get(kind.transfer_syntax)) is not None:
            return [as_it_is]
        if not found:
            raise NoAcceptableContext(f"The SOP class {kind.sop_class} is not accepted")
        problem = f"The transfer syntax {kind.transfer_syntax} is not accepted"
        if not self.allowed:
            raise NoAcceptableContext(f"{problem}, and nothing may be transcoded for this modality")
        if kind.transfer_syntax not in NATIVE and not self._decodes(kind.transfer_syntax):
            raise NoAcceptableContext(f"{problem}, and pixel data of it cannot be decompressed")
        fitting = (*self.compressed, *self.choices)
        if chosen := [found[syntax] for syntax in fitting if syntax in found]:
            return chosen
        raise NoAcceptableContext(f"{problem}, nor is one in which it could be written")


def recoding(
    config: Config, modality: Modality | None, transcoder: Transcoder | None = None
) -> Recoding:
    """What the configuration allows for this modality, or for one that nobody knows."""
    dimse = config.dimse
    allowed = dimse.transcode and (modality is None or modality.allow_transcoding)
    return Recoding(allowed, dimse.preferred_transfer_syntax, transcoder)


def proposals(kinds: Iterable[Kind], rules: Recoding) -> list[Proposal]:
    """As few associations as it takes for instances of all these kinds."""
    by_class: dict[str, list[str]] = defaultdict(list)
    for kind in sorted(set(kinds)):
        by_class[kind.sop_class].append(kind.transfer_syntax)
    found: list[Proposal] = []
    gathered: list[Proposal] = []
    size = 0
    for sop_class, syntaxes in by_class.items():
        for one in _of_class(sop_class, syntaxes, rules):
            if size + len(one.contexts) > limits.PRESENTATION_CONTEXTS:
                found.append(_joined(gathered))
                gathered, size = [], 0
            gathered.append(one)
            size += len(one.contexts)
    return [*found, _joined(gathered)] if gathered else found


def _of_class(sop_class: str, syntaxes: Sequence[str], rules: Recoding) -> Iterable[Proposal]:
    most = limits.PRESENTATION_CONTEXTS - 1 - len(rules.compressed)
    for start in range(0, len(syntaxes), most):
        some = syntaxes[start : start + most]
        contexts: list[tuple[str, tuple[str, ...]]] = []
        contexts += [(sop_class, (syntax,)) for syntax in some if syntax]
        for anew in (rules.compressed, rules.choices):
            others = tuple(syntax for syntax in anew if syntax not in some)
            if others:
                contexts.append((sop_class, others))
        yield Proposal(frozenset(Kind(sop_class, syntax) for syntax in some), tuple(contexts))


def _joined(some: Sequence[Proposal]) -> Proposal:
    return Proposal(
        frozenset().union(*(one.kinds for one in some)),
        tuple(context for one in some for context in one.contexts),
    )
