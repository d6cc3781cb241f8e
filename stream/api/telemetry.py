"""What ``cx serve`` shows of itself on /metrics. Labels are routes and names of our own, never of a request."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ApiTelemetry:
    """Series of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "cx_api_requests",
            "Requests by route, method and status; 499: the client left.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "cx_api_request_seconds",
            "Time to the end of the answer; of event streams not counted.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._events = Counter(
            "cx_api_events",
            "Events that came over HTTP, by what became of them.",
            ("verdict",),
            registry=self.registry,
        )
        self._inflight = Gauge(
            "cx_api_inflight_events", "Events on their way to Kafka.", registry=self.registry
        )
        self._streams = Gauge("cx_api_streams", "Open event streams.", registry=self.registry)
        self._streamed = Counter(
            "cx_api_streamed_events",
            "Events sent on event streams, by what they are.",
            ("event",),
            registry=self.registry,
        )
        self._followed = Counter(
            "cx_api_followed_records",
            "Records read from topics that are followed.",
            ("topic",),
            registry=self.registry,
        )

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request is over."""
        self._requests.labels(route, method if method in _METHODS else "other", str(status)).inc()
        if route != "/v1/stream":
            self._seconds.labels(route).observe(seconds)

    def events(self, verdict: str, count: int) -> None:
        """What became of events: ``accepted``, ``failed``, or the reason of a refusal."""
        self._events.labels(verdict).inc(count)

    def inflight(self, count: int) -> None:
        """How many events wait for Kafka."""
        self._inflight.set(count)

    def streams(self, count: int) -> None:
        """How many event streams are open."""
        self._streams.set(count)

    def streamed(self, event: str) -> None:
        """Something went out on an event stream."""
        self._streamed.labels(event).inc()

    def followed(self, topic: str, count: int) -> None:
        """Records of a topic were read."""
        self._followed.labels(topic).inc(count)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
