import asyncio
from collections.abc import Sequence

from services.contracts.events import Event
from services.runtime.kafka.runner import Runner
from services.runtime.progress import Progress, progress_of, report_progress
from services.runtime.settings import Settings
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.outbox import InMemoryOutbox
from tests.unit.runtime.test_runner import leave, record


def test_what_is_reported_outside_of_a_batch_counts_nowhere() -> None:
    progress = Progress()
    report_progress()
    with progress_of(progress):
        report_progress()
    report_progress()
    assert progress.steps == 1


async def test_a_thread_of_the_batch_reports_to_its_service() -> None:
    one, other = Progress(), Progress()

    async def work(progress: Progress, times: int) -> None:
        with progress_of(progress):
            for _ in range(times):
                await asyncio.to_thread(report_progress)

    await asyncio.gather(work(one, 3), work(other, 5))
    assert (one.steps, other.steps) == (3, 5)


async def test_a_step_of_a_runner_reports_to_it() -> None:
    class Reporting:
        async def run(self, events: Sequence[Event]) -> None:
            for _ in events:
                await asyncio.to_thread(report_progress)

    clock = FakeClock()
    runner = Runner("tester", Reporting(), InMemoryOutbox(), Settings(), clock, exit_process=leave)
    frames = [samples.frame_captured(f"f{number}") for number in range(4)]
    await runner.process([record(frame) for frame in frames])
    assert runner.progress.steps == len(frames)
