"""What counts as the same annotation decides both what is asked and what is marked."""

from services.contracts.events import Annotation
from services.contracts.identity import Box, Category
from services.domain.detection.agreement import agree, apart
from services.formats.masks import from_polygons
from tests.samples import STOP_SIGN


def box(x: float, category: str = STOP_SIGN) -> Annotation:
    bbox: Box = (x, 10.0, 20.0, 20.0)
    return Annotation(category=Category(category), bbox=bbox)


def test_half_a_pixel_is_the_same_and_more_is_not() -> None:
    assert agree([box(10.0)], [box(10.5)])
    assert not agree([box(10.0)], [box(10.6)])
    assert not agree([box(10.0)], [box(10.0, "yield")])


def test_the_order_says_nothing_and_the_number_does() -> None:
    assert agree([box(10.0), box(50.0, "yield")], [box(50.0, "yield"), box(10.4)])
    assert not agree([box(10.0), box(50.0)], [box(10.0)])


def test_a_crowd_and_an_object_are_not_the_same() -> None:
    crowd = box(10.0).model_copy(update={"crowd": True})
    ignored = box(10.0).model_copy(update={"ignore": True})
    assert not agree([box(10.0)], [crowd])
    assert not agree([crowd], [ignored])
    assert agree([crowd], [crowd])


def masked(*corners: float) -> Annotation:
    """An object in the same box as `box(10.0)`, whatever its outline in there."""
    mask = from_polygons([list(corners)], (64, 48)).mask
    return box(10.0).model_copy(update={"mask": mask})


def test_the_same_box_with_another_mask_or_without_one_is_not_the_same() -> None:
    whole = masked(10, 10, 30, 10, 30, 30, 10, 30)
    half = masked(10, 10, 30, 10, 30, 30)

    assert agree([whole], [masked(10, 10, 30, 10, 30, 30, 10, 30)])
    assert not agree([whole], [half])
    assert not agree([whole], [box(10.0)])
    assert not agree([box(10.0)], [whole])
    assert apart([whole, half], [[half, whole], [half]]) == [0]


def test_boxes_that_are_near_to_each_other_are_paired_whatever_their_rounding() -> None:
    low, high = box(10.49), box(10.51).model_copy(update={"bbox": (10.51, 90.0, 20.0, 20.0)})
    moved = [
        box(10.51),
        high.model_copy(update={"bbox": (10.49, 90.0, 20.0, 20.0)}),
    ]
    assert agree([low, high], moved)


def test_what_another_has_drawn_elsewhere_or_named_otherwise_is_apart() -> None:
    first = [box(10.0), box(50.0), box(90.0)]
    other = [box(90.4), box(50.0, "street lamp"), box(10.6)]

    assert apart(first, [first, other]) == [0, 1]


def test_an_empty_version_sets_everything_apart() -> None:
    assert apart([box(10.0)], [[box(10.0)], []]) == [0]
    assert apart([], [[box(10.0)]]) == []
