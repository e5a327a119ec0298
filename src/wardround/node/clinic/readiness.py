"""Has each model in use ready before the first study comes that it is to read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future

from wardround.compute.worker import Worker
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node.clinic import reader
from wardround.node.clinic.definition import Definition
from wardround.node.clinic.deployment import Deployments
from wardround.node.clinic.tables import Deployment

_log = logging.getLogger(__name__)

Serving = dict[int, tuple[Deployment, Definition]]


class Readiness:
    """What a model's network needs is made in a process of its own, which no study of another model waits for; then the
    process that reads loads it. A study of that model waits for the first, rather than have it done twice.

    Args:
        preparing: makes; it is ended with all that it loaded once there is nothing left to make.
        reading: reads.
    """

    def __init__(
        self,
        database: Database,
        deployments: Deployments,
        preparing: Worker,
        reading: Worker,
        clock: Clock,
        threads: int,
    ) -> None:
        self._database = database
        self._deployments = deployments
        self._preparing = preparing
        self._reading = reading
        self._clock = clock
        self._threads = threads
        self._made: dict[str, Future[None]] = {}
        self._loaded: dict[str, Future[None]] = {}
        self._failed: set[str] = set()

    def of(self, serving: Serving) -> Serving:
        """Those that can be read with now; what the others lack is begun."""
        for deployment, _ in serving.values():
            self._begin(self._made, self._preparing, reader.prepare, deployment)
        if all(made.done() for made in self._made.values()):
            self._preparing.stop()
        ready = {number: one for number, one in serving.items() if self._made[one[0].model].done()}
        for deployment, _ in ready.values():
            self._begin(self._loaded, self._reading, reader.warm, deployment)
            if deployment.ready_at is None and self._loaded[deployment.model].done():
                self._told(deployment)
        return ready

    def begin_anew(self) -> None:
        """The process that reads was ended."""
        self._loaded.clear()

    def _begin(
        self, begun: dict[str, Future[None]], worker: Worker, step: Callable[..., None], deployment: Deployment
    ) -> None:
        model = deployment.model
        if model not in begun or begun[model].cancelled():
            package, own = self._deployments.package(model), self._deployments.own_layers(model)
            begun[model] = worker.submit(step, package, self._threads, own)

    def _told(self, deployment: Deployment) -> None:
        model = deployment.model
        if (error := self._loaded[model].exception()) is not None:
            # Each study tries again, and says by itself what kept it from being read.
            if model not in self._failed:
                self._failed.add(model)
                _log.error("model %s could not be loaded: %s", model[:12], type(error).__name__)
            return
        with self._database.writing() as session:
            session.get_one(Deployment, deployment.id).ready_at = self._clock()
        _log.info("model %s is ready to read on %s", model[:12], deployment.pathway)
