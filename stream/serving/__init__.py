"""What a running worker shows: Prometheus metrics, health, and the read model in Redis."""

from stream.serving.health import Health
from stream.serving.metrics import Telemetry, Verdict
from stream.serving.readmodel import ReadModel, read_model
from stream.serving.server import ListenError, OpsServer

__all__ = ["Health", "ListenError", "OpsServer", "ReadModel", "Telemetry", "Verdict", "read_model"]
