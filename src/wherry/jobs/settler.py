"""The settling thread: after a failure or a cancel, lets the handler release what the job held.

It has a thread of its own, so that neither who cancels waits for it, nor a worker. What is to be
settled is noted in the job's row: a process that dies in between leaves it to the next.

Not here: what a job holds.
"""

from __future__ import annotations

import logging

from wherry.errors import WherryError
from wherry.index import jobs
from wherry.index.database import Transaction
from wherry.jobs.shop import Shop
from wherry.model import Job

_log = logging.getLogger(__name__)


def settle(shop: Shop) -> None:
    """Settle one job after the other until the shop stops."""
    while not shop.stopping.is_set():
        seen = shop.jobs_unsettled.seen()
        try:
            job = shop.index.write(lambda tx: jobs.claim_unsettled(tx, shop.process_id, shop.types))
            if job is not None:
                _settle_one(shop, job)
        except WherryError as error:
            _log.warning("Cannot settle jobs: %s", error)
            job = None
        if job is None:
            shop.jobs_unsettled.wait(seen)


def _settle_one(shop: Shop, job: Job) -> None:
    try:
        shop.handlers[job.type].settle(job)
    except Exception:
        _log.exception("Job %s (%s) left something behind", job.id, job.type)

    def settled(tx: Transaction) -> int:
        jobs.settled(tx, job.id, shop.process_id)
        return jobs.trim(tx, shop.rules.history_size)

    if shop.index.write(settled):
        shop.removed()
    shop.jobs_wait.give()
