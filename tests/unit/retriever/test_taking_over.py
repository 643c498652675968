"""A process that takes over lists what the one before would have listed, byte for byte."""

import random
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any

import pytest

from services.contracts.codec import encode
from services.contracts.events import Event, ShortlistPublished, Split
from services.contracts.identity import DriveId, FrameId, NeedleId
from services.domain.ports.epochs import StateChanges
from services.domain.shortlists import epochs
from services.retriever.allocation import detector_allocator
from services.runtime.settings import Settings
from tests import samples
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


async def story(seed: int, dies: Callable[[], bool], **settings: float | str) -> World:
    """Ten epochs of needles, haystack frames, annotations and verdicts."""
    world = MortalWorld(dies, shortlist_size=3, shortlist_budget=0.4, **settings)
    rng, corrected = random.Random(seed), set[str]()
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
        await world.survive(partial(delivered, world, events, number))
        if rng.random() < 0.5:
            await world.survive(world.settle)
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


@pytest.mark.parametrize("seed", range(24))
async def test_killed_at_any_write_it_lists_the_same_in_the_same_epochs(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(epochs, "WINDOW", 3)
    monkeypatch.setattr(detector_allocator, "EARLY_EXAMPLES_MIN", 1)
    early = 0.5 * (seed % 2)
    rng = random.Random(seed)
    whole = await story(seed, never, shortlist_early=early)
    killed = await story(seed, lambda: rng.random() < 0.1, shortlist_early=early)
    assert published(killed) == published(whole)
    assert await killed.epochs.of(samples.DETECTOR) == await whole.epochs.of(samples.DETECTOR)


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
