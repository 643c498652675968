"""The messages in docs/connect-a-detector.md all say the same, each in its format."""

import re
from pathlib import Path

import pytest

from services.ingest.bridge.configuration import READABLE
from tests.unit.ingest.test_bridge import Bench, record

DOCUMENT = (Path(__file__).parents[3] / "docs/connect-a-detector.md").read_text()
PATTERN = r"^`([a-z-]+)`, frame `([^`]+)`[^\n]*\n\n```json\n(.*?)```"
EXAMPLES = {
    name: (frame_id, message)
    for name, frame_id, message in re.findall(PATTERN, DOCUMENT, re.MULTILINE | re.DOTALL)
}


def test_every_format_of_a_topic_has_an_example() -> None:
    assert set(EXAMPLES) == set(READABLE)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
async def test_the_example_is_read_as_the_documentation_says(name: str, tmp_path: Path) -> None:
    frame_id, message = EXAMPLES[name]
    names = tmp_path / "classes.txt"
    names.write_text("stop sign\n")
    needed = name in {"mmdetection", "ultralytics-predictions"}
    bench = Bench(
        bridge_format=name,
        bridge_frame_id=frame_id,
        bridge_class_names=str(names) if needed else "",
    )
    # Producers also use keys to choose partitions: they name no frame unless they are asked for.
    key = b"vehicle-7:001" if frame_id == "{key}" else b"vehicle-7"
    await bench.consume(record(message.encode(), key=key))
    assert not bench.letters
    (made,) = bench.made
    assert made.frame_id == "vehicle-7:001"
    (found,) = made.detections
    assert (found.category, found.score) == ("stop sign", 0.875)
    assert found.bbox == pytest.approx((40, 60, 32, 32))
