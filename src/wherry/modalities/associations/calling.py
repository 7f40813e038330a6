"""How a modality is called: with which titles, how patiently, over TLS or not.

Not here: what is said to it.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from wherry.errors import ConfigurationError
from wherry.modalities.associations.connection import Target
from wherry.model import Modality

if TYPE_CHECKING:
    from wherry.config import Config


def target(
    config: Config, modality: Modality, *, local_aet: str = "", timeout_s: int | None = None
) -> Target:
    """Whom to call for ``modality``; ``local_aet`` and ``timeout_s`` (0 = for ever) of a request
    go before those of the configuration.

    Raises ``ParameterOutOfRange`` for a title that is too long, ``ConfigurationError`` when TLS is
    wanted and cannot be had.
    """
    if timeout_s is None:
        timeout_s = modality.timeout_s or config.dimse.scu_timeout_s
    return Target(
        called=modality.aet,
        calling=local_aet or modality.local_aet or config.dicom_aet,
        host=modality.host,
        port=modality.port,
        timeout_s=timeout_s or None,
        tls=client_context(config) if modality.use_tls else None,
    )


def client_context(config: Config) -> ssl.SSLContext:
    """How the other end of DICOM TLS is checked (PS3.15 Annex B). Names are not: certificates of
    modalities seldom have one. Raises ``ConfigurationError``."""
    dimse = config.dimse
    if dimse.tls_trusted_certificates is None:
        raise ConfigurationError(
            '"DicomTlsTrustedCertificates" must name a PEM file to speak DICOM TLS'
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    try:
        context.load_verify_locations(dimse.tls_trusted_certificates)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if dimse.tls_certificate is not None:
            context.load_cert_chain(dimse.tls_certificate, dimse.tls_private_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"The files of DICOM TLS cannot be used ({error})") from error
    return context
