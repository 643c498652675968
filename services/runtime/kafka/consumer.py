"""Consumes topics with Faust, at least once, for every service.

A batch is acknowledged here, after all of it is processed, and nowhere else: however the agent's
body ends, what was not processed is delivered again.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import structlog
from aiokafka.errors import KafkaConnectionError
from faust.types import EventT, StreamT
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_fixed

from services.contracts.errors import BrokerUnavailable
from services.contracts.flow import group_of
from services.contracts.topics import Topic
from services.runtime.clock import Clock
from services.runtime.exits import Exit, ExitCode, exit_now
from services.runtime.kafka.assignment import Assignment
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.lag import LagReader, Partition, Position
from services.runtime.kafka.member_metadata import partition_count, request_metadata
from services.runtime.kafka.records import Decoder
from services.runtime.kafka.runner import Runner
from services.runtime.kafka.stream import (
    BatchLimits,
    StreamApp,
    batches,
    ends_transaction,
    record_of,
)
from services.runtime.kafka.watchdog import Watchdog
from services.runtime.observability import metrics
from services.runtime.observability.traces import OFF, ServiceTraces
from services.runtime.progress import Progress
from services.runtime.settings import Settings
from services.runtime.step import Outbox, Step

log = structlog.get_logger(__name__)

_BUFFERED_BATCHES = 4
_COMMIT_INTERVAL_S = 1.0
_POLL_INTERVAL_S = 7 * 86_400.0
"""A batch that takes longer, with a full buffer, makes Kafka's client leave the group for good:
Faust waits for partitions before it polls, and the client for a poll before it joins. `Watchdog`
ends a process that gets nothing done."""
_HEARTBEATS_PER_SESSION = 4
_WATCH_INTERVAL_S = 5.0
_BROKER_POLL_S = 1.0
_METADATA_AGES = 2
"""Wait this many times `metadata_max_age_s` for all producers to refresh: one, and a margin."""


class AssignmentListener(Protocol):
    """A step that keeps state per partition and so must know which ones it owns."""

    async def assigned(self, assignment: Assignment) -> None:
        """Take the whole new assignment; called after every change, before the next batch.

        It may raise what `Step.run` may; Transient is retried.
        """
        ...


class ConsumingService:
    """Runs a step on batches of events from its topics, in the running event loop.

    Several may run in one process and loop.

    Parameters
    ----------
    name : of the service; its consumer group is `gazeloop.<name>`
    topics : all topics that the service subscribes to
    decoder : decodes the records; by default, those of Gazeloop's own topics
    listener : is informed of the owned partitions before their first batch
    progress : shared with the service's background work, where it has any
    """

    def __init__(
        self,
        name: str,
        topics: Sequence[Topic],
        step: Step,
        *,
        outbox: Outbox,
        broker: BrokerAddress,
        settings: Settings,
        clock: Clock,
        decoder: Decoder | None = None,
        listener: AssignmentListener | None = None,
        traces: ServiceTraces = OFF,
        progress: Progress | None = None,
        exit_process: Exit = exit_now,
    ) -> None:
        self.name = name
        self.topics = tuple(topic.name for topic in topics)
        self._settings = settings
        self._broker = broker
        self._clock = clock
        self._listener = listener
        self._exit = exit_process
        self._runner = Runner(
            name,
            step,
            outbox,
            settings,
            clock,
            decoder=decoder,
            traces=traces,
            progress=progress,
            exit_process=exit_process,
        )
        self._lag = LagReader(broker, settings)
        self._busy = asyncio.Lock()
        self._draining = False
        self._stalled_s = 0.0
        self._shown: frozenset[Partition] = frozenset()
        self._assignment = Assignment(frozenset(), {})
        self._watching: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._reminding: asyncio.Task[None] | None = None
        self._app: StreamApp | None = None

    @property
    def group(self) -> str:
        """The consumer group."""
        return group_of(self.name)

    def unhealthy(self) -> str | None:
        """Why the service cannot work; None if it can."""
        if self._draining:
            return "stopping"
        if self._app is None or not self._app.started:
            return "not started"
        if (stalled := self.stalled()) is not None:
            return stalled
        if not self._app.consumer.assignment() and self._app.rebalancing:
            return "waiting for partitions"
        return f"waiting: {self._runner.waiting}" if self._runner.waiting else None

    def stalled(self) -> str | None:
        """Why a restart is due, from half of `stall_limit_s` on; None if it is not.

        At the full `stall_limit_s` the process exits by itself. Waiting for the broker or a store
        does not count as a stall, because a restart would bring neither back.
        """
        if self._stalled_s > self._settings.stall_limit_s / 2:
            return f"no progress for {self._stalled_s:.0f} s"
        return None

    async def start(self) -> None:
        """Wait for the broker and its topics, then begin to consume."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(BrokerUnavailable),
            wait=wait_fixed(_BROKER_POLL_S),
            before_sleep=self._note_wait,
            reraise=True,
        ):
            with attempt:
                # A Faust app gives up for good if its broker is down when it starts.
                await self._positions()
                await self._start_app()
        self._watching = asyncio.create_task(self._watch(), name=f"watch-{self.name}")
        log.info("service_started", service=self.name, topics=self.topics)

    async def stop(self) -> None:
        """Finish and commit the current batch, then leave the group.

        If the batch takes longer than the drain deadline, the process exits instead.
        """
        self._draining = True
        await _ended(self._watching)
        app, self._app = self._app, None
        if app is not None and app.started:
            await self._drain(app)
            await app.stop()
        # After the drain, neither of them informs the listener: cancelled while it does, it would
        # end the process.
        await _ended(self._reminding)
        await _ended(self._settling)
        await asyncio.to_thread(self._lag.close)
        log.info("service_stopped", service=self.name)

    async def _drain(self, app: StreamApp) -> None:
        self._runner.end()
        try:
            async with asyncio.timeout(self._settings.drain_deadline_s):
                # The agent holds this lock while it runs a batch; `_draining` refuses the next.
                await self._busy.acquire()
                await app.consumer.commit()
        except TimeoutError:
            log.warning("drain_deadline_passed", service=self.name)
            self._exit(ExitCode.UNDRAINED)
        app.ending = True

    def _build(self) -> StreamApp:
        session_s = self._settings.session_timeout_s
        app = StreamApp(
            self.group,
            broker=self._broker.faust_url,
            broker_credentials=self._broker.faust_credentials,
            exit_process=self._exit,
            set_as_current=False,
            loop=asyncio.get_running_loop(),
            logging_config=None,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            # 0 would turn off Faust's own assignor, which Faust needs even without Tables.
            table_standby_replicas=1,
            broker_commit_interval=_COMMIT_INTERVAL_S,
            broker_session_timeout=session_s,
            broker_max_poll_interval=_POLL_INTERVAL_S,
            broker_heartbeat_interval=session_s / _HEARTBEATS_PER_SESSION,
            consumer_auto_offset_reset="earliest",
            consumer_metadata_max_age_ms=int(self._settings.metadata_max_age_s * 1000),
            # True would block a rebalance for as long as a batch takes, and a stop indefinitely.
            stream_wait_empty=False,
            stream_buffer_maxsize=_BUFFERED_BATCHES * self._settings.batch_size,
            max_buffer_bytes=_BUFFERED_BATCHES * self._settings.batch_bytes,
        )
        source = app.topic(*self.topics, key_serializer="raw", value_serializer="raw")
        app.agent(source, name=self.name, concurrency=1)(self._consume)
        app.on_partitions_assigned.connect(self._on_assigned)
        return app

    async def _consume(self, stream: StreamT[bytes]) -> None:
        settings = self._settings
        limits = BatchLimits(settings.batch_size, settings.batch_bytes, settings.batch_wait_s)
        async for events in batches(stream, limits):
            if not await self._one_batch(events):
                return

    async def _one_batch(self, events: Sequence[EventT[bytes]]) -> bool:
        """Process and acknowledge a batch; False if the service stops first, so that none is."""
        async with self._busy:
            if self._draining or not await self._settle():
                return False
            records = [record_of(event) for event in events if not ends_transaction(event)]
            if records and not await self._runner.process(records):
                return False
            for event in events:
                event.ack()
        return True

    async def _on_assigned(self, *_: Any, **__: Any) -> None:
        # A separate task, so that the rebalance does not wait for the current batch.
        self._settling = asyncio.create_task(self._settle_between_batches())

    async def _settle_between_batches(self) -> None:
        async with self._busy:
            if not self._draining:
                await self._settle()

    async def _settle(self) -> bool:
        """Inform the listener if the owned partitions or the topics' partition counts changed.

        False if the service stops before the listener has the assignment.
        """
        if self._app is None:
            return False
        consumer = self._app.consumer
        owned = frozenset(
            Partition(item.topic, item.partition)
            for item in consumer.assignment()
            if item.topic in self.topics
        )
        totals = {topic: partition_count(topic, consumer) for topic in self.topics}
        assignment = Assignment(owned, totals)
        before = self._assignment
        if assignment == before:
            return True
        log.info("partitions_assigned", service=self.name, **assignment.described())
        metrics.ASSIGNED_PARTITIONS.labels(self.name).set(len(owned))
        if not await self._inform_listener(assignment):
            return False
        self._assignment = assignment
        if before.totals and before.totals != totals:
            self._remind_later()
        return True

    async def _inform_listener(self, assignment: Assignment) -> bool:
        """Call the listener with the runner's retries; False if the service stops first."""
        listener = self._listener
        return listener is None or await self._runner.prepare(lambda: listener.assigned(assignment))

    def _remind_later(self) -> None:
        """Inform the listener again once every producer knows the new number of partitions.

        Until then, a producer in another process may partition by the old number, so that its
        events reach a replica that does not own them and never the one that does.
        """
        if self._reminding is not None:
            self._reminding.cancel()
        self._reminding = asyncio.create_task(self._remind(), name=f"remind-{self.name}")

    async def _remind(self) -> None:
        await asyncio.sleep(_METADATA_AGES * self._settings.metadata_max_age_s)
        async with self._busy:
            if not self._draining:
                await self._inform_listener(self._assignment)

    async def _start_app(self) -> None:
        self._app = app = self._build()
        app.finalize()
        try:
            await app.start()
        except KafkaConnectionError as exc:
            # The broker has gone since it answered; another attempt needs another app.
            self._app = None
            await app.stop()
            raise BrokerUnavailable(f"{self._broker}: {exc}") from exc

    def _note_wait(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("broker_awaited", service=self.name, error=str(error))

    async def _positions(self) -> dict[Partition, Position]:
        subscriptions = {self.group: self.topics}
        positions = await asyncio.to_thread(self._lag.positions, subscriptions)
        return positions[self.group]

    async def _watch(self) -> None:
        try:
            await self._watch_lag()
        except Exception:
            # Unwatched, the service could stall for good.
            log.exception("watch_failed", service=self.name)
            self._exit(ExitCode.FAILED)

    async def _watch_lag(self) -> None:
        watchdog = Watchdog()
        pause = min(_WATCH_INTERVAL_S, self._settings.stall_limit_s / 4)
        while True:
            await asyncio.sleep(pause)
            try:
                positions = await self._positions()
            except BrokerUnavailable as exc:
                # Waiting counts as progress, because a restart would not bring the broker back.
                log.warning("lag_unknown", service=self.name, error=str(exc))
                self._runner.progress.report()
                self._stalled_s = 0.0
                continue
            self._judge(watchdog, positions)
            self._renew_metadata()

    def _renew_metadata(self) -> None:
        """Ask for the topics at once where the broker has named no partitions of one.

        `positions` has just shown that they exist. A broker that starts may answer with no topics
        for a moment; a group that forms then gets no partitions until the metadata expires
        (seen in 1 of 32 starts around a broker's restart: 29 s without a partition).
        """
        if self._app is not None and self._assignment.lacks_topics():
            log.warning("topics_unknown", service=self.name, totals=dict(self._assignment.totals))
            request_metadata(self._app.consumer)

    def _judge(self, watchdog: Watchdog, positions: Mapping[Partition, Position]) -> None:
        lags: Counter[str] = Counter(dict.fromkeys(self.topics, 0))
        for partition, position in positions.items():
            lags[partition.topic] += position.lag
        for topic, lag in lags.items():
            metrics.CONSUMER_LAG.labels(self.name, topic).set(lag)
        owned = {item: at for item, at in positions.items() if item in self._assignment.partitions}
        accountable = self._assignment.accountable(positions)
        self._show_partitions(owned)
        steps = self._runner.progress.steps
        self._stalled_s = watchdog.observe(self._clock.monotonic(), accountable, steps)
        metrics.SECONDS_SINCE_PROGRESS.labels(self.name).set(self._stalled_s)
        if self._stalled_s > self._settings.stall_limit_s:
            log.error("service_stalled", service=self.name, seconds=round(self._stalled_s))
            self._exit(ExitCode.STALLED)

    def _show_partitions(self, owned: Mapping[Partition, Position]) -> None:
        for item in self._shown - owned.keys():
            metrics.PARTITION_LAG.remove(self.name, item.topic, str(item.number))
        for item, at in owned.items():
            metrics.PARTITION_LAG.labels(self.name, item.topic, str(item.number)).set(at.lag)
        self._shown = frozenset(owned)


async def _ended(task: asyncio.Task[None] | None) -> None:
    """Cancel a task, if there is one, and wait for its end, which raises nothing."""
    if task is not None:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task_failed", task=task.get_name(), exc_info=error)
