"""The modalities that this server knows: those of the configuration, and those declared over REST
(``index.declared``).

With ``DicomModalitiesInDatabase`` the configured ones are not looked at.

Not here: how they are shown (``rest``), what is said to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry import limits
from wherry.config.modalities import read_modality
from wherry.errors import InexistentItem, ParameterOutOfRange
from wherry.index.database import Index
from wherry.index.declared import Declared
from wherry.model import Manufacturer, Modality, type_json

if TYPE_CHECKING:
    from wherry.config import Config


class ModalityBook:
    """All modalities by name. Blocking; from any thread."""

    def __init__(self, config: Config, index: Index) -> None:
        dimse = config.dimse
        configured = {} if dimse.modalities_in_database else dimse.modalities
        self._modalities = Declared(
            index, "modalities", configured, read_modality, limits.MODALITIES
        )
        self._strict = dimse.strict_aet_comparison

    def all(self) -> list[Modality]:
        """Every modality, sorted by name."""
        return list(self._modalities.all().values())

    def get(self, name: str) -> Modality:
        """One modality. Raises ``InexistentItem``."""
        try:
            return self._modalities.get(name)
        except InexistentItem:
            shown = name[: limits.PEER_NAME_CHARACTERS]
            raise InexistentItem(f"No modality with symbolic name: {shown}") from None

    def with_title(self, title: str) -> list[Modality]:
        """Those with this application entity title, sorted by name; several may share one."""
        return [one for one in self.all() if self.same_title(one.aet, title)]

    def same_title(self, one: str, other: str) -> bool:
        """Whether two titles are the same; as ``StrictAetComparison`` says, by case or not."""
        return one == other if self._strict else one.upper() == other.upper()

    def put(self, name: str, entry: type_json) -> None:
        """Declare a modality, in one of the forms of ``DicomModalities``.

        Raises ``ParameterOutOfRange`` for an unknown manufacturer, ``BadFileFormat`` for whatever
        else makes no sense, ``TooLarge`` when there are too many.
        """
        check_manufacturer(entry)
        self._modalities.put(name, entry)

    def remove(self, name: str) -> None:
        """Forget a modality. Raises ``InexistentItem`` when there is none."""
        try:
            self._modalities.remove(name)
        except InexistentItem:
            shown = name[: limits.PEER_NAME_CHARACTERS]
            raise InexistentItem(f"No modality with symbolic name: {shown}") from None


def check_manufacturer(entry: type_json) -> None:
    """An unknown manufacturer has an error of its own in the original. Raises
    ``ParameterOutOfRange``."""
    named = entry.get("Manufacturer") if isinstance(entry, dict) else None
    if isinstance(entry, list) and len(entry) > 3:
        named = entry[3]
    if isinstance(named, str) and named not in tuple(Manufacturer):
        raise ParameterOutOfRange(f'Unknown modality manufacturer: "{named[:64]}"')
