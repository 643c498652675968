"""Who Kafka lets in, to what, and what is said to all others."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import (
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePatternFilter,
    ResourceType,
)

from services.app.doctor.finding import Level
from services.app.doctor.kafka import look_at_kafka
from services.app.parts import joined
from services.app.status import read_status
from services.app.topic_access import OPERATOR, SCALER, user_of
from services.contracts.codec import encode
from services.contracts.dead_letters import DeadLettered
from services.contracts.errors import BrokerUnavailable, GazeloopError, InvalidSettings
from services.contracts.events import Event
from services.contracts.flow import REVIEW, group_of
from services.contracts.matches import FrameMatched
from services.contracts.topics import FRAMES, MATCHES, topic_of
from services.domain.dead_letters import fold_letters
from services.runtime.clock import SystemClock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.consumer import ConsumingService
from services.runtime.kafka.dead_letters import read_letters, replay
from services.runtime.kafka.delivery import Connect
from services.runtime.kafka.group_offsets import set_offsets
from services.runtime.kafka.kafka_python_producer import connect_kafka_python
from services.runtime.kafka.lag import LagReader, Partition
from services.runtime.kafka.librdkafka_producer import connect_librdkafka
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.kafka.topic_admin import broker_identity
from services.runtime.kafka.topic_reading import values
from services.runtime.settings import Settings
from tests import samples
from tests.deadline import until
from tests.integration.security.certificates import Authority
from tests.integration.security.parts import PASSWORD


def settings_of(
    service: str,
    kafka: dict[str, str],
    authority: Path | None,
    *,
    password: str = PASSWORD,
    listener: str = "CLIENTS",
) -> Settings:
    return Settings(
        kafka=kafka[listener],
        kafka_tls=True,
        kafka_ca=authority,
        kafka_user=user_of(service),
        kafka_password=password,
        delivery_timeout_s=60,
    )


@pytest.fixture(params=[connect_kafka_python, connect_librdkafka])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Each of the producers in turn."""
    connect: Connect = request.param
    return connect


async def published_by(service: str, settings: Settings, event: Event, connect: Connect) -> None:
    outbox = KafkaOutbox(service, BrokerAddress.of(settings), settings, connect=connect)
    try:
        await outbox.publish([event])
    finally:
        await outbox.close()


async def refusal(service: str, settings: Settings, event: Event, connect: Connect) -> str:
    with pytest.raises(InvalidSettings) as refused:
        await published_by(service, settings, event, connect)
    return message_of(refused.value)


def message_of(error: GazeloopError) -> str:
    message = str(error)
    assert PASSWORD not in message
    return message


class Collecting:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.seen: list[Event] = []

    async def run(self, events: Sequence[Event]) -> None:
        self.seen.extend(events)


async def test_each_service_reads_and_writes_what_it_must(
    kafka: dict[str, str], authority: Authority, connect: Connect
) -> None:
    match = samples.frame_matched("secured:1")
    await published_by("fp_miner", settings_of("fp_miner", kafka, authority.file), match, connect)
    settings = settings_of("evaluator", kafka, authority.file)
    broker = BrokerAddress.of(settings)
    step = Collecting()
    outbox = KafkaOutbox("evaluator", broker, settings)
    service = ConsumingService(
        "evaluator",
        [MATCHES],
        step,
        outbox=outbox,
        broker=broker,
        settings=settings,
        clock=SystemClock(),
    )
    await service.start()
    try:
        await until(lambda: match in step.seen)
        await until(lambda: lag_of("evaluator", settings) == 0)
    finally:
        await service.stop()
        await outbox.close()
    assert [event for event in step.seen if isinstance(event, FrameMatched)] == step.seen


def lag_of(service: str, settings: Settings) -> int:
    with LagReader(BrokerAddress.of(settings), settings) as lag:
        return sum(lag.lags({group_of(service): [MATCHES.name]}).values())


async def test_a_service_learns_whose_broker_it_is(
    kafka: dict[str, str], authority: Authority
) -> None:
    settings = settings_of("ingest", kafka, authority.file)
    assert await asyncio.to_thread(broker_identity, BrokerAddress.of(settings), settings)


async def test_a_wrong_password_is_refused_by_its_settings_name(
    kafka: dict[str, str], authority: Authority, connect: Connect
) -> None:
    settings = settings_of("ingest", kafka, authority.file, password="swordfish")
    message = await refusal("ingest", settings, samples.frame_captured(), connect)
    assert "GAZELOOP_KAFKA_PASSWORD" in message
    assert "swordfish" not in message


async def test_a_wrong_password_is_refused_to_who_reads_dead_letters(
    kafka: dict[str, str], authority: Authority
) -> None:
    settings = settings_of(OPERATOR, kafka, authority.file, password="swordfish")
    with pytest.raises(InvalidSettings, match="GAZELOOP_KAFKA_PASSWORD"):
        await asyncio.to_thread(read_letters, BrokerAddress.of(settings), settings)


async def test_a_topic_that_a_user_may_not_see_is_not_taken_for_an_empty_one(
    kafka: dict[str, str], authority: Authority
) -> None:
    settings = settings_of("evaluator", kafka, authority.file)
    with pytest.raises(InvalidSettings, match=r"gaze\.frames.*gazeloop topics acls"):
        await asyncio.to_thread(list, values(BrokerAddress.of(settings), settings, FRAMES))


async def test_a_foreign_topic_is_refused_with_what_to_grant(
    kafka: dict[str, str], authority: Authority, connect: Connect
) -> None:
    settings = settings_of("evaluator", kafka, authority.file)
    message = await refusal("evaluator", settings, samples.frame_captured(), connect)
    assert "gazeloop topics acls" in message
    assert "gazeloop-evaluator" in message


async def test_the_review_page_replays_ground_truth_and_leaves_the_rest_to_who_runs_it(
    kafka: dict[str, str], authority: Authority
) -> None:
    truth, frame = samples.frame_annotated(), samples.frame_captured()
    outbox = outbox_of(REVIEW, kafka, authority)
    try:
        assert await replayed(outbox, letter_of(truth)) == 1
        with pytest.raises(InvalidSettings, match="gazeloop topics acls"):
            await replayed(outbox, letter_of(frame))
    finally:
        await outbox.close()

    operator = outbox_of(OPERATOR, kafka, authority)
    try:
        assert await replayed(operator, letter_of(truth), letter_of(frame)) == 2
    finally:
        await operator.close()


async def test_who_runs_it_replays_by_a_command_that_creates_nothing(
    kafka: dict[str, str], authority: Authority, mongodb_url: str, tmp_path: Path
) -> None:
    changes = {"mongodb": mongodb_url, "mongodb_database": "replayed", "data": tmp_path}
    settings = settings_of(OPERATOR, kafka, authority.file).model_copy(update=changes)

    async with joined(settings) as app:
        assert await replayed(app.outbox, letter_of(samples.frame_captured())) == 1


def outbox_of(user: str, kafka: dict[str, str], authority: Authority) -> KafkaOutbox:
    settings = settings_of(user, kafka, authority.file)
    return KafkaOutbox(user, BrokerAddress.of(settings), settings)


async def replayed(outbox: KafkaOutbox, *letters: DeadLettered) -> int:
    """How many of these were sent again."""
    return (await replay(fold_letters(letters), outbox, SystemClock().now())).replayed


def letter_of(event: Event, offset: int = 0) -> DeadLettered:
    return DeadLettered(
        service="fp_miner",
        reason="other",
        detail="",
        original_topic=topic_of(event).name,
        partition=0,
        offset=offset,
        original_key=event.key().encode(),
        original_value=encode(event),
        failed_at=SystemClock().now(),
    )


async def test_a_foreign_group_is_refused_with_what_to_grant(
    kafka: dict[str, str], authority: Authority
) -> None:
    settings = settings_of("ingest", kafka, authority.file)
    with pytest.raises(InvalidSettings, match="gazeloop topics acls"):
        await asyncio.to_thread(lag_of, "evaluator", settings)


async def test_who_restores_sets_the_offsets_of_all_services_and_who_may_not_is_named(
    kafka: dict[str, str], authority: Authority
) -> None:
    await set_back(OPERATOR, kafka, authority)
    with pytest.raises(InvalidSettings, match=r"denies gazeloop-keda .*gazeloop topics acls"):
        await set_back(SCALER, kafka, authority)


async def set_back(user: str, kafka: dict[str, str], authority: Authority) -> None:
    """Have the retriever read again from the beginning."""
    settings = settings_of(user, kafka, authority.file)
    offsets = {group_of("retriever"): {Partition(MATCHES.name, 0): 0}}

    def is_set() -> bool:
        try:
            set_offsets(BrokerAddress.of(settings), settings, offsets)
        except BrokerUnavailable:
            return False  # a new broker creates its topic of offsets first
        return True

    await until(is_set)


async def test_an_expired_certificate_is_refused(
    kafka: dict[str, str], authority: Authority, connect: Connect
) -> None:
    settings = settings_of("ingest", kafka, authority.file, listener="EXPIRED")
    message = await refusal("ingest", settings, samples.frame_captured(), connect)
    assert "GAZELOOP_KAFKA_CA" in message
    assert "renew" in message


async def test_a_certificate_of_an_unknown_authority_is_refused(
    kafka: dict[str, str], connect: Connect
) -> None:
    settings = settings_of("ingest", kafka, None)
    message = await refusal("ingest", settings, samples.frame_captured(), connect)
    assert "GAZELOOP_KAFKA_CA" in message


async def test_the_doctor_finds_no_fault_with_a_users_grants(
    kafka: dict[str, str], authority: Authority
) -> None:
    settings = settings_of("evaluator", kafka, authority.file)
    found = await asyncio.to_thread(look_at_kafka, settings)
    assert not [finding for finding in found if finding.level is Level.ERROR]


async def test_the_doctor_names_what_a_service_may_not_do_and_must(
    kafka: dict[str, str], authority: Authority
) -> None:
    settings = settings_of("webhooks", kafka, authority.file)
    revoke(kafka["OWNER"], user_of("webhooks"), "gaze.dead-letters")
    what = "gazeloop-webhooks may not Write on gaze.dead-letters"

    def is_found() -> bool:
        errors = [finding for finding in look_at_kafka(settings) if finding.level is Level.ERROR]
        return [(finding.what, finding.remedy) for finding in errors] == [
            (what, "grant what `gazeloop topics acls` prints")
        ]

    await until(is_found)


async def test_who_runs_it_sees_everything(
    kafka: dict[str, str], authority: Authority, tmp_path: Path
) -> None:
    settings = settings_of(OPERATOR, kafka, authority.file).model_copy(update={"data": tmp_path})
    letter = letter_of(samples.frame_captured(), offset=1)  # the first is settled: it was replayed
    miner = settings_of("fp_miner", kafka, authority.file)
    await published_by("fp_miner", miner, letter, connect_kafka_python)
    status = await read_status(settings)
    assert {topic for _, topic in status.lag} >= {"gaze.frames", "gaze.matches"}
    assert status.dead_letters > 0
    findings = await asyncio.to_thread(look_at_kafka, settings)
    assert not [
        finding for finding in findings if "may not" in finding.what or "missing" in finding.what
    ]


def revoke(owner: str, user: str, topic: str) -> None:
    """Let a user no longer write to a topic."""
    write = ACLFilter(
        principal=f"User:{user}",
        host="*",
        operation=ACLOperation.WRITE,
        permission_type=ACLPermissionType.ALLOW,
        resource_pattern=ResourcePatternFilter(
            ResourceType.TOPIC, topic, ACLResourcePatternType.LITERAL
        ),
    )
    with closing(KafkaAdminClient(bootstrap_servers=[owner])) as admin:
        admin.delete_acls([write])
