from uuid import UUID, uuid5

import orjson
from hypothesis import given
from hypothesis import strategies as st

from services.contracts import identity
from services.contracts.identity import Box, Category, DetectorId, FrameId

BOX: Box = (1.0, 2.0, 3.0, 4.0)


def ids(*regions: tuple[str, Box, float], frame: str = "f") -> list[identity.RegionId]:
    named = [(Category(category), box, score) for category, box, score in regions]
    return identity.region_ids(FrameId(frame), DetectorId("d@1"), named)


def test_a_region_keeps_its_id_when_others_come_and_go() -> None:
    (alone,) = ids(("sign", BOX, 0.5))
    _, among_others = ids(("lamp", BOX, 0.9), ("sign", BOX, 0.5))
    assert alone == among_others


def test_exact_repeats_have_ids_of_their_own() -> None:
    first, second, third = ids(*[("sign", BOX, 0.5)] * 3)
    assert len({first, second, third}) == 3


def test_the_same_region_on_another_frame_is_another_region() -> None:
    assert ids(("sign", BOX, 0.5)) != ids(("sign", BOX, 0.5), frame="g")


def test_parts_of_an_identity_do_not_run_together() -> None:
    assert identity.event_id("x", "a", "bc") != identity.event_id("x", "ab", "c")


@given(st.lists(st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 9)))
def test_an_id_is_the_uuid_of_version_5_of_its_parts(parts: list[object]) -> None:
    namespace = UUID("6f0c7f5e-5f0e-5b4e-9a55-6a617a656c70")
    named = orjson.dumps(["event", "x", *parts]).decode()
    assert identity.event_id("x", *parts) == str(uuid5(namespace, named))
