"""The transfers accelerator: manifest, buckets, sender, receiver.

``protocol`` and ``buckets`` are the wire format shared with stock Orthanc peers; ``reception``
receives for both directions; ``push`` and ``pull`` are the jobs; ``routes`` is the face.
"""

from __future__ import annotations

from wherry.transfers.routes import routes

__all__ = ["routes"]
