"""The job ``Webhook``: delivers what has happened to one program, until nothing is left.

    take ─▶ prepare ─▶ send ─▶ it arrived, and prepare the next ─▶ send ─▶ ... ─▶ Success

A delivery is in the index before it is sent, and the cursor moves when the program said yes. So
whatever dies, nothing is skipped: at worst a delivery comes twice, under the same name. One job of
a webhook lives at a time, in whatever process, so that the order is that of the logs.

An endpoint that fails is tried again by the rules for jobs (state ``Retry``). After the last
attempt the job has failed, the events wait, and ``lookout`` takes it up again after a rest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from wherry import clock, limits
from wherry.config import Config
from wherry.config.webhooks import Webhook
from wherry.errors import UnknownResource
from wherry.index import webhooks
from wherry.index.database import Index, Transaction
from wherry.index.webhooks import Delivery
from wherry.jobs.crew import Crew
from wherry.jobs.handler import Interrupted, JobControl
from wherry.model import Job, type_json
from wherry.webhooks import events
from wherry.webhooks.endpoint import Endpoint

_STEP = 1 / 16
"""How far each delivery brings a job whose length nobody knows."""


class WebhookJobs:
    """Runs jobs of type ``Webhook``."""

    type = events.JOB_TYPE

    def __init__(self, config: Config, index: Index) -> None:
        """Raises ``ConfigurationError`` when a webhook can never be reached."""
        self._config = config
        self._index = index
        self._webhooks = {one.name: one for one in config.wherry.webhooks}
        for webhook in config.wherry.webhooks:
            Endpoint(config, webhook).client.close()

    def run(self, control: JobControl) -> None:
        """Deliver what is due; see ``JobHandler``."""
        name = str(control.job.parameters["Webhook"])
        webhook = self._webhooks.get(name)
        if webhook is None:
            raise UnknownResource(f"Webhook {name} is not configured here any more")
        endpoint = Endpoint(self._config, webhook)
        with endpoint.client as client:
            _Delivering(self._config.name, control, webhook).run(endpoint, client.abort)

    def settle(self, job: Job) -> None:
        """Its events stay; the next attempt comes after a rest."""
        name = str(job.parameters["Webhook"])
        until = clock.timestamp() + limits.WEBHOOK_REST_S
        self._index.write(lambda tx: webhooks.rest(tx, name, job.id, until))


class _Delivering:
    """One run of one job."""

    def __init__(self, server: str, control: JobControl, webhook: Webhook) -> None:
        self._server = server
        self._control = control
        self._webhook = webhook
        self._content: dict[str, type_json] = {
            "Webhook": webhook.name,
            "Deliveries": 0,
            "Events": 0,
        }
        self._content |= control.job.content
        self._progress = control.job.progress

    def run(self, endpoint: Endpoint, abort: Callable[[], None]) -> None:
        """Deliver until nothing is left."""
        delivery = self._next(None)
        while delivery is not None:
            self._hand_over(delivery, endpoint, abort)
            delivery = self._next(delivery)

    def _hand_over(self, delivery: Delivery, endpoint: Endpoint, abort: Callable[[], None]) -> None:
        """Returns when it arrived. When the run is interrupted although it arrived, that is noted
        all the same, lest it come twice."""
        arrived = threading.Event()

        def post(one: Delivery) -> None:
            endpoint.post(one)
            arrived.set()

        try:
            Crew(1, self._control.check, abort).work([delivery], post)
        except Interrupted:
            if arrived.is_set():
                self._next(delivery)
            raise

    def _next(self, arrived: Delivery | None) -> Delivery | None:
        """Note what arrived, and what is to be sent now, in one transaction."""
        name, job_id, new_id = self._webhook.name, self._control.job.id, clock.new_uuid()
        found: Delivery | None = None
        if arrived is not None:
            self._content["Deliveries"] += 1
            self._content["Events"] += arrived.event_count
            self._progress += (1 - self._progress) * _STEP  # tells that the endpoint lives

        def step(tx: Transaction) -> None:
            nonlocal found
            found = None
            if not webhooks.take(tx, name, job_id):
                return
            if arrived is not None:
                webhooks.arrived(tx, name, arrived.id)
            found = self._prepared(tx, new_id)

        self._control.save({}, self._content, self._progress, also=step)
        return found

    def _prepared(self, tx: Transaction, new_id: str) -> Delivery | None:
        """What is on its way already, or else the next events."""
        row = webhooks.get(tx, self._webhook.name)
        assert row is not None
        if row.delivery is not None:
            return row.delivery
        due, end = events.behind(tx, self._webhook, row.position, limits.WEBHOOK_EVENTS)
        if not due:
            return None
        text = events.body(self._webhook, self._server, new_id, due)
        delivery = Delivery(new_id, text, len(due))
        webhooks.prepare(tx, self._webhook.name, delivery, end)
        return delivery
