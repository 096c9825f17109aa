"""The application: classify, health, readiness and metrics as routes of FastAPI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from itertools import islice

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import Response
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect

from mitotype.core.cpu_limit import n_threads
from mitotype.core.errors import UserError
from mitotype.deploy import classify as classification
from mitotype.deploy.classify import Page
from mitotype.deploy.predictions import Prediction
from mitotype.deploy.predictor import Predictor
from mitotype.deploy.sources import Source
from mitotype.serve import openapi
from mitotype.serve.access import Access, CheckedAccess
from mitotype.serve.batching import Batcher
from mitotype.serve.limits import LIMITS, Limits
from mitotype.serve.messages import ClassifyResponse, ErrorResponse, Status, to_response
from mitotype.serve.metrics import CountedRequests, Metrics
from mitotype.serve.uploads import read_sources, too_many

RETRY_AFTER_S = 1


class Service:
    """Classifies requests: accepts at most `max_waiting`, decodes their images by threads, and batches their figures."""

    def __init__(self, predictor: Predictor, limits: Limits, *, explain: bool) -> None:
        self.predictor, self.limits, self.explain = predictor, limits, explain
        self.metrics = Metrics()
        self.batcher = Batcher(self._predict, self.metrics.batch_size.observe)
        self._decoders = ThreadPoolExecutor(n_threads(), "decode")
        self._n_waiting = 0

    @property
    def is_ready(self) -> bool:
        return self.batcher.is_running and self._n_waiting < self.limits.max_waiting

    async def classify(self, request: Request) -> Response:
        """Return the response to a request; an HTTPException or a UserError becomes one, see `read_sources`."""
        with self._accepted(), self.metrics.seconds.time():
            sources = await read_sources(request, self.limits)
            pages = await asyncio.get_running_loop().run_in_executor(self._decoders, self._read, sources)
            del sources  # the bodies of requests that wait are not held
            if len(pages) > self.limits.max_images:
                raise too_many(self.limits)
            predictions = await self.batcher.predict(pages)
        self.metrics.count(predictions)
        if all(prediction.error for prediction in predictions):
            return to_response(ErrorResponse("No image could be classified.", predictions), 422)
        record, threshold = self.predictor.record, self.predictor.decision.threshold.value
        return to_response(
            ClassifyResponse(bundle=record.name, digest=record.digest, threshold=threshold, predictions=predictions)
        )

    @contextmanager
    def _accepted(self) -> Iterator[None]:
        if self._n_waiting >= self.limits.max_waiting:
            raise HTTPException(429, "Too many requests wait.", {"Retry-After": str(RETRY_AFTER_S)})
        self._n_waiting += 1
        with self.metrics.waiting.track_inprogress():
            try:
                yield
            finally:
                self._n_waiting -= 1

    def _read(self, sources: Sequence[Source]) -> list[Page]:
        pages = classification.read_pages(sources, self.predictor.needs_px, self.limits.of_image)
        return list(islice(pages, self.limits.max_images + 1))

    def _predict(self, pages: Sequence[Page]) -> list[Prediction]:
        return list(classification.predict_pages(self.predictor, pages, self.explain))


def create_app(predictor: Predictor, access: Access, limits: Limits = LIMITS, *, explain: bool = False) -> FastAPI:
    """Return the ASGI application that classifies with an opened predictor; with `explain`, phrases of shape descriptors."""
    service = Service(predictor, limits, explain=explain)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.batcher.running():
            yield

    app = openapi.documented(lifespan, limits)
    app.add_middleware(CheckedAccess, access=access)
    app.add_middleware(CountedRequests, metrics=service.metrics)

    @app.post("/classify", response_class=Response, **openapi.CLASSIFY)
    async def classify(request: Request) -> Response:
        """Classify images of mitotic figures as atypical or normal."""
        return await service.classify(request)

    @app.get("/health", response_class=Response, responses=openapi.STATUS)
    async def health() -> Response:
        """Return 200 while the process answers."""
        return to_response(Status("ok"))

    @app.get("/ready", response_class=Response, responses=openapi.READY)
    async def ready() -> Response:
        """Return 200 while requests are accepted, 503 while as many wait as may."""
        return to_response(Status("ready")) if service.is_ready else to_response(Status("busy"), 503)

    @app.get("/metrics", response_class=Response, responses=openapi.METRICS)
    async def metrics() -> Response:
        """Return the metrics of this process in the format of Prometheus."""
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.exception_handler(AnyHTTPException)
    async def http_error(request: Request, error: AnyHTTPException) -> Response:
        return to_response(ErrorResponse(str(error.detail)), error.status_code, error.headers)

    @app.exception_handler(UserError)
    async def user_error(request: Request, error: UserError) -> Response:
        return to_response(ErrorResponse(error.what), 422)

    @app.exception_handler(ClientDisconnect)
    async def disconnected(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=400)  # for the metrics: there is no one to read it

    @app.exception_handler(Exception)
    async def internal_error(request: Request, error: Exception) -> Response:
        return to_response(ErrorResponse("Internal error; its traceback is in the log of the service."), 500)

    return app
