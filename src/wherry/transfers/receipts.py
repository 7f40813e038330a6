"""Receipts of the transfers that are committed here: made and signed with the server's key.

The key is made when it is first needed and stays with the index, so that all processes that share
it sign alike. It is never given out; its public half is in every receipt, and under
``/transfers/receipts/key``.

Not here: what a receipt looks like (``receipts.document``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from wherry import clock, limits
from wherry.errors import BadFileFormat, NetworkProtocol
from wherry.index import receipts, settings
from wherry.index.database import Index, Transaction
from wherry.index.transfer_rows import TransferRow
from wherry.model import ManifestInstance, type_json
from wherry.receipts.document import VERSION, SignedReceipt, blake3_positions, manifest_root, parse

if TYPE_CHECKING:
    from wherry.receipts.signing import SigningKey

_KEY = "transfers.signing-key"


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a commit made of the instances of a transfer."""

    instances: Sequence[ManifestInstance]
    """All that were declared."""
    held: int
    """Of these, how many were stored here before and did not travel."""
    kept_other: Collection[str]
    """Orthanc identifiers of those that were stored here before with other bytes, which stayed."""
    kept_unknown: int = 0
    """How many were stored here before with a digest that cannot be compared with the declared
    one, and stayed."""
    extras: Mapping[str, type_json] = field(default_factory=dict)
    """What the receipt says of metadata, labels and attachments, when they were to travel too."""


class Receipts:
    """Makes, keeps and gives receipts. Blocking; from any thread."""

    def __init__(self, index: Index, name: str, originator: Callable[[], str]) -> None:
        """``name`` and ``originator`` (a UUID) stand for this server."""
        self._index = index
        self._name = name
        self._originator = originator
        self._known: SigningKey | None = None

    def key(self) -> SigningKey:
        """The key of this server."""
        if self._known is None:
            from wherry.receipts.signing import SigningKey

            with self._index.read() as tx:
                secret = settings.get(tx, _KEY)
            self._known = SigningKey(str(secret or self._index.write(_choose_secret)))
        return self._known

    def prepare(self) -> None:
        """Have everything at hand that ``make`` needs, before a transaction."""
        self.key()
        self._originator()

    def make(self, transfer: TransferRow, arrival: Arrival, root: str) -> SignedReceipt:
        """The receipt of a transfer that is committed now; ``root``: of ``arrival.instances``."""
        body: dict[str, Any] = {
            "Version": VERSION,
            "ID": transfer.id,
            "Direction": transfer.kind,
            "Sender": orjson.loads(transfer.other_end),
            "Receiver": {"ID": self._originator(), "Name": self._name},
            "Opened": _moment(datetime.fromtimestamp(transfer.created_at, UTC)),
            "Committed": _moment(clock.now()),
            "Compression": transfer.compression,
            "CountInstances": len(arrival.instances),
            "TotalSize": str(sum(one.size for one in arrival.instances)),
            "CountHeldBefore": arrival.held,
            "ManifestRoot": root,
            **arrival.extras,
        }
        if positions := blake3_positions(arrival.instances):
            body["BLAKE3"] = positions
        if arrival.kept_other:
            named = sorted(arrival.kept_other)[: limits.RECEIPT_NAMED]
            body |= {"CountKeptOther": len(arrival.kept_other), "KeptOther": named}
        if arrival.kept_unknown:
            body["CountKeptUnknown"] = arrival.kept_unknown
        return self.key().sign(body)

    def keep(self, tx: Transaction, receipt: SignedReceipt) -> None:
        """Write it down."""
        receipts.add(tx, receipt.body["ID"], orjson.dumps(receipt.document()).decode())

    def keep_of_peer(
        self,
        data: bytes,
        receipt_id: str,
        instances: Sequence[ManifestInstance],
        extras_digest: str = "",
    ) -> SignedReceipt:
        """Keep what a peer gave us for what we sent; ``extras_digest``: of what travelled beside
        the instances. Raises ``NetworkProtocol`` when it is not about that, or not signed by the
        key that it names."""
        from wherry.receipts.signing import is_valid

        try:
            receipt = parse(data)
            valid = is_valid(receipt)
        except BadFileFormat as error:
            raise NetworkProtocol(f"The peer's receipt is none: {error}") from None
        body = receipt.body
        told = [body.get(name, "") for name in ("ID", "ManifestRoot", "BLAKE3", "ExtrasDigest")]
        sent = [manifest_root(instances), blake3_positions(instances), extras_digest]
        if not valid or told != [receipt_id, *sent]:
            raise NetworkProtocol("The peer's receipt is not about what it was sent")
        self._index.write(lambda tx: self.keep(tx, receipt))
        return receipt

    def get(self, receipt_id: str) -> dict[str, Any] | None:
        """One receipt as it is given out."""
        with self._index.read() as tx:
            row = receipts.get(tx, receipt_id)
        return None if row is None else dict(orjson.loads(row.document))

    def body(self, receipt_id: str) -> Mapping[str, type_json]:
        """What one receipt says; empty when there is none."""
        found = self.get(receipt_id)
        return {} if found is None else dict(found["Receipt"])

    def page(self, since: int, limit: int) -> tuple[list[dict[str, Any]], int, bool]:
        """Receipts behind number ``since``, the number of the last of them, and whether there are
        no more."""
        limit = min(limit, limits.RECEIPTS_PAGE)
        with self._index.read() as tx:
            rows = receipts.after(tx, since, limit + 1)
        found = rows[:limit]
        last = found[-1].seq if found else since
        return [orjson.loads(row.document) for row in found], last, len(rows) <= limit


def _choose_secret(tx: Transaction) -> str:
    """Another process may have been quicker."""
    from wherry.receipts.signing import new_secret

    known = settings.get(tx, _KEY)
    if known is None:
        known = new_secret()
        settings.put(tx, _KEY, known)
    return str(known)


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def extras_told(body: Mapping[str, type_json]) -> dict[str, type_json] | None:
    """What a receipt says of metadata, labels and attachments, for the content of a job."""
    if "ExtrasDigest" not in body:
        return None
    kinds = ("Metadata", "Labels", "Attachments", "KeptExtras")
    return {kind: body.get(f"Count{kind}", 0) for kind in kinds}
