"""How large the logs are on the brokers' disks: Kafka's DescribeLogDirs (key 35), which the clients lack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Int64, Schema, String

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiokafka.admin import AIOKafkaAdminClient

_KEY: Final = 35


class _Response(Response):  # type: ignore[misc]
    API_KEY = _KEY
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            Array(
                ("error_code", Int16),
                ("log_dir", String("utf-8")),
                (
                    "topics",
                    Array(
                        ("name", String("utf-8")),
                        (
                            "partitions",
                            Array(
                                ("partition_index", Int32),
                                ("partition_size", Int64),
                                ("offset_lag", Int64),
                                ("is_future_key", Boolean),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    )


class _Struct(RequestStruct):  # type: ignore[misc]
    API_KEY = _KEY
    API_VERSION = 1
    RESPONSE_TYPE = _Response
    SCHEMA = Schema(
        ("topics", Array(("topic", String("utf-8")), ("partitions", Array(Int32)))),
    )


class _Request(Request[_Struct]):  # type: ignore[misc]
    API_KEY = _KEY

    def build(self, request_struct_class: type[_Struct]) -> _Struct:
        """All topics."""
        return request_struct_class(None)


async def sizes(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[tuple[str, int], list[int]]:
    """Bytes of each partition of some topics, of every replica.

    Raises:
        KafkaError: a broker refuses.
    """
    found: dict[tuple[str, int], list[int]] = {}
    cluster: Any = await admin.describe_cluster()
    for broker in cluster["brokers"]:
        answer: Any = await admin._send_request_to_node(broker["node_id"], _Request())  # noqa: SLF001 - no public way
        for code, _dir, topics in answer.results:
            if code:
                raise for_code(code)
            for name, partitions in topics:
                for number, size, _lag, _future in partitions if name in names else ():
                    found.setdefault((name, number), []).append(size)
    return found
