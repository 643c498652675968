"""The page as the command line serves it: on real stores and a real broker."""

import asyncio
import re
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY

from services.app.figures_noted import note_curves, note_figures
from services.app.pages.review import reviewing
from services.contracts.dead_letters import DeadLettered
from services.contracts.errors import BrokerUnavailable
from services.contracts.events import FrameAnnotated
from services.domain.dead_letters import LetterState
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.subsets import Subset
from services.evaluator.curves import DetectorCurves
from services.evaluator.reports.detector_reports import Reports
from services.evaluator.reports.report import Counts
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.dead_letters import read_letters
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.observability import metrics
from services.runtime.settings import Settings
from tests.deadline import until
from tests.integration.review.conftest import BASE
from tests.review_world import START, Seed, World, review_world
from tests.samples import frame_annotated, frame_matched

DEADLINE_S = 240


@pytest.fixture
async def outbox(kafka: BrokerAddress) -> AsyncIterator[KafkaOutbox]:
    outbox = KafkaOutbox("review", kafka, Settings())
    yield outbox
    await outbox.close()


async def test_dead_letters_are_read_and_replayed_through_the_broker(
    seed: Seed, kafka: BrokerAddress, outbox: KafkaOutbox
) -> None:
    frame_id, reason = f"frame-{uuid4().hex[:8]}", f"reason_{uuid4().hex[:8]}"
    letter = DeadLettered(
        service="fp_miner",
        reason=reason,
        detail="what was wrong",
        original_topic="gaze.ground-truth",
        partition=0,
        offset=1,
        original_key=frame_id.encode(),
        original_value=frame_annotated(frame_id=frame_id).model_dump_json().encode(),
        failed_at=START,
    )
    await outbox.publish([letter])
    settings = seed.settings.model_copy(update={"kafka": ",".join(kafka.servers)})
    server = FastAPI()
    async with (
        review_world(seed) as world,
        reviewing(server, world.stores, outbox, settings, world.clock),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=server), base_url=BASE) as client,
    ):
        await client.post(f"{BASE}/login", data={"token": world.token})
        page = (await client.get(f"{BASE}/dead-letters?reason={reason}")).text
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
        assert found is not None
        answer = await client.post(
            f"{BASE}/dead-letters/replay", data={"csrf": found[1], "reason": reason}
        )

    assert "what was wrong" in page
    assert "1 replayed." in answer.text
    letters = await asyncio.to_thread(read_letters, kafka, settings)
    (found_,) = [item for item in letters if item.failed(None, reason)]
    assert found_.state is LetterState.REPLAYED


async def test_an_address_without_a_path_leads_to_the_page(
    world: World, outbox: KafkaOutbox, kafka: BrokerAddress
) -> None:
    server = FastAPI()
    settings = world.context.settings.model_copy(update={"kafka": ",".join(kafka.servers)})
    async with (
        reviewing(server, world.stores, outbox, settings, world.clock),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=server), base_url=BASE) as client,
    ):
        answer = await client.get("http://review.test/")

    assert answer.is_redirect
    assert answer.headers["location"] == "/review/"


async def test_a_correction_that_was_held_up_is_sent_once_the_page_is_served_again(
    world: World, outbox: KafkaOutbox, kafka: BrokerAddress
) -> None:
    world.outbox.failures.append(BrokerUnavailable("away"))
    truth = FrameAnnotated(frame_id="r000", annotations=())
    with pytest.raises(BrokerUnavailable):
        await world.context.corrector.publish(truth, (), "Ana")
    settings = world.context.settings.model_copy(update={"kafka": ",".join(kafka.servers)})

    async with reviewing(FastAPI(), world.stores, outbox, settings, world.clock):
        async with asyncio.timeout(DEADLINE_S):
            while await world.stores.corrections.pending():  # noqa: ASYNC110  # the store tells nobody
                await asyncio.sleep(0.02)

    (correction,) = await world.stores.corrections.published(truth.frame_id)
    assert correction.event.revision == 2


async def test_the_process_of_the_page_measures_the_queue(
    world: World, outbox: KafkaOutbox, kafka: BrokerAddress
) -> None:
    metrics.REVIEW_NEEDLES.clear()
    settings = world.context.settings.model_copy(update={"kafka": ",".join(kafka.servers)})

    async with reviewing(FastAPI(), world.stores, outbox, settings, world.clock):
        await until(lambda: exported("gazeloop_review_needles", status="open") == 3)


def exported(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_figures_are_noted_when_they_change_and_only_then(world: World) -> None:
    stores = world.stores
    await stores.matches.record([frame_matched("r000")])
    counts = Counts(frames=1, predictions=1, ground_truth=1)
    source = Reports(stores.matches, stores.needles, OperatingScores(0.5), world.clock)
    reports, figures = await source.now(counts)
    before = len(await stores.figures.since(START))

    await note_figures(stores, reports, world.clock)
    world.clock.advance(60)
    await note_figures(stores, reports, world.clock)

    rows = await stores.figures.since(START)
    assert len(rows) - before == 1
    assert rows[-1].queue == {"open": 3, "started": 0, "done": 0}

    await note_curves(stores.curves, figures, [report.detector for report in reports])
    for subset in Subset:
        noted = await stores.curves.find(reports[0].detector, subset)
        assert noted is not None
        expected = await figures.curves(reports[0].detector, subset)
        assert DetectorCurves.model_validate_json(noted) == expected
