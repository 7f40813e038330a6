"""What a job does and how much of it is done, from the ``Content`` of its type.

Only counts, sizes and names of servers: what a job asks for (the ``Query`` of a C-MOVE) may name
patients, and stays out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from wherry import limits
from wherry.cli.jobs.view import JobView, number
from wherry.cli.jobs.words import count, harmless, part, size

_LEVELS = {"Patient": "patient", "Study": "study", "Series": "series", "Instance": "instance"}
_STAGES = {"Verifying": "verifying", "Committing": "committing"}
_TRANSFERS = {"PushTransfer": "to", "PullTransfer": "from"}


@dataclass(frozen=True, slots=True)
class Volume:
    """How much is done, in the unit in which the server tells it."""

    done: float
    total: float | None
    """None = not known."""
    unit: str
    """``bytes`` or ``instances``."""


def volume(view: JobView) -> Volume | None:
    """Bytes where the content tells them, else instances; None = neither."""
    content = view.content
    if view.type in _TRANSFERS:
        return _transferred(content)
    if view.type == "OrthancPeerStore":
        done = number(content.get("Size"))
        return None if done is None else Volume(done, None, "bytes")
    if view.type in ("Archive", "Media"):
        done = number(content.get("ArchiveSize"))
        return None if done is None else Volume(done, None, "bytes")
    instances = number(content.get("InstancesCount"))
    if instances is None:
        return None
    return Volume(instances * view.percent / 100, instances, "instances")


def purpose(view: JobView) -> str:
    """In a few words, "1 study to paris, 120 of 512 MB"; empty when there is nothing to tell."""
    what = _what(view)
    failed = int(number(view.content.get("FailedInstancesCount")) or 0)
    told = (
        what,
        _stage_words(view) or _volume_words(view),
        f"{failed} failed" if failed > 0 else "",
    )
    return ", ".join(text for text in told if text)


def reported_speed(view: JobView) -> float | None:
    """Bytes a second by the server's own count."""
    kibibytes = number(view.content.get("NetworkSpeedKBs"))
    return kibibytes * limits.KIB if kibibytes else None


def _transferred(content: dict[str, Any]) -> Volume | None:
    done, total = number(content.get("CompletedBytes")), number(content.get("TotalBytes"))
    if done is not None:
        return Volume(done, total, "bytes")
    # Orthanc tells mebibytes, and those on the network: compressed, they never reach the total.
    for name in ("UploadedSizeMB", "DownloadedSizeMB"):
        done = number(content.get(name))
        if done is not None:
            total = number(content.get("TotalSizeMB"))
            if content.get("Compression") != "none" or total is None:
                return Volume(done * limits.MIB, None, "bytes")
            return Volume(done * limits.MIB, total * limits.MIB, "bytes")
    return None


def _stage_words(view: JobView) -> str:
    """What goes on behind the last byte of a transfer."""
    stage = view.content.get("Stage")
    if not view.running or not isinstance(stage, str) or stage not in _STAGES:
        return ""
    done, total = number(view.content.get("StageDone")), number(view.content.get("StageTotal"))
    words = _STAGES[stage]
    if done is None or total is None:
        return words
    return f"{words} {int(done)} of {count(int(total), 'instance')}"


def _volume_words(view: JobView) -> str:
    found = volume(view)
    if found is None or found.unit != "bytes" or not found.done:
        return ""
    if found.total is None or view.succeeded:
        return size(found.done)
    return part(found.done, found.total)


def _what(view: JobView) -> str:
    content = view.content
    if view.type in _TRANSFERS:
        return _joined(_resources(content), _TRANSFERS[view.type], _name(content.get("Peer")))
    instances = number(content.get("InstancesCount"))
    many = "" if instances is None else count(int(instances), "instance")
    if view.type == "OrthancPeerStore":
        return _joined(many, "to", _peer(content.get("Peer")))
    if view.type == "DicomModalityStore":
        return _joined(many, "to", _name(content.get("RemoteAet")))
    if view.type in ("DicomMoveScu", "DicomGetScu"):
        return _joined("", "from", _name(content.get("RemoteAet")))
    if view.type == "StorageCommitmentScp":
        return _joined("", "for", _name(content.get("RemoteAet")))
    if view.type == "ResourceModification":
        return (
            f"{'anonymize' if content.get('IsAnonymization') is True else 'modify'} {many}".strip()
        )
    if view.type == "SequenceOfOperations":
        operations = number(content.get("CountOperations"))
        return "" if operations is None else count(int(operations), "operation")
    return many


def _resources(content: dict[str, Any]) -> str:
    found = content.get("Resources")
    levels = Counter(
        _LEVELS.get(str(one.get("Level")).capitalize(), "resource")
        for one in (found if isinstance(found, list) else ())
        if isinstance(one, dict)
    )
    return ", ".join(count(many, level) for level, many in levels.items())


def _peer(value: Any) -> str:
    """``["url"]`` or ``{"Url": …}``."""
    if isinstance(value, list) and value:
        return _name(value[0])
    return _name(value.get("Url") if isinstance(value, dict) else value)


def _name(value: Any) -> str:
    return harmless(value) if isinstance(value, str) else ""


def _joined(what: str, word: str, whom: str) -> str:
    return " ".join(filter(None, (what, word, whom))) if whom else what
