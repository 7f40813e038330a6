"""How DICOM associations are answered and made: the ``Dicom…`` keys of the configuration.

Not here: one entry of ``DicomModalities`` (``modalities``), reading of files (``loading``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wherry.config import place as check
from wherry.config.document import Document
from wherry.config.place import Place
from wherry.model import Modality


@dataclass(frozen=True, slots=True)
class DimseConfig:
    """``DimseConfig()`` = all defaults, those of Orthanc."""

    server_enabled: bool = True
    check_called_aet: bool = False
    """Associations for another title are rejected (``DicomCheckCalledAet``)."""
    strict_aet_comparison: bool = False
    """Titles are compared by case."""
    check_modality_host: bool = False
    """Known modalities must come from their host (``DicomCheckModalityHost``)."""
    scp_timeout_s: int = 30
    """An association without traffic is aborted after so long; 0 = never."""
    scu_timeout_s: int = 10
    """Wait for the answer of another system; 0 = for ever."""
    maximum_pdu_bytes: int = 16384
    """Bytes behind the head of a P-DATA-TF that this server takes (``MaximumPduLength``)."""
    always_allow_echo: bool = True
    """From whoever is no known modality; so the next ones."""
    always_allow_store: bool = True
    always_allow_find: bool = False
    always_allow_find_worklist: bool = False
    always_allow_get: bool = False
    always_allow_move: bool = False
    transcode: bool = True
    """What another system does not take as it is, is transcoded for it
    (``TranscodeDicomProtocol``)."""
    preferred_transfer_syntax: str = "1.2.840.10008.1.2.1"
    """First choice then (``DicomScuPreferredTransferSyntax``)."""
    echo_checks_find: bool = False
    """A C-ECHO is followed by a C-FIND of nothing (``DicomEchoChecksFind``)."""
    synchronous_move: bool = True
    """A C-MOVE is answered after everything was sent; False: it becomes a job."""
    queries: int = 100
    """Answers to queries that are kept (``QueryRetrieveSize``)."""
    commitment_reports: int = 100
    """Reports of storage commitment that are kept (``StorageCommitmentReportsSize``)."""
    association_close_delay_s: int = 5
    """How long an association for instances is kept for the next ones; 0 = not at all
    (``DicomAssociationCloseDelay``)."""
    modalities: Mapping[str, Modality] = field(default_factory=dict)
    modalities_in_database: bool = False
    """Modalities are those declared over REST only; ``modalities`` are not looked at."""
    tls_enabled: bool = False
    tls_certificate: Path | None = None
    tls_private_key: Path | None = None
    tls_trusted_certificates: Path | None = None
    tls_remote_certificate_required: bool = True


_TLS_FILES = (
    ("DicomTlsCertificate", "tls_certificate"),
    ("DicomTlsPrivateKey", "tls_private_key"),
    ("DicomTlsTrustedCertificates", "tls_trusted_certificates"),
)


def tls_files(document: Document, values: Mapping[str, Any]) -> dict[str, Path]:
    """The files of DICOM TLS; all must be there when it is enabled. Modalities with
    ``UseDicomTls`` may need them as well. Raises ``ConfigurationError``."""
    found: dict[str, Path] = {}
    for name, attribute in _TLS_FILES:
        if document.values.get(name, "") != "":
            found[attribute] = check.existing_file(document.values[name], document.place(name))
        elif values.get("tls_enabled", False):
            place = Place(document.place("DicomTlsEnabled").source, name)
            raise place.error("must name a PEM file, because DicomTlsEnabled is true")
    return found
