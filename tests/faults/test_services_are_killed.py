"""The whole pipeline, while each of its processes is killed, and Kafka and MongoDB with them."""

import asyncio
import os
import random
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.app.subscriptions import SUBSCRIPTIONS
from services.contracts.topics import FRAMES, GROUND_TRUTH, MATCHES, NEEDLES, PREDICTIONS
from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.embedded.mongod import Mongod
from services.runtime.kafka.delivery import OutgoingRecord
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.stores.opening import Stores
from tests.deadline import until
from tests.deploy.checking import TOOLS
from tests.faults.deployment import COMMANDS, Deployment, deployed, publisher_for
from tests.faults.outcome import (
    CLEAN,
    match_counts,
    missing_vectors,
    settled_outcome,
)
from tests.faults.survey import Fact, Publisher, facts
from tests.mongodb_users import OPERATOR, make_users, password_of, user_of
from tests.reading import dead_letters_on

SEED = 20261121
KILLS_PER_PROCESS = 50 if os.environ.get("GAZELOOP_TEST_FAULTS") else 5
SURVEY_FRAMES = 30 * KILLS_PER_PROCESS
PAUSE_S = 0.05
PROGRESS_DEADLINE_S = 12.0
EMBEDDING = "gazeloop-embedder-and-retriever"
POISON = (b"", b"\x00\xff", b"{}", b'{"type": "FrameCaptured"}')
POISONED = (FRAMES, PREDICTIONS, GROUND_TRUTH, MATCHES, NEEDLES)


class AuthenticatingMongod(Mongod):
    """A mongod that lets in nobody but its users."""

    def _command(self, folder: Path) -> list[str]:
        return [*super()._command(folder), "--auth"]


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[Mongod]:
    with AuthenticatingMongod(tmp_path / "mongodb") as mongod:
        make_users(mongod.port, (EMBEDDING, ["embedder", "retriever"]))
        yield mongod


def _login(user: str) -> dict[str, str]:
    return {"mongodb_user": user, "mongodb_password": password_of(user)}


@pytest.fixture
def deployment(tmp_path: Path, mongod: Mongod) -> Iterator[Deployment]:
    """Each process with its services' rights in MongoDB; the test itself has the operator's."""
    users = {name: EMBEDDING if name == "embedder" else user_of(name) for name in COMMANDS}
    logins = {
        name: {f"GAZELOOP_{key.upper()}": value for key, value in _login(user).items()}
        for name, user in users.items()
    }
    settings: dict[str, Any] = {"epoch_s": 0.5, "session_timeout_s": 2, **_login(OPERATOR)}
    with ExitStack() as parts:
        kafka = parts.enter_context(EmbeddedKafka(tmp_path / "kafka"))
        yield parts.enter_context(deployed(tmp_path, kafka, mongod, logins=logins, **settings))


@pytest.mark.timeout(7200)
@pytest.mark.usefixtures("collected_sockets")
async def test_killing_every_process_loses_nothing_and_shows_nothing_twice(
    deployment: Deployment, stores: Stores, mongod: Mongod
) -> None:
    survey, settings = facts(SURVEY_FRAMES, SEED), deployment.settings
    publisher = await publisher_for(deployment, stores)
    await _publish_poison(deployment)
    await _kill_all(deployment, mongod, survey, publisher)
    await until(deployment.caught_up, deadline_s=600)

    assert publisher.acknowledged == len(survey)
    assert not any(deployment.exits().values())
    assert await settled_outcome(survey, deployment, stores, patience_s=600) == CLEAN
    assert await match_counts(stores) == Counter({fact.frame_id: 1 for fact in survey})
    assert await asyncio.to_thread(_dead_letters, deployment) == _expected_dead_letters()
    await until(
        lambda: deployment.gauges("gazeloop_evaluated_frames").get("all") == SURVEY_FRAMES,
        deadline_s=300,
    )
    await until(lambda: _all_export(deployment), deadline_s=300)
    assert await asyncio.to_thread(_faults_in_metrics, deployment) == {}

    assert await asyncio.to_thread(deployment.victims["embedder"].terminate) == 0
    assert await missing_vectors(survey, stores, settings) == []


async def _kill_all(
    deployment: Deployment, mongod: Mongod, survey: Sequence[Fact], publisher: Publisher
) -> None:
    """Kill every process, in a random order, each time after it has got something done.

    In between, the broker and the metadata store are killed once each. A share of the survey is
    published around each kill, so that all of them meet work.
    """
    rng = random.Random(SEED)
    deck = [name for name in deployment.victims for _ in range(KILLS_PER_PROCESS)]
    rng.shuffle(deck)
    parts: dict[int, EmbeddedKafka | Mongod] = {
        len(deck) // 3: deployment.kafka,
        2 * len(deck) // 3: mongod,
    }
    for number, name in enumerate(deck):
        share = survey[number :: len(deck)]
        publishing = asyncio.create_task(publisher.publish(share, pause_s=PAUSE_S))
        if number in parts:
            await asyncio.to_thread(parts[number].kill)
            await asyncio.to_thread(parts[number].restart)
        await _until_it_grows(
            (lambda: publisher.acknowledged)
            if name == "ingest"
            else partial(deployment.committed, name)
        )
        await asyncio.sleep(rng.random())
        await asyncio.to_thread(deployment.victims[name].kill)
        await publishing


async def _until_it_grows(progress: Callable[[], int]) -> None:
    before = await asyncio.to_thread(progress)
    try:
        await until(lambda: progress() > before, deadline_s=PROGRESS_DEADLINE_S)
    except AssertionError:
        return  # killed before it did anything: also worth a kill


async def _publish_poison(deployment: Deployment) -> None:
    outbox = KafkaOutbox("chaos", deployment.broker, deployment.settings)
    await outbox.publish_records(
        [
            OutgoingRecord(topic.name, b"poison", value, str(number))
            for topic in POISONED
            for number, value in enumerate(POISON)
        ]
    )
    await outbox.close()


def _all_export(deployment: Deployment) -> bool:
    """Whether every process is there again and has used a store."""
    timed = "gazeloop_store_operation_duration_seconds_count{"
    return all(timed in deployment.metrics(name) for name in COMMANDS)


def _faults_in_metrics(deployment: Deployment) -> dict[str, str]:
    """What promtool says of each process's own metrics; nothing where it is not there."""
    promtool, faults = TOOLS / "promtool", {}
    for name in COMMANDS if promtool.exists() else ():
        checked = subprocess.run(
            [str(promtool), "check", "metrics"],
            input=deployment.metrics(name),
            capture_output=True,
            text=True,
            check=False,
        )
        faults[name] = checked.stdout + checked.stderr
    return {name: text for name, text in faults.items() if text}


def _dead_letters(deployment: Deployment) -> Counter[tuple[str, str | None, bytes]]:
    return Counter(
        (letter.service, letter.original_topic, letter.original_value)
        for letter in dead_letters_on(deployment.broker)
    )


def _expected_dead_letters() -> Counter[tuple[str, str | None, bytes]]:
    return Counter(
        (group.removeprefix("gazeloop."), topic.name, value)
        for group, topics in SUBSCRIPTIONS.items()
        for topic in POISONED
        if topic.name in topics
        for value in POISON
    )
