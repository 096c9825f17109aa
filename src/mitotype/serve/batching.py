"""Batches across requests: while one batch is classified the figures of the next requests gather."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import islice
from typing import NamedTuple

from mitotype.deploy.classify import CHUNK, Page
from mitotype.deploy.predictions import Prediction

Predict = Callable[[Sequence[Page]], list[Prediction]]


class _Job(NamedTuple):
    pages: Sequence[Page]
    result: asyncio.Future[list[Prediction]]


class Batcher:
    """Classifies the figures of all requests by one thread; a batch has at least CHUNK figures where so many wait."""

    def __init__(self, predict: Predict, on_batch: Callable[[int], None] = lambda size: None) -> None:
        self._predict, self._on_batch = predict, on_batch
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def predict(self, pages: Sequence[Page]) -> list[Prediction]:
        """Return the predictions of one request. What `predict` raises for its batch is raised."""
        job = _Job(pages, asyncio.get_running_loop().create_future())
        self._jobs.put_nowait(job)
        return await job.result

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Classify while the block runs."""
        with ThreadPoolExecutor(1, "classify") as pool:
            self._task = asyncio.create_task(self._run(pool))
            try:
                yield
            finally:
                self._task.cancel()

    async def _run(self, pool: ThreadPoolExecutor) -> None:
        while True:
            jobs = [await self._jobs.get()]
            while sum(len(job.pages) for job in jobs) < CHUNK and not self._jobs.empty():
                jobs.append(self._jobs.get_nowait())
            await self._classify(jobs, pool)

    async def _classify(self, jobs: Sequence[_Job], pool: ThreadPoolExecutor) -> None:
        pages = [page for job in jobs for page in job.pages]
        self._on_batch(len(pages))
        try:
            predictions = iter(await asyncio.get_running_loop().run_in_executor(pool, self._predict, pages))
        except Exception as error:
            for job in jobs:
                if not job.result.done():
                    job.result.set_exception(error)
            return
        for job in jobs:
            own = list(islice(predictions, len(job.pages)))
            if not job.result.done():  # the request was cancelled
                job.result.set_result(own)
