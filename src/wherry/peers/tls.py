"""Whom we believe, and how we show who we are, when a peer's address begins with ``https``."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from wherry.errors import ConfigurationError
from wherry.model import Peer


@dataclass(frozen=True, slots=True)
class Tls:
    """How peers with an ``https`` address are checked."""

    verify: bool = True
    authorities: Path | None = None
    """None = those of the operating system."""

    def context(self, peer: Peer) -> ssl.SSLContext:
        """Raises ``ConfigurationError`` when a certificate cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.authorities)
            if not self.verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if peer.certificate_file:
                context.load_cert_chain(
                    peer.certificate_file,
                    peer.certificate_key_file or None,
                    peer.certificate_key_password,
                )
        except OSError as error:
            raise ConfigurationError(
                f"A certificate for peer {peer.name} cannot be used ({error.strerror or error})"
            ) from error
        return context
