"""The object store that the configuration names.

Not here: what the keys of its sections mean (``config.objects``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

from wherry import limits
from wherry.config.objects import AzureConfig, GoogleConfig, ObjectsConfig, S3Config
from wherry.errors import ConfigurationError, StorageUnavailable
from wherry.storage.objects.azure import AzureContainer
from wherry.storage.objects.client import Bucket, Client
from wherry.storage.objects.failures import OURS
from wherry.storage.objects.names import Names
from wherry.storage.objects.ringfile import ObjectRingFile
from wherry.storage.objects.storage import ObjectStorage

log = logging.getLogger(__name__)

_USER_AGENT = "wherry"
_STORAGE_CLASS = "Storage-Class"


def object_storage(
    config: ObjectsConfig,
    folder: Path,
    *,
    sealed: bool = False,
    ca_certificates: Path | None = None,
) -> ObjectStorage:
    """``folder``: see ``ObjectStorage``. ``sealed``: what is stored will be encrypted.
    ``ca_certificates``: whom to trust beside the usual ones. Raises ``ConfigurationError``."""
    bucket = _opened(config, ca_certificates)
    names = Names(
        config.root_path,
        legacy=config.legacy_names,
        sealed=sealed,
        unknown_headers=config.legacy_unknown_files,
    )
    return ObjectStorage(Client(bucket), names, folder)


def object_ring_file(
    config: ObjectsConfig, *, ca_certificates: Path | None = None
) -> ObjectRingFile:
    """The key ring beside the objects. Raises ``ConfigurationError``."""
    bucket = _opened(config, ca_certificates)
    # A class of storage that is read seldom, or late, is not for what every start reads.
    return ObjectRingFile(Client(replace(bucket, attributes={}, tags={})), config.root_path)


def _opened(config: ObjectsConfig, ca_certificates: Path | None) -> Bucket:
    try:
        return _bucket(config, _options(config, ca_certificates))
    except OURS:
        # Not from it: its words may hold what must stay secret.
        raise ConfigurationError(
            "The object storage cannot be used like this: look at its endpoint, its credentials "
            "and its names"
        ) from None


def _bucket(config: ObjectsConfig, options: dict[str, Any]) -> Bucket:
    match config:
        case S3Config():
            return _s3(config, options)
        case AzureConfig():
            return _azure(config, options)
        case GoogleConfig():
            store = GCSStore(
                config.bucket_name, service_account=str(config.service_account_file), **options
            )
            return Bucket(store, _Listing(store), config.max_connections)
    raise ConfigurationError("There is no such object storage")


def _s3(config: S3Config, options: dict[str, Any]) -> Bucket:
    known: dict[str, Any] = {}
    if config.access_key:
        known |= {
            "access_key_id": config.access_key,
            "secret_access_key": config.secret_key,
        }
        if config.session_token:
            known["session_token"] = config.session_token
    if config.endpoint:
        scheme, _, host = config.endpoint.rpartition("://")
        if config.virtual_addressing:  # the SDK of the plugin puts the bucket before the host
            host = f"{config.bucket_name}.{host}"
        known["endpoint"] = f"{scheme or 'https'}://{host}".rstrip("/")
    store = S3Store(
        config.bucket_name,
        region=config.region,
        virtual_hosted_style_request=config.virtual_addressing,
        disable_bulk_delete=True,  # not all services have it, and one file is removed at a time
        **known,
        **options,
    )
    return Bucket(
        store,
        _Listing(store),
        config.max_connections,
        config.part_bytes,
        {_STORAGE_CLASS: config.storage_class} if config.storage_class else {},
        config.tags,
    )


def _azure(config: AzureConfig, options: dict[str, Any]) -> Bucket:
    container = AzureContainer(config.connection_string, config.container_name)
    store = AzureStore(config.container_name, **container.credentials(), **options)
    if config.create_container:
        try:
            container.create(config.connect_timeout_s)
        except StorageUnavailable as error:  # mostly it is there already
            log.warning("The container was not made: %s", error)
    return Bucket(
        store,
        _Listing(store),
        config.max_connections,
        config.part_bytes,
        {_STORAGE_CLASS: config.access_tier} if config.access_tier else {},
    )


def _options(config: ObjectsConfig, ca_certificates: Path | None) -> dict[str, Any]:
    client: dict[str, Any] = {
        "allow_http": True,  # where the endpoint says so
        "connect_timeout": timedelta(seconds=config.connect_timeout_s),
        "timeout": timedelta(seconds=config.request_timeout_s),
        "read_timeout": timedelta(seconds=min(config.request_timeout_s, limits.OBJECT_SILENCE_S)),
        "user_agent": _USER_AGENT,
    }
    if ca_certificates is not None:
        client["root_certificate"] = ca_certificates.read_bytes()
    retry = {
        "max_retries": config.max_retries,
        "retry_timeout": timedelta(seconds=limits.OBJECT_RETRY_S),
    }
    return {"client_options": client, "retry_config": retry}


class _Listing:
    """Keys from a place in the order of names on, until they begin otherwise: object stores list
    by folder, and ours has a million files."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def __call__(self, folder: str, prefix: str) -> Iterator[str]:
        for page in obstore.list(self._store, folder or None, offset=prefix):
            for found in page:
                if found["path"].startswith(prefix):
                    yield found["path"]
                elif found["path"] > prefix:  # a store that begins earlier is waited for
                    return
