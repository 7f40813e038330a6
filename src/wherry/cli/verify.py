"""``wherry verify RECEIPT``: whether a receipt is what its server signed, without any server."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wherry import limits
from wherry.cli.filling import printable
from wherry.errors import BadFileFormat, WherryError

if TYPE_CHECKING:
    from wherry.receipts.document import SignedReceipt

_LARGEST_BYTES = 1024 * 1024
_SHOWN = (
    "ID",
    "Direction",
    "Sender",
    "Receiver",
    "Opened",
    "Committed",
    "CountInstances",
    "TotalSize",
    "CountHeldBefore",
    "CountKeptOther",
    "CountKeptUnknown",
    "CountMetadata",
    "CountLabels",
    "CountAttachments",
    "CountKeptExtras",
    "ManifestRoot",
    "ExtrasDigest",
)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "verify",
        help="check the receipt of a transfer",
        description="Check the signature of a receipt, as /transfers/receipts/ID gives it, without "
        "asking any server; with files, also whether they are what it was given for. Whose key "
        "it is, only you can tell: compare it with what the receiver publishes at "
        "/transfers/receipts/key.",
    )
    parser.add_argument("receipt", type=Path, metavar="RECEIPT", help="a JSON file; - = input")
    parser.add_argument("--key", metavar="KEY", help="the public key that it must be signed with")
    parser.add_argument(
        "--files",
        type=Path,
        metavar="FOLDER",
        help="a folder that must hold exactly the instances of the receipt, byte for byte",
    )
    parser.add_argument(
        "--extras",
        type=Path,
        metavar="DOCUMENT",
        help="metadata, labels and attachments as /transfers/extras gives them, which must be "
        "those of the receipt",
    )
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Check and say what it says; 1 when anything does not hold."""
    from wherry.receipts.document import parse
    from wherry.receipts.signing import fingerprint, is_valid

    receipt = parse(_read(parsed.receipt))
    problems = []
    if not is_valid(receipt):
        problems.append("the signature does not hold: the receipt was changed, or is not genuine")
    if parsed.key and parsed.key != receipt.public_key:
        problems.append("it is signed with another key than the one given")
    if parsed.files:
        problems += _compare(receipt, parsed.files)
    if parsed.extras:
        problems += _compare_extras(receipt, parsed.extras)
    for name in _SHOWN:
        if name in receipt.body:
            print(f"{name:<16} {_text(receipt.body[name])}")
    print(f"{'Signed with':<16} {receipt.public_key}")
    print(f"{'Fingerprint':<16} {fingerprint(receipt.public_key)}")
    for problem in problems:
        print(f"wherry: NOT VALID: {problem}", file=sys.stderr)
    if not problems:
        held = [name for name in ("files", "extras") if getattr(parsed, name)]
        print("The signature holds" + (f", and so do the {' and '.join(held)}." if held else "."))
    return int(bool(problems))


def _read(path: Path, largest_bytes: int = _LARGEST_BYTES) -> bytes:
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(largest_bytes + 1)
        else:
            with path.open("rb") as file:
                data = file.read(largest_bytes + 1)
    except OSError as error:
        raise WherryError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > largest_bytes:
        raise BadFileFormat(f"{path} is too long for what it should be")
    return data


def _compare(receipt: SignedReceipt, folder: Path) -> list[str]:
    """What differs between the instances of a folder and those of the receipt."""
    from wherry.receipts.document import manifest_root
    from wherry.receipts.files import instances_in

    found, others = instances_in(folder, str(receipt.body.get("BLAKE3", "")))
    problems = []
    if others:
        problems.append(f"{others} files in {folder} are no DICOM files")
    if len(found) != receipt.body.get("CountInstances"):
        problems.append(f"{folder} holds {len(found)} instances")
    elif manifest_root(found) != receipt.body.get("ManifestRoot"):
        problems.append(f"the files in {folder} are not those that the receipt is about")
    return problems


def _compare_extras(receipt: SignedReceipt, path: Path) -> list[str]:
    """Whether the document of metadata, labels and attachments is that of the receipt."""
    from wherry.transfers.extras import digest, parse

    told = receipt.body.get("ExtrasDigest")
    if told is None:
        return ["the receipt is about no metadata, labels and attachments"]
    if digest(parse(_read(path, limits.EXTRAS_BYTES))) == told:
        return []
    return [f"{path} is not what the receipt is about"]


def _text(value: object) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{name} {text}" for name, text in sorted(value.items()))
    return printable(str(value))
