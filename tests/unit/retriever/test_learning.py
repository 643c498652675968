"""When failure models are fitted again."""

from collections.abc import Collection

import pytest

from services.contracts.events import ErrorType
from services.contracts.identity import Category, FrameId
from services.contracts.matches import CategoryMatched, FrameMatched, categories_of
from services.domain.failure_modes import FailureMode
from services.domain.mining.failure_model import Examples, FailureModel
from services.retriever import labelled_regions, logic
from services.retriever.caches import FrameCache, VectorCache
from services.retriever.changelog import Changelog
from services.retriever.learning import fitted_models, learner, match_cache
from services.retriever.learning.fitted_models import FittedModels
from services.retriever.learning.learner import OBSERVED, Learned, Learner
from services.retriever.learning.match_cache import MatchCache
from services.runtime.settings import Settings
from tests import samples
from tests.fakes.matches import InMemoryMatchStore
from tests.unit.retriever.test_service import World, found


class Fits:
    """Fits that a test counts, or lets fail."""

    def __init__(self) -> None:
        self.count = 0
        self._fit = FailureModel.fit
        self.error: Exception | None = None

    def fit(self, examples: Examples) -> FailureModel:
        self.count += 1
        if self.error is not None:
            raise self.error
        return self._fit(examples)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Fits:
    counted = Fits()
    monkeypatch.setattr(FailureModel, "fit", counted.fit)
    return counted


(DETECTOR_CATEGORY,) = map(logic.detector_category_of, categories_of([samples.frame_matched()]))
BACKGROUND = FailureMode(ErrorType.BACKGROUND)
MODES = {DETECTOR_CATEGORY: {BACKGROUND}}


def learner_of(world: World, changelog: Changelog | None = None, **settings: int) -> Learner:
    """A learner that starts on a world's stores."""
    frames, given = FrameCache(world.frames, 10**6), Settings(**settings)  # type: ignore[arg-type]  # pydantic checks
    matches = MatchCache(world.matches, frames, given.match_cache_bytes)
    vectors = VectorCache(world.vectors, 10**6)
    models = FittedModels(frames, matches, vectors, world.models, given)
    return Learner(samples.DETECTOR, models, changelog or Changelog())


async def example(world: World, frame_id: str, angle: float, *, right: bool) -> FrameMatched:
    """An annotated frame, of a drive that is a reference one by its name too."""
    await world.embed(frame_id, angle, split="reference", drive="d28")
    return await world.annotate(frame_id, right=right)


async def test_frames_are_listed_by_models_of_all_examples(fits: Fits) -> None:
    world = World()
    await world.run([await found(world), await world.embed("hay", 0.1)])
    before = fits.count
    # Too few more than before to refit while events arrive.
    for number in range(10):
        await world.step.run([await example(world, f"right{number}", 0.75, right=True)])
    due = fits.count
    await world.run([await example(world, "wrong", 0.1, right=False)])
    assert before < due < before + 10
    assert fits.count == due + 1
    (model,) = (await world.epochs.latest())[samples.DETECTOR].models.values()
    of_all = await learner_of(world).refit(MODES, samples.MODEL, refresh=True)
    assert list(of_all.model_ids.values()) == [model]


async def test_the_same_examples_are_fitted_once(fits: Fits) -> None:
    world = World()
    frame = await world.embed("hay", 0.1)
    await world.run([await found(world), frame])
    for _ in range(3):
        await world.run([frame])
    assert fits.count == 1


async def test_another_failure_mode_is_searched_for_at_once() -> None:
    world = World()
    await world.embed("hay", 0.7)
    await world.run([await found(world)])
    assert world.shortlists() == [["hay"]]
    await world.embed("other-hay", -0.7)
    match = await example(world, "other", -0.8, right=False)
    duplicate = {"error_type": ErrorType.DUPLICATE}
    await world.run([match, samples.needle_found("other").model_copy(update=duplicate)])
    assert [candidate.frame_id for candidate in world.latest()["other"].candidates] == ["other-hay"]


async def test_a_fit_that_fails_stops_the_retriever_and_is_made_again(fits: Fits) -> None:
    world = World()
    events = [await found(world), await world.embed("hay", 0.1)]
    fits.error = RuntimeError("no minimum")
    with pytest.raises(RuntimeError, match="no minimum"):
        await world.step.run(events)
    fits.error = None
    await world.run(events)
    assert world.shortlists() == [["hay"]]


@pytest.mark.parametrize(("most", "times"), [(8, 1.5), (4, 3.0)])
async def test_a_kind_with_all_the_examples_that_are_fitted_is_learnt_again_more_seldom(
    monkeypatch: pytest.MonkeyPatch, most: int, times: float
) -> None:
    for module in (learner, fitted_models, labelled_regions):
        monkeypatch.setattr(module, "MAX_EXAMPLES", most)
    world = World()
    for number in range(4):
        await example(world, f"right{number}", 0.75, right=True)
    changelog = Changelog()
    learning, observed = learner_of(world, changelog), changelog.table(OBSERVED)
    await learning.refit(MODES, samples.MODEL, refresh=False)

    while not learning.needs_refit(samples.STOP_SIGN):
        observed[samples.STOP_SIGN] += 1
    assert observed[samples.STOP_SIGN] == 4 * times


async def test_a_model_that_was_dropped_from_memory_is_not_fitted_again(fits: Fits) -> None:
    world = World()
    for number in range(6):
        await example(world, f"right{number}", 0.75, right=True)
        await example(world, f"wrong{number}", 0.1, right=False)
    bounded = learner_of(world, model_cache_bytes=1)
    learned = await bounded.refit(MODES, samples.MODEL, refresh=False)
    fitted = await bounded.model(DETECTOR_CATEGORY, samples.MODEL)
    assert fitted.model_id == learned.model_ids[DETECTOR_CATEGORY]
    another = learner_of(world)
    assert await another.refit(MODES, samples.MODEL, refresh=False) == learned
    assert (await another.model(DETECTOR_CATEGORY, samples.MODEL)).model_id == fitted.model_id
    assert fits.count == 1


async def test_a_model_that_is_stored_no_more_is_fitted_again_with_the_same_id(fits: Fits) -> None:
    world = World()
    await example(world, "right", 0.75, right=True)
    learning = learner_of(world, model_cache_bytes=1)
    learned = await learning.refit(MODES, samples.MODEL, refresh=False)
    await world.models.forget_all()
    fitted = await learning.model(DETECTOR_CATEGORY, samples.MODEL)
    assert fitted.model_id == learned.model_ids[DETECTOR_CATEGORY]
    assert fits.count == 2


async def test_models_that_one_epoch_has_no_time_for_are_fitted_in_the_next() -> None:
    world = World()
    await example(world, "right", 0.75, right=True)
    other = samples.DETECTOR, Category("yield")
    modes = MODES | {other: {BACKGROUND}}
    learning = learner_of(world)
    first, second = [
        await learning.refit(modes, samples.MODEL, refresh=False, most_examples=1) for _ in range(2)
    ]
    assert first.unfinished
    assert set(first.model_ids) == {DETECTOR_CATEGORY}
    assert not second.unfinished
    assert set(second.model_ids) == {DETECTOR_CATEGORY, other}


async def test_only_models_whose_examples_changed_take_an_epochs_time() -> None:
    world, changelog = World(), Changelog()
    await example(world, "right", 0.75, right=True)
    modes = MODES | {(samples.DETECTOR, Category("yield")): {BACKGROUND}}
    observed = changelog.table(OBSERVED)
    await learner_of(world, changelog).refit(modes, samples.MODEL, refresh=False)

    async def refitted() -> Learned:
        """What a learner that starts again on the same changelog learns."""
        for category in observed:
            observed[category] += 1
        learning = learner_of(world, changelog)
        return await learning.refit(modes, samples.MODEL, refresh=True, most_examples=1)

    assert not (await refitted()).unfinished
    await example(world, "wrong", 0.1, right=False)
    assert (await refitted()).unfinished


@pytest.mark.parametrize("most_bytes", [1, 4_000, 10**6])
async def test_the_match_cache_says_the_same_whatever_its_bound(most_bytes: int) -> None:
    world = World()
    categories = [samples.STOP_SIGN, Category("give way"), Category("speed limit")]
    frames = [f"f{number}" for number in range(4)]
    matches = samples.published(
        categories_of(
            samples.frame_matched(frame, category=category)
            for frame in frames
            for category in categories
        )
    )
    await world.matches.record(matches)
    await world.embed("judged", 0.1)
    await world.correct("judged", right=True)
    cache = MatchCache(world.matches, FrameCache(world.frames, 10**6), most_bytes)
    for _ in range(2):
        for category in categories:
            labelled = await cache.of((samples.DETECTOR, category))
            verdicts = ["judged"] if category == samples.STOP_SIGN else []
            assert sorted(item.frame_id for item in labelled) == [*frames, *verdicts]
            cache.note(matches)


@pytest.mark.parametrize("most_bytes", [1, 10**6])
async def test_a_verdict_that_another_process_consumed_is_known_whatever_the_bound(
    most_bytes: int,
) -> None:
    world = World()
    for name in ("first", "later"):
        await world.embed(name, 0.1)
    await world.correct("first", right=True)
    cache = MatchCache(world.matches, FrameCache(world.frames, 10**6), most_bytes)
    assert len(await cache.of(DETECTOR_CATEGORY)) == 1
    await world.correct("later", right=True)
    await cache.follow([FrameId("later")])
    labelled = await cache.of(DETECTOR_CATEGORY)
    assert [item.frame_id for item in labelled] == ["first", "later"]


class MeasuredMatchStore(InMemoryMatchStore):
    """Notes how many frames a query named."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0

    async def load(self, frame_ids: Collection[FrameId]) -> list[CategoryMatched]:
        self.most = max(self.most, len(frame_ids))
        return await super().load(frame_ids)


async def test_verdicts_are_read_some_frames_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match_cache, "_NAMED", 2)
    world = World()
    world.matches = store = MeasuredMatchStore()
    names = [f"f{number}" for number in range(5)]
    for name in names:
        await world.embed(name, 0.1)
        await world.correct(name, right=True)
    cache = MatchCache(store, FrameCache(world.frames, 10**6), most_bytes=1)
    for _ in range(2):
        labelled = await cache.of(DETECTOR_CATEGORY)
        assert [item.frame_id for item in labelled] == names
    await cache.follow([FrameId(name) for name in names])
    assert store.most == 2


async def test_a_verdict_that_is_undone_labels_nothing() -> None:
    world = World()
    await world.embed("judged", 0.1)
    verdict = await world.correct("judged", right=True)
    cache = MatchCache(world.matches, FrameCache(world.frames, 10**6), 10**6)
    assert len(await cache.of(DETECTOR_CATEGORY)) == 1
    undone = samples.revised(verdict, 3).model_copy(update={"reannotated": False})
    assert len(cache.note([undone])) == 1
    assert await cache.of(DETECTOR_CATEGORY) == []


async def test_a_process_that_has_read_no_verdict_takes_in_that_one_is_undone() -> None:
    world = World()
    await world.embed("judged", 0.1)
    await world.correct("judged", right=True)
    cache = MatchCache(world.matches, FrameCache(world.frames, 10**6), 10**6)
    undone = await world.undo("judged")
    for _ in range(2):  # delivered again
        (category,) = cache.note([undone])
        assert (category.detector, category.category) == DETECTOR_CATEGORY
        assert await cache.of(DETECTOR_CATEGORY) == []
