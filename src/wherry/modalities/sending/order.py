"""What a job ``DicomModalityStore`` is to do, as its parameters keep it, and which instances that
is.

Not here: the body of the request (``rest``), the sending (``store``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from wherry.index import sending
from wherry.index.database import Transaction
from wherry.modalities.associations.calling import target
from wherry.modalities.associations.connection import Target
from wherry.modalities.associations.negotiation import Kind
from wherry.modalities.sending.cstore import Originator
from wherry.model import Attachment, Level, Modality, type_json

if TYPE_CHECKING:
    from wherry.config import Config


@dataclass(frozen=True, slots=True)
class StoreOrder:
    """One order to store resources at a modality."""

    modality: str
    """Its symbolic name."""
    resources: tuple[str, ...]
    """Orthanc identifiers of any level."""
    permissive: bool = False
    """An instance that cannot be stored is counted, and the others go on."""
    local_aet: str = ""
    """What is said here goes before what is configured; so the next four."""
    called_aet: str = ""
    host: str = ""
    port: int = 0
    timeout_s: int | None = None
    """0 = for ever."""
    originator_aet: str = ""
    """"" = our own title."""
    originator_id: int | None = None
    """Message of the C-MOVE that it is done for; None: it is for nobody's."""
    storage_commitment: bool = False
    """In the end the modality is asked to answer for what it has stored."""
    description: str = "REST API"

    def parameters(self) -> dict[str, type_json]:
        """What the job keeps."""
        return {**asdict(self), "resources": list(self.resources)}

    def at(self, modality: Modality) -> Modality:
        """The modality, as this order sees it."""
        return replace(
            modality,
            aet=self.called_aet or modality.aet,
            host=self.host or modality.host,
            port=self.port or modality.port,
        )

    def target(self, config: Config, modality: Modality) -> Target:
        """Whom to call, and how. Raises as ``calling.target`` does."""
        at = self.at(modality)
        return target(config, at, local_aet=self.local_aet, timeout_s=self.timeout_s)

    def originator(self, target: Target) -> Originator | None:
        """Whose C-MOVE it is done for."""
        if self.originator_id is None:
            return None
        return Originator(self.originator_aet or target.calling, self.originator_id)

    def content(self, tx: Transaction, target: Target, instances: int) -> dict[str, type_json]:
        """The job's public content before anything was sent. Raises ``UnknownResource``."""
        content: dict[str, type_json] = {
            "Description": self.description,
            "FailedInstancesCount": 0,
            "InstancesCount": instances,
            "LocalAet": target.calling,
            "RemoteAet": target.called,
        }
        if (originator := self.originator(target)) is not None:
            content["MoveOriginatorAET"] = originator.aet
            content["MoveOriginatorID"] = originator.message_id
        if self.resources:
            content["ParentResources"] = list(self.resources)
            content["Resources"] = _named(tx, self.resources)
        return content


def from_parameters(parameters: Mapping[str, type_json]) -> StoreOrder:
    """The order that a job keeps."""
    return StoreOrder(**{**parameters, "resources": tuple(parameters["resources"])})


class Instance(NamedTuple):
    """One that is to be sent."""

    orthanc_id: str
    attachment: Attachment
    kind: Kind
    """As the index knows it: to plan with."""


def instances_of(tx: Transaction, order: StoreOrder) -> list[Instance]:
    """The instances of an order, sorted by identifier, each once. Raises ``UnknownResource``."""
    files = sending.files_of(tx, order.resources)
    encodings = sending.encodings_of(tx, [orthanc_id for orthanc_id, _ in files])
    return [
        Instance(orthanc_id, attachment, Kind(*encodings.get(orthanc_id, ("", ""))))
        for orthanc_id, attachment in files
    ]


def _named(tx: Transaction, ids: tuple[str, ...]) -> list[dict[str, str]]:
    levels: dict[str, Level] = {}
    for portion in sending.portions(ids):
        levels |= sending.levels_of(tx, portion)
    return [{"ID": one, "Type": levels[one].title} for one in ids]
