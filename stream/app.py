"""The only place where things are wired together: settings in, a running worker out."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError
from mode import Service

from agents.alerts import AlertsAgent
from agents.context import Context
from agents.customers import CustomersAgent
from agents.delivery import LEVELS as DELIVERY_LEVELS
from agents.delivery import DeliveryAgent
from agents.metrics import MetricsAgent
from agents.models import ModelsAgent
from stream import topics
from stream.brokers import admin
from stream.brokers.security import aiokafka_security, faust_security
from stream.customers import stamp_of as customer_stamp
from stream.delivery.loading import load_delivery
from stream.deployment import load_book, pipeline_config
from stream.engine import BatchApp, Format, NewerFormat, StoreRefused, Stores
from stream.feeds import Feeds
from stream.privacy.feed import REWRITING, ErasureFeed
from stream.privacy.finding import subject_of
from stream.serving import Health, OpsServer, Telemetry, read_model
from stream.serving.models import ModelGauges
from stream.tracing import OFF, Tracing, start
from stream.vitals import PROBE_EVERY_S, Vitals

if TYPE_CHECKING:
    from faust.types import StreamT

    from stream.engine import Batch
    from stream.settings import Settings
    from stream.vitals import Look, Seen

logger = logging.getLogger(__name__)

#: How long the broker waits for a heartbeat before it gives a dead worker's partitions away, seconds.
SESSION_TIMEOUT_S = 10.0
HEARTBEAT_S = 3.0
RETRY_S = (1.0, 2.0, 5.0, 10.0)


class Worker:
    """One worker process: the Faust app with its agents, and what it shows of itself.

    Args:
        settings: of the deployment.
        own_process: nothing else runs in this process.
        tracing: what is told of rounds and deliveries; whoever gave it stops it.

    Raises:
        RuleError, ValueError: rules or settings are wrong, or tables cannot be kept where they are to be.
    """

    def __init__(self, settings: Settings, *, own_process: bool = False, tracing: Tracing = OFF) -> None:
        self.settings = settings
        self.telemetry = Telemetry(max_slices=settings.export_slices)
        self.health = Health()
        book = load_book(settings)
        config = pipeline_config(settings, book)
        self.readmodel = read_model(settings, self.telemetry)
        self.erasures = ErasureFeed(settings, self.telemetry)
        self.app = app = BatchApp(
            settings.app_id,
            stores=self._stores(),
            broker=[f"kafka://{address.strip()}" for address in settings.brokers.split(",")],
            hot_topics=[
                *topics.INPUTS,
                topics.PARTIALS,
                topics.CLAIMS,
                topics.EXAMPLES,
                topics.ALERTS,
                topics.REDRIVES,
            ],
            merged_topics=topics.INPUTS,
            max_inflight_records=settings.max_inflight_records,
            max_batch_records=settings.max_batch_records,
            stall_after_s=settings.stall_after_ms / 1000,
            own_process=own_process,
            formats={name: Format() for name in topics.BETWEEN},
            broker_commit_interval=settings.commit_interval_ms / 1000,
            broker_session_timeout=SESSION_TIMEOUT_S,
            broker_heartbeat_interval=HEARTBEAT_S,
            producer_compression_type=None if settings.compression == "none" else settings.compression,
            consumer_auto_offset_reset="earliest",
            autodiscover=False,
            **faust_security(settings),
        )
        self.feeds = Feeds(settings, book, self.telemetry, config.customers)
        self.feeds.on_models.append(ModelGauges(self.telemetry.registry).take)
        self.erasures.on_rewriting.append(self._rewriting)
        self.erasures.on_erased.append(self._forget)
        context = Context(
            app, settings, config, book, self.telemetry, self.readmodel, self.feeds, self.erasures, tracing
        )
        self.customers = CustomersAgent(
            context,
            app.batch_table(topics.CUSTOMERS_TABLE, source=topics.REPLIES, stamp_of=customer_stamp),
            app.batch_table(topics.PANES_TABLE, source=topics.REPLIES),
        )
        self.metrics = MetricsAgent(context, app.batch_table(topics.WINDOWS_TABLE, source=topics.PARTIALS))
        self.alerts = AlertsAgent(context, app.batch_table(topics.LANE_TABLE, source=topics.CLAIMS))
        self.models = ModelsAgent(context, app.batch_table(topics.MODELS_TABLE, source=topics.EXAMPLES))
        self.delivery = DeliveryAgent(
            context,
            app.batch_table(topics.DELIVERIES_TABLE, source=topics.ALERTS),
            None if settings.delivery is None else load_delivery(settings.delivery),
        )
        self._declare_agents()
        self._declare_housekeeping()
        self.server = OpsServer(settings.http_host, settings.http_port, self.telemetry, self.health)
        self._stop = asyncio.Event()
        self.vitals = Vitals(app, settings, self.telemetry, self.health, self._seen(), self.readmodel)

    def _stores(self) -> Stores | None:
        settings = self.settings
        if settings.store == "memory" or settings.data_dir is None:
            return None
        try:
            return Stores(
                settings.data_dir / settings.app_id,
                memory_mb=settings.store_memory_mb,
                valid_from=lambda: self.erasures.erasures.newest_s,
            )
        except StoreRefused as why:
            raise ValueError(f"CX_STORE=rocksdb, CX_DATA_DIR={settings.data_dir}: {why}") from None

    def _seen(self) -> dict[str, Look]:
        """What the agents know of themselves that /metrics shows as it is at each scrape."""

        def delay_s(at_ms: int) -> float:
            return time() - at_ms / 1000

        def lane() -> Seen:
            waiting = self.alerts.waiting()
            return {} if waiting is None else {(): waiting}

        def delivery(name: str) -> Look:
            return lambda: self.delivery.levels()[name]

        return {
            "cx_watermark_delay_seconds": lambda: {
                (topic, str(p)): delay_s(at_ms) for (topic, p), at_ms in self.customers.watermarks().items()
            },
            "cx_final_delay_seconds": lambda: {
                (str(p),): delay_s(at_ms) for p, at_ms in self.metrics.finals().items()
            },
            "cx_lane_waiting_claims": lane,
            **{f"cx_delivery_{name}": delivery(name) for name in DELIVERY_LEVELS},
            "cx_alerts_active": lambda: {(alert,): n for alert, n in self.alerts.active().items()},
        }

    def _declare_agents(self) -> None:
        app = self.app
        agents = (self.customers, self.metrics, self.alerts, self.models, self.delivery)
        app.recovered_hooks.append(self.erasures.catch_up)
        app.recovered_hooks += [agent.recovered for agent in agents]

        @app.agent(app.hot_topic(topics.TOUCHPOINTS), name="touchpoints")
        async def touchpoints(stream: StreamT[Batch]) -> None:
            await self.customers.consume(stream)

        @app.agent(app.hot_topic(topics.REPLIES), name="replies")
        async def replies(stream: StreamT[Batch]) -> None:
            await self.customers.consume(stream)

        @app.agent(app.hot_topic(topics.PARTIALS), name="metrics")
        async def metrics(stream: StreamT[Batch]) -> None:
            await self.metrics.consume(stream)

        @app.agent(app.hot_topic(topics.CLAIMS), name="alerts")
        async def alerts(stream: StreamT[Batch]) -> None:
            await self.alerts.consume(stream)

        @app.agent(app.hot_topic(topics.EXAMPLES), name="models")
        async def models(stream: StreamT[Batch]) -> None:
            await self.models.consume(stream)

        for topic, name in ((topics.ALERTS, "delivery"), (topics.REDRIVES, "redrives")):

            @app.agent(app.hot_topic(topic), name=name)
            async def deliver(stream: StreamT[Batch]) -> None:
                await self.delivery.consume(stream)

    def _declare_housekeeping(self) -> None:
        app, settings, erasures = self.app, self.settings, self.erasures

        @app.service
        class Housekeeping(Service):
            """What happens now and then rather than on a record."""

            mundane_level = "debug"  # starting and stopping is no news

            @Service.task
            async def _provisional(service) -> None:  # noqa: N805 - the worker is `self` here
                while not service.should_stop:
                    await service.sleep(settings.provisional_every_ms / 1000)
                    await self.metrics.provisional()

            @Service.task
            async def _probe(service) -> None:  # noqa: N805
                while not service.should_stop:
                    await service.sleep(PROBE_EVERY_S)
                    await self.vitals.probe()

            @Service.task
            async def _profiles(service) -> None:  # noqa: N805
                await self.customers.profiles.run()

            @Service.task
            async def _follow(service) -> None:  # noqa: N805
                await self.feeds.follow()

            @Service.task
            async def _erasures(service) -> None:  # noqa: N805
                await erasures.follow()

            @Service.task
            async def _idle(service) -> None:  # noqa: N805
                while not service.should_stop:
                    await service.sleep(min(1.0, settings.idle_after_ms / 4000))
                    await self.customers.idle()

    def _forget(self) -> None:
        """Someone more is erased: what is told of them on their alerts is not written to Redis any more."""

        def about(payload: bytes) -> bool:
            customer = subject_of(payload)
            return customer is not None and self.erasures.erasures.of(customer) is not None

        if self.readmodel is not None:
            self.readmodel.forget(about)

    def _rewriting(self) -> None:
        logger.error("%s; the worker stops, and goes on once it is over", REWRITING)
        self.stop()

    def stop(self) -> None:
        """Tell the worker to end in good order, as SIGTERM does."""
        self._stop.set()

    async def run(self) -> int:
        """Run until told to stop; returns the exit code: 0 in good order, 1 after a crash, 2 for newer state.

        Raises:
            LayoutWrong: the topics on the broker are not as they must be.
            ListenError: the ops address is taken.
        """
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self.stop)
        await self.server.start()
        logger.info("serving /metrics and /health on http://%s:%d", self.settings.http_host, self.server.port)
        try:
            if not await self._broker_ready():
                return 0
            if self.readmodel is not None:
                await self.readmodel.start()
            return await self._run_app()
        finally:
            await self.delivery.stop()
            await self.feeds.stop()
            await self.erasures.stop()
            if self.readmodel is not None:
                await self.readmodel.stop()
            await self.server.stop()
            if self.app.stores is not None:
                self.app.stores.close()

    async def _run_app(self) -> int:
        app = self.app
        starting = asyncio.create_task(app.maybe_start())  # lasts until the first recovery is over
        waits = [
            asyncio.create_task(self._stop.wait()),
            asyncio.create_task(app._crashed.wait()),  # noqa: SLF001 - mode has no public way
        ]
        try:
            await asyncio.wait([starting, *waits], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            failed = app.crashed
            if failed:
                why = app.crash_reason
                logger.error("the worker stops: %s; its supervisor should start it again", why)
            for wait in (starting, *waits):
                wait.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(30):
                    await app.stop()
        # State of a newer version: starting this one again does not help.
        return 2 if isinstance(app.crash_reason, NewerFormat) else int(failed)

    async def _broker_ready(self) -> bool:
        """Wait for the broker, check the topics and read the feeds; False when told to stop meanwhile."""
        layout = topics.layout(self.settings.app_id, self.settings.partitions, self.settings.retention)
        attempt = 0
        while not self._stop.is_set():
            try:
                await admin.check(self.settings.brokers, layout, security=aiokafka_security(self.settings))
                await self.feeds.start()
                await self.erasures.start()
            except (admin.BrokerAway, KafkaError, OSError) as exc:
                wait = RETRY_S[min(attempt, len(RETRY_S) - 1)]
                why = exc.why if isinstance(exc, admin.BrokerAway) else f"{type(exc).__name__}: {exc}"
                self.vitals.broker_trouble = f"not reachable ({why})"
                attempt += 1
                logger.warning(
                    "CX_BROKERS %s: not reachable (%s); trying again in %.0f s",
                    self.settings.brokers,
                    why,
                    wait,
                )
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), wait)
            else:
                if not self.erasures.erasures.rewriting:
                    self.vitals.broker_trouble = None
                    return True
                self.vitals.broker_trouble = REWRITING
                logger.warning("%s; waiting", REWRITING)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), RETRY_S[-1])
        return False


def run_worker(settings: Settings) -> int:
    """Run a worker until SIGTERM or SIGINT; returns the exit code (0 in good order, 1 after a crash).

    Raises:
        RuleError, LayoutWrong, ListenError, ValueError: as ``Worker``; nothing was started.
    """
    tracing = start("cx-worker")

    async def main() -> int:
        return await Worker(settings, own_process=True, tracing=tracing).run()

    try:
        return asyncio.run(main())
    finally:
        tracing.stop()
