"""What a detector's category names stand for."""

from services.contracts.identity import Category
from services.domain.detection.category_map import SAME_NAMES, CategoryMap, effective_map
from tests.samples import detection, predictions_made

SIGN, HALT, CAR = Category("stop sign"), Category("halt"), Category("car")
STOP, OTHER = Category("stop_sign"), Category("other")
MAP = CategoryMap({STOP: SIGN, HALT: SIGN, CAR: None}, 3)


def test_detections_are_renamed_or_left_out_and_keep_their_ids() -> None:
    made = predictions_made(*(detection(name) for name in (STOP, CAR, OTHER, HALT)))
    named, ids = MAP.named(made), made.region_ids()
    assert [found.category for found in named.predictions.detections] == [SIGN, OTHER, SIGN]
    assert named.regions == [ids[0], ids[2], ids[3]]


def test_predictions_without_a_listed_name_are_taken_as_they_are() -> None:
    made = predictions_made(detection(OTHER))
    assert MAP.named(made).predictions is made
    assert SAME_NAMES.named(made).regions == made.region_ids()


def test_a_category_is_predicted_by_its_own_name_unless_that_stands_for_another() -> None:
    assert MAP.predicted_as(SIGN) == [HALT, SIGN, STOP]
    assert MAP.predicted_as(STOP) == []
    assert MAP.predicted_as(CAR) == []
    assert MAP.predicted_as(OTHER) == [OTHER]


def test_a_version_may_take_a_name_back() -> None:
    effective = effective_map(MAP, CategoryMap({CAR: CAR}, 1))
    assert effective.names[CAR] == CAR
    assert effective.predicted_as(CAR) == [CAR]
    assert effective.revision == MAP.revision + 1
