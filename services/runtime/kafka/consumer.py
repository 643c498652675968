"""The one shape in which a service consumes: Faust's, reduced to what loses nothing.

Faust acknowledges a batch whenever the agent's body unwinds, so the body never raises and never
returns; a crash of Faust's own ends the process at once; and while we stop, nothing that was not
processed can be acknowledged any more.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import faust
import structlog
from faust.streams import Stream
from faust.types import EventT, StreamT
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_fixed

from services.contracts.errors import BrokerUnavailable
from services.contracts.flow import group_of
from services.contracts.topics import Topic
from services.runtime.clock import Clock
from services.runtime.exits import Exit, ExitCode, exit_now
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.lag import LagReader, Partition, Position
from services.runtime.kafka.partitions import partition_of_key
from services.runtime.kafka.records import Record
from services.runtime.kafka.runner import Runner
from services.runtime.kafka.watchdog import Watchdog
from services.runtime.observability import metrics
from services.runtime.observability.traces import OFF, ServiceTraces
from services.runtime.progress import Progress
from services.runtime.settings import Settings
from services.runtime.step import Outbox, Step

log = structlog.get_logger(__name__)

_COMMIT_INTERVAL_S = 1.0
_HEARTBEATS_PER_SESSION = 4
_WATCH_INTERVAL_S = 5.0
_BROKER_POLL_S = 1.0
_METADATA_AGES = 2
"""How old a client's metadata may be, in its greatest age: one, and an answer that takes long."""


@dataclass(frozen=True)
class Assignment:
    """The partitions that this replica of a service owns, out of how many per topic."""

    partitions: frozenset[Partition]
    totals: Mapping[str, int]

    def owns(self, topic: Topic, partitioned_by: str) -> bool:
        """Whether what is partitioned by this key comes to us."""
        total = self.totals.get(topic.name, 0)
        if not total:
            return False
        return Partition(topic.name, partition_of_key(partitioned_by, total)) in self.partitions


class AssignmentListener(Protocol):
    """What keeps state per partition and must know which ones it has."""

    async def assigned(self, assignment: Assignment) -> None:
        """Called with all that we own, before its first batch, after every change.

        It may raise what `Step.run` may; Transient is retried.
        """
        ...


class _App(faust.App):
    """A Faust app that neither crashes softly nor writes folders."""

    def __init__(self, *args: Any, exit_process: Exit, **kwargs: Any) -> None:
        self._exit_process = exit_process
        self._drained = False
        super().__init__(*args, **kwargs)

    def _crash(self, reason: BaseException) -> None:
        if not self._drained:
            # Faust would go on to acknowledge and commit what it had in hand.
            log.error("faust_crashed", app=self.conf.id, exc_info=reason)
            self._exit_process(ExitCode.FAILED)
        super()._crash(reason)

    def acknowledge_no_more(self) -> None:
        """From now on, what is unwound is not committed: we are about to stop."""
        self._drained = True
        self.consumer.ack = _acknowledge_nothing  # type: ignore[method-assign,assignment]

    def _create_directories(self) -> None:
        """Only Tables need a folder, and we have none."""


class ConsumingService:
    """A step that is fed from its topics, in the running event loop.

    Several may run in one process and loop.

    Parameters
    ----------
    name : the service's; its consumer group is `gazeloop.<name>`
    topics : all that it subscribes to
    listener : told about the partitions that we own, before their first batch
    progress : what background work of the service reports to as well, where there is any
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
        self._app: _App | None = None

    @property
    def group(self) -> str:
        """The consumer group."""
        return group_of(self.name)

    def unhealthy(self) -> str | None:
        """Why the service is not fit for work; nothing where it is."""
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
        """Why a restart is due; nothing where it is not. At twice that time we end ourselves.

        While a service waits for the broker or a store none is due: it would bring neither back.
        """
        if self._stalled_s > self._settings.stall_limit_s / 2:
            return f"no progress for {self._stalled_s:.0f} s"
        return None

    async def start(self) -> None:
        """Wait for the broker and its topics, then begin to consume."""
        await self._wait_for_broker()
        self._app = self._build()
        self._app.finalize()
        await self._app.start()
        self._watching = asyncio.create_task(self._watch(), name=f"watch-{self.name}")
        log.info("service_started", service=self.name, topics=self.topics)

    async def stop(self) -> None:
        """Finish the batch in hand, commit it, leave the group.

        Where the batch takes longer than the drain deadline, the process exits instead.
        """
        self._draining = True
        for task in (self._watching, self._reminding):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        app, self._app = self._app, None
        if app is not None and app.started:
            await self._drain(app)
            await app.stop()
        await asyncio.to_thread(self._lag.close)
        log.info("service_stopped", service=self.name)

    async def _drain(self, app: _App) -> None:
        self._runner.end()
        try:
            async with asyncio.timeout(self._settings.drain_deadline_s):
                # The body holds this for a batch, and takes no other one from now on.
                await self._busy.acquire()
                await app.consumer.commit()
        except TimeoutError:
            log.warning("drain_deadline_passed", service=self.name)
            self._exit(ExitCode.UNDRAINED)
        app.acknowledge_no_more()

    def _build(self) -> _App:
        session_s = self._settings.session_timeout_s
        app = _App(
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
            # 0 turns Faust's own assignor off, which it needs even without Tables.
            table_standby_replicas=1,
            broker_commit_interval=_COMMIT_INTERVAL_S,
            broker_session_timeout=session_s,
            broker_heartbeat_interval=session_s / _HEARTBEATS_PER_SESSION,
            consumer_auto_offset_reset="earliest",
            consumer_metadata_max_age_ms=int(self._settings.metadata_max_age_s * 1000),
            # True would hold up the group for as long as our batch takes, and a stop for ever.
            stream_wait_empty=False,
            stream_buffer_maxsize=4 * self._settings.batch_size,
        )
        source = app.topic(*self.topics, key_serializer="raw", value_serializer="raw")
        app.agent(source, name=self.name, concurrency=1)(self._consume)
        app.on_partitions_assigned.connect(self._on_assigned)
        return app

    async def _consume(self, stream: StreamT[bytes]) -> None:
        assert isinstance(stream, Stream)
        size, within = self._settings.batch_size, self._settings.batch_wait_s
        async for events in stream.take_events(size, within):
            await self._one_batch([_record(event) for event in events])

    async def _one_batch(self, records: Sequence[Record]) -> None:
        async with self._busy:
            done = (
                not self._draining and await self._settle() and await self._runner.process(records)
            )
        if not done:
            await asyncio.Event().wait()  # for the cancellation; returning would acknowledge

    async def _on_assigned(self, *_: Any, **__: Any) -> None:
        # In a task of its own: the group must not wait for our batch in hand.
        self._settling = asyncio.create_task(self._settle_between_batches())

    async def _settle_between_batches(self) -> None:
        async with self._busy:
            if not self._draining:
                await self._settle()

    async def _settle(self) -> bool:
        """Tell the listener what we own, where that has changed or a topic has other partitions.

        False where `end` came before it knew.
        """
        if self._app is None:
            return False
        consumer = self._app.consumer
        owned = frozenset(
            Partition(item.topic, item.partition)
            for item in consumer.assignment()
            if item.topic in self.topics
        )
        totals = {topic: _partitions_of(topic, consumer) for topic in self.topics}
        assignment = Assignment(owned, totals)
        before = self._assignment
        if assignment == before:
            return True
        log.info("partitions_assigned", service=self.name, **_described(assignment))
        metrics.ASSIGNED_PARTITIONS.labels(self.name).set(len(owned))
        if not await self._inform_listener(assignment):
            return False
        self._assignment = assignment
        if before.totals and before.totals != totals:
            self._remind_later()
        return True

    async def _inform_listener(self, assignment: Assignment) -> bool:
        """Tell the listener, by the runner's rules; False where `end` came first."""
        listener = self._listener
        return listener is None or await self._runner.prepare(lambda: listener.assigned(assignment))

    def _remind_later(self) -> None:
        """Tell the listener again once every producer knows how many partitions there are.

        Until then, a producer of another process may use the old number. What it sends may then
        come to a replica that no longer owns it, and never to the one that does.
        """
        if self._reminding is not None:
            self._reminding.cancel()
        self._reminding = asyncio.create_task(self._remind(), name=f"remind-{self.name}")

    async def _remind(self) -> None:
        await asyncio.sleep(_METADATA_AGES * self._settings.metadata_max_age_s)
        async with self._busy:
            if not self._draining:
                await self._inform_listener(self._assignment)

    async def _wait_for_broker(self) -> None:
        # A Faust app whose broker is away when it starts gives up for good.
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(BrokerUnavailable),
            wait=wait_fixed(_BROKER_POLL_S),
            before_sleep=self._note_wait,
            reraise=True,
        ):
            with attempt:
                await self._positions()

    def _note_wait(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("broker_awaited", service=self.name, error=str(error))

    async def _positions(self) -> dict[Partition, Position]:
        subscriptions = {self.group: self.topics}
        positions = await asyncio.to_thread(self._lag.positions, subscriptions)
        return positions[self.group]

    async def _watch(self) -> None:
        watchdog = Watchdog()
        pause = min(_WATCH_INTERVAL_S, self._settings.stall_limit_s / 4)
        while True:
            await asyncio.sleep(pause)
            try:
                positions = await self._positions()
            except BrokerUnavailable as exc:
                # A restart of ours would not bring the broker back: to wait for it is progress.
                log.warning("lag_unknown", service=self.name, error=str(exc))
                self._runner.progress.report()
                self._stalled_s = 0.0
                continue
            self._judge(watchdog, positions)

    def _judge(self, watchdog: Watchdog, positions: Mapping[Partition, Position]) -> None:
        lags: Counter[str] = Counter(dict.fromkeys(self.topics, 0))
        for partition, position in positions.items():
            lags[partition.topic] += position.lag
        for topic, lag in lags.items():
            metrics.CONSUMER_LAG.labels(self.name, topic).set(lag)
        owned = {item: at for item, at in positions.items() if item in self._assignment.partitions}
        self._show_partitions(owned)
        steps = self._runner.progress.steps
        self._stalled_s = watchdog.observe(self._clock.monotonic(), owned, steps)
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


def _record(event: EventT[bytes]) -> Record:
    message = event.message
    return Record(
        message.topic,
        message.partition,
        message.offset,
        message.key or b"",
        message.value,
        message.timestamp,
        tuple(dict(message.headers or ()).items()),
    )


def _described(assignment: Assignment) -> dict[str, object]:
    """Fields for the log: the numbers of the partitions owned, and how many each topic has."""
    numbers: dict[str, list[int]] = {topic: [] for topic in assignment.totals}
    for topic, number in sorted(assignment.partitions):
        numbers[topic].append(number)
    return {
        "partitions": len(assignment.partitions),
        "numbers": numbers,
        "totals": dict(assignment.totals),
    }


def _acknowledge_nothing(_message: object) -> bool:
    return False


def _partitions_of(topic: str, consumer: Any) -> int:
    """How many partitions a topic has, from this member's own metadata.

    Faust's `topic_partitions` asks what only the leader of the group has: to every other replica a
    topic would have none, and it would own nothing.
    """
    partitions = consumer._thread._consumer.partitions_for_topic(topic)  # noqa: SLF001  # no other way
    return len(partitions or ())
