"""A process that takes over lists what the one before would have listed, byte for byte."""

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any

import pytest

from services.contracts.codec import encode
from services.contracts.events import Event, Split
from services.contracts.identity import DriveId, FrameId, NeedleId
from services.contracts.needles import ShortlistPublished
from services.domain.ports.epochs import StateChanges
from services.domain.shortlists import epochs
from services.domain.shortlists.epochs import Epoch
from services.retriever.allocation import detector_allocator
from services.retriever.service import PublishShortlists
from services.runtime.settings import Settings
from tests import samples
from tests.fakes.epochs import InMemoryEpochStore
from tests.unit.retriever.test_epochs import delivered
from tests.unit.retriever.test_service import World, found


class Killed(BaseException):
    """The process ends."""


class Mortal:
    """A store on which a process ends before or after a write; None: it never does."""

    WRITES = ("record", "write_shortlists", "mark_published", "publish", "close", "save")

    def __init__(self, store: Any, dies: Callable[[], bool]) -> None:
        self._store = store
        self._dies = dies

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in self.WRITES:
            return method

        async def write(*args: Any) -> Any:
            if self._dies():
                raise Killed
            written = await method(*args)
            if self._dies():
                raise Killed
            return written

        return write


class MortalWorld(World):
    """A world whose retriever is killed now and then, while it writes."""

    def __init__(self, dies: Callable[[], bool], **settings: float | str) -> None:
        self._dies = dies
        super().__init__(**settings)

    def retriever(self) -> Any:
        """One more on the same stores."""
        parts = vars(self)
        whole = {name: parts[name] for name in ("needles", "epochs", "models", "outbox")}
        try:
            parts.update({name: Mortal(store, self._dies) for name, store in whole.items()})
            return super().retriever()
        finally:
            parts.update(whole)

    async def settle(self) -> None:
        """Close an epoch without events, if the process that is there has reason to."""
        await self.step.settle()

    async def survive(self, work: Callable[[], Any]) -> None:
        """Do the work, by as many processes as it takes."""
        while True:
            try:
                await work()
            except Killed:
                self.step = self.retriever()
            else:
                return


async def story(
    seed: int, dies: Callable[[], bool], others: random.Random | None = None, processes: int = 1
) -> World:
    """Ten epochs of needles, haystack frames, annotations, and verdicts of which some are undone.

    Parameters
    ----------
    others : decides which of the processes closes an epoch, and the order of the events in it
    """
    early = 0.5 * (seed % 2)
    world = MortalWorld(dies, shortlist_size=3, shortlist_budget=0.4, shortlist_early=early)
    steps = [world.retriever() for _ in range(processes)]
    rng, corrected, undone = random.Random(seed), set[str](), set[str]()
    for number in range(10):
        events: list[Event] = []
        for place in range(rng.randint(1, 4)):
            name, angle = f"{number}-{place}", rng.uniform(0.0, 1.5)
            match rng.choice(["needle", "hay", "hay", "right", "wrong"]):
                case "needle":
                    events.append(await found(world, f"needle{name}", angle))
                case "hay":
                    drive = haystack_drive(name)
                    events.append(await world.embed(f"hay{name}", angle, drive=drive))
                case kind:
                    right = kind == "right"
                    events.append(await world.example(f"{kind}{name}", angle, right=right))
        listed = sorted({frame for frames in world.shortlists() for frame in frames} - corrected)
        if listed and rng.random() < 0.5:
            corrected.add(frame := rng.choice(listed))
            events.append(await world.correct(frame, right=rng.random() < 0.5))
        elif (corrected - undone) and rng.random() < 0.5:
            undone.add(frame := min(corrected - undone))
            events.append(await world.undo(frame))
        settles = rng.random() < 0.5
        for work in (partial(delivered, world, events, number), world.settle)[: 1 + settles]:
            place = others.randrange(processes) if others else 0
            world.step = steps[place]
            if others:
                others.shuffle(events)
            await world.survive(work)
            steps[place] = world.step
    return world


def haystack_drive(name: str) -> str:
    """A drive that the rule of the split has in the haystack, as the vectors of its frames say."""
    drives = (f"{name}-{number}" for number in count())
    split = Settings().split_rule.split_of
    return next(d for d in drives if split(FrameId("f"), DriveId(d)) is Split.HAYSTACK)


def published(world: World) -> dict[tuple[NeedleId, int], bytes]:
    """Each revision of each shortlist; one that came twice was the same both times."""
    found: dict[tuple[NeedleId, int], bytes] = {}
    for event in world.outbox.published:
        assert isinstance(event, ShortlistPublished)
        key, content = (event.needle_id, event.revision), encode(event)
        assert found.setdefault(key, content) == content
    return found


def never() -> bool:
    return False


@pytest.mark.parametrize("seed", range(16))
async def test_killed_at_any_write_it_lists_the_same_in_the_same_epochs(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(epochs, "WINDOW", 3)
    monkeypatch.setattr(detector_allocator, "MIN_EARLY_EXAMPLES", 1)
    rng = random.Random(seed)
    whole = await story(seed, never)
    killed = await story(seed, lambda: rng.random() < 0.1)
    assert published(killed) == published(whole)
    assert await killed.epochs.of(samples.DETECTOR) == await whole.epochs.of(samples.DETECTOR)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("processes", [2, 4])
async def test_several_processes_list_what_one_would_in_the_same_epochs(
    monkeypatch: pytest.MonkeyPatch, seed: int, processes: int
) -> None:
    monkeypatch.setattr(epochs, "WINDOW", 3)
    monkeypatch.setattr(detector_allocator, "MIN_EARLY_EXAMPLES", 1)
    rng = random.Random(seed)
    one = await story(seed, never)
    several = await story(seed, lambda: rng.random() < 0.03, random.Random(seed), processes)
    assert published(several) == published(one)
    assert await several.epochs.of(samples.DETECTOR) == await one.epochs.of(samples.DETECTOR)


class CountedEpochStore(InMemoryEpochStore):
    """Lets others run before it writes, and counts the epochs that another process had closed."""

    overtaken = 0

    async def close(self, epoch: Epoch, changes: StateChanges) -> bool:
        await asyncio.sleep(0)
        is_closed = await super().close(epoch, changes)
        self.overtaken += not is_closed
        return is_closed


async def imported(seed: int, processes: int) -> tuple[World, int]:
    """An import whose batches so many processes work on at once."""
    world = World(shortlist_size=3, shortlist_budget=0.4, shortlist_early=0.0)
    epochs_of_all = CountedEpochStore()
    world.epochs = epochs_of_all  # type: ignore[assignment]  # it blocks nobody
    steps = [world.retriever() for _ in range(processes)]
    rng = random.Random(seed)
    events: list[Event] = []
    for number in range(12):
        events.append(await found(world, f"needle{number}", rng.uniform(0.0, 1.5)))
        for place in range(3):
            name = f"{number}-{place}"
            embedded = world.embed(f"hay{name}", rng.random(), drive=haystack_drive(name))
            events.append(await embedded)
        right = rng.random() < 0.5
        events.append(await world.example(f"example{number}", rng.random(), right=right))
    rng.shuffle(events)
    parts = [events[start::processes] for start in range(processes)]
    await asyncio.gather(*map(in_batches, steps, parts))
    while await steps[0].settle():
        pass
    return world, epochs_of_all.overtaken


async def in_batches(step: PublishShortlists, events: Sequence[Event]) -> None:
    for start in range(0, len(events), 4):
        await step.run(events[start : start + 4])


async def test_several_processes_at_once_list_an_import_as_one_does() -> None:
    overtaken = 0
    for seed in range(2):
        (one, _), (several, lost) = [await imported(seed, processes) for processes in (1, 3)]
        first, second = [
            {name: item.candidates for name, item in world.latest().items()}
            for world in (one, several)
        ]
        assert first
        assert first == second
        published(several)
        overtaken += lost
    assert overtaken, "no process was overtaken, so this tests nothing"


async def test_the_haystack_is_counted_alike_by_whichever_process_closes_the_epoch() -> None:
    world = World()
    needle, other = await found(world), world.retriever()
    names = [f"hay{number}" for number in range(30)]
    embedded = [await world.embed(name, 0.5, drive=haystack_drive(name)) for name in names]
    await world.step.run([needle, *embedded])
    for _ in range(2):  # it starts, and counts
        await other.run([needle])
    await world.step.run([await world.embed("new", 0.5, drive=haystack_drive("new"))])
    await world.step.run([await world.correct(name, right=False) for name in ("new", "hay0")])
    for step in (other, world.step):
        await step.run([needle])
    sizes = [epoch.sizes[-1].haystack for epoch in await world.epochs.of(samples.DETECTOR)]
    assert sizes == [30] * 3 + [31] * 4


async def recorded(world: World) -> Sequence[StateChanges]:
    return await world.epochs.changes(samples.DETECTOR)


async def test_it_reads_the_stores_where_nothing_is_recorded() -> None:
    world = World()
    await world.run([await found(world), await world.embed("hay", 0.1)])
    await world.epochs.forget_changes()
    world.step = world.retriever()
    await world.run([await world.embed("more", 0.2)])
    assert world.shortlists()[-1] == ["hay", "more"]
    assert next(changes.is_whole for changes in await recorded(world))


async def test_other_settings_apply_to_what_is_known_too() -> None:
    world = World(shortlist_evidence=0.99)
    await world.run([await found(world), await world.embed("hay", 0.5)])
    assert world.shortlists() == []
    world._settings = Settings(shortlist_evidence=0.3)
    await world.run([], world.retriever())
    assert world.shortlists() == [["hay"]]


async def test_what_is_recorded_names_no_erased_frame_and_no_model_of_it_is_left() -> None:
    world = World()
    await world.run([await found(world), await world.embed("hay", 0.1)])
    assert await recorded(world)
    await world.step.forget(frozenset())
    assert not await recorded(world)
    (model,) = (await world.epochs.latest())[samples.DETECTOR].models.values()
    assert await world.models.load(samples.DETECTOR, samples.STOP_SIGN, model) is None
    await world.run([await world.embed("more", 0.2)])
    assert await recorded(world)


@pytest.mark.parametrize("cause", ["erasure", "settings"])
async def test_needles_that_another_process_consumed_are_known_without_its_record(
    cause: str,
) -> None:
    world = World()
    first = await found(world, "first")
    await world.run([first, await world.embed("hay", 0.1)])
    if cause == "settings":
        world._settings = Settings(shortlist_evidence=0.29)
    other = world.retriever()
    await world.run([await found(world, "second", 0.05)], other)
    if cause == "erasure":
        await other.forget(frozenset())
    await world.run([samples.needle_retracted(first, revision=2)])
    assert [candidate.frame_id for candidate in world.latest()["second"].candidates] == ["hay"]


async def test_it_clusters_the_needles_of_recorded_epochs_and_no_others() -> None:
    listed = []
    for restarted in (False, True):
        world = World(shortlist_size=2)
        await world.step.run([await found(world, "one"), await found(world, "two", 0.01)])
        await world.step.run([await found(world, "three", 0.02)])
        # Of an epoch that another process has not closed yet.
        await world.needles.record([await found(world, "elsewhere", 0.03)])
        if restarted:
            world.step = world.retriever()
        await world.run([await world.embed(f"hay{number}", 0.1) for number in range(8)])
        listed.append((published(world), await world.epochs.of(samples.DETECTOR)))
    assert listed[0] == listed[1]


async def test_a_process_that_starts_closes_no_epoch_only_to_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(epochs, "WINDOW", 1)
    world = World()
    first = [await found(world, "one"), await found(world, "two", 0.01)]
    for events in (first, first, [await found(world, "three", 0.02)]):
        await world.step.run(events)
    assert not await world.step.settle()
    assert not await world.retriever().settle()


async def test_a_needle_that_cannot_be_read_keeps_no_other_from_its_shortlist() -> None:
    world = World(shortlist_size=1, shortlist_budget=0.9)
    await world.run([await found(world, "unreadable"), await found(world, "other")])
    await world.needles.delete([FrameId("unreadable")])  # the store skips it
    events = [await world.embed(f"hay{number}", 0.1) for number in range(3)]
    await world.run(events, world.retriever())
    assert list(world.latest()) == ["other"]
