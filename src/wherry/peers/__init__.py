"""Other servers over HTTP: which ones are known, how they are spoken to, what is stored there.

``book`` knows the peers; ``client`` speaks to one; ``patience`` tries again; ``store`` is the job.
"""

from __future__ import annotations

from wherry.peers.book import PeerBook

__all__ = ["PeerBook"]
