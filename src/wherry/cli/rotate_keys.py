"""``wherry rotate-keys CONFIG``: another master key, without writing any file anew."""

from __future__ import annotations

import argparse

from wherry.cli.options import add_configuration, read_configuration
from wherry.errors import ConfigurationError


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "rotate-keys",
        help="wrap the keys of encrypted files under the current MasterKey",
        description="Wrap the keys of encrypted files under the current MasterKey of "
        "StorageEncryption, and make a new key for new files. The master key until now must stand "
        "in PreviousMasterKeys. No file is written anew. Servers may run, if they have been "
        "started with this configuration.",
    )
    add_configuration(parser, required=True)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Rotate."""
    config = read_configuration(parsed)
    from wherry.index import attachments
    from wherry.index.opening import open_index
    from wherry.keyring import rotate
    from wherry.server import index_settings
    from wherry.storage.building import ring_files

    if config.encryption is None:
        raise ConfigurationError("There is no StorageEncryption with a MasterKey")
    index = open_index(index_settings(config))
    try:
        ring = rotate(config.encryption, index, ring_files(config))
        with index.read() as tx:
            others = attachments.count_sealed(tx, "A1")
    finally:
        index.close()
    print(
        f"The {len(ring)} keys of the key ring are wrapped under the master key "
        f"{config.encryption.master.id}; new files take the last one, {ring[-1].id}."
    )
    if others:
        print(
            f"{others} files in Orthanc's container A1 stay as they are: keep the master keys that "
            "they need in PreviousMasterKeys."
        )
    else:
        print("No file needs PreviousMasterKeys any more.")
    return 0
