"""A real Azure blob service for the tests: Microsoft's Azurite, from npm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from obstore.store import AzureStore

from tests.support.installed import node_packages
from tests.support.processes import Program, running
from tests.support.server import free_port

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of the emulator, known to everybody."""


@dataclass(frozen=True)
class Azurite:
    """A running service."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    @property
    def connection_string(self) -> str:
        parts = (
            "DefaultEndpointsProtocol=http",
            f"AccountName={ACCOUNT}",
            f"AccountKey={KEY}",
            f"BlobEndpoint={self.endpoint};",
        )
        return ";".join(parts)

    def section(self, container: str) -> dict[str, object]:
        """``AzureBlobStorage`` of a configuration; the container is made by who uses it."""
        return {"ConnectionString": self.connection_string, "ContainerName": container}

    def store(self, container: str) -> AzureStore:
        """A client for looking into a container."""
        return AzureStore(
            container,
            account_name=ACCOUNT,
            account_key=KEY,
            endpoint=self.endpoint,
            client_options={"allow_http": True},
        )


@contextmanager
def azurite(folder: Path) -> Iterator[Azurite]:
    """A service that keeps its data in ``folder``."""
    program = node_packages("azurite-3", "azurite@3") / "azurite-blob"
    port = free_port()
    options = ("--skipApiVersionCheck", "--silent", "--disableTelemetry", "--location", folder)
    command = (program, "--blobPort", port, *options)
    with running([Program(command, port, folder / "log")]):
        yield Azurite(port)
