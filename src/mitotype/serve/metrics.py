"""Metrics of the service in the format of Prometheus; a registry for each application."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mitotype.deploy.predictions import Prediction

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of requests and predictions, the requests that wait, sizes of batches and seconds to the answer."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("mitotype_requests", "Requests by HTTP status", ["status"], registry=registry)
        self.predictions = Counter(
            "mitotype_predictions", "Predictions by decision; error: not an image", ["decision"], registry=registry
        )
        self.waiting = Gauge("mitotype_waiting_requests", "Requests accepted and unanswered", registry=registry)
        self.batch_size = Histogram(
            "mitotype_batch_figures", "Figures classified at once", buckets=BATCH_SIZES, registry=registry
        )
        self.seconds = Histogram("mitotype_classify_seconds", "From acceptance to answer", registry=registry)

    def count(self, predictions: Sequence[Prediction]) -> None:
        """Count predictions by decision."""
        for prediction in predictions:
            self.predictions.labels(prediction.decision or "error").inc()


class CountedRequests:
    """ASGI middleware that counts responses by status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.requests.labels(message["status"]).inc()
            await send(message)

        try:
            await self.app(scope, receive, counted)
        except Exception:  # answered by what is around this
            self.metrics.requests.labels(500).inc()
            raise
