"""Frames, annotations and needles for several retrievers: the same in every process."""

import random
from dataclasses import dataclass, field

from services.contracts.events import Event
from tests.unit.retriever.test_service import World, found
from tests.unit.retriever.test_taking_over import haystack_drive

SETTINGS = {"shortlist_size": 3, "shortlist_budget": 0.3, "epoch_s": 0.2, "batch_size": 8}
NEEDLES, HAYSTACK, EXAMPLES = 12, 80, 30


@dataclass
class Story:
    """What the stores know from the beginning, and the events that report it.

    Attributes
    ----------
    needles : events that come first
    others : events that come in any order
    """

    world: World = field(default_factory=lambda: World(**SETTINGS))
    needles: list[Event] = field(default_factory=list)
    others: list[Event] = field(default_factory=list)


async def drawn_story(seed: int) -> Story:
    """A story of this seed."""
    rng, story = random.Random(seed), Story()
    world = story.world
    for number in range(NEEDLES):
        story.needles.append(await found(world, f"needle{number}", rng.uniform(0.0, 1.5)))
    for number in range(HAYSTACK):
        name, angle = f"hay{number}", rng.uniform(0.0, 1.5)
        story.others.append(await world.embed(name, angle, drive=haystack_drive(name)))
    for number in range(EXAMPLES):
        right = rng.random() < 0.5
        example = await world.example(f"example{number}", rng.uniform(0.0, 1.5), right=right)
        story.others.append(example)
    rng.shuffle(story.others)
    return story
