"""FiftyOne opens what `export --format fiftyone` writes, from real stores."""

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_codec

from services.annotation.fiftyone_export import FiftyOneExport
from services.contracts.events import Rle
from services.contracts.identity import FrameId, ModelId, frame_point_id, region_point_id
from services.domain.ports.frames import FrameRecord
from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS, Point, collection_of
from services.domain.splits import SplitRule
from services.runtime.settings import Settings
from services.runtime.shown_images import ShownImages
from tests.deploy.checking import missing
from tests.fakes.vectors import InMemoryVectors
from tests.integration.review.conftest import Browser

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".fiftyone/bin/python"
MODEL = ModelId("test-8d")
FRAMES = 3 * 5
"""Three needles' frames, and four candidates of each."""
SHOWN = """
import json, runpy, sys
sys.argv[1:] = ["gazeloop"]
runpy.run_path("load.py", run_name="__main__")
import fiftyone as fo
from fiftyone import ViewField
dataset = fo.load_dataset("gazeloop")
(field,) = [name for name in dataset.get_field_schema() if name.startswith("ods")]
needles = dataset.filter_labels(field, ViewField("tags").contains("needle"))
first = needles.first()
similar = dataset.sort_by_similarity(first.id, k=2, brain_key="frames")
regions = dataset.load_brain_results("regions_" + field)
print(json.dumps({
    "samples": len(dataset),
    "field": field,
    "needles": needles.values("frame_id"),
    "tags": dataset.count_sample_tags(),
    "label": first[field].detections[0].label,
    "box": first[field].detections[0].bounding_box,
    "masks": [d.mask.tolist() for s in needles for d in s[field].detections if d.has_mask],
    "truths": dataset.count("ground_truth"),
    "size": [first.metadata, len(open(first.filepath, "rb").read())][1],
    "runs": sorted(dataset.list_brain_runs()),
    "similar": similar.values("frame_id"),
    "regions": int(regions.total_index_size),
}))
"""


async def mask_left_half(ana: Browser, record: FrameRecord) -> None:
    """Give the frame's first detection a mask: the left half of its box."""
    (made,) = record.predictions.values()
    first = made.detections[0]
    x, y, width, height = map(int, first.bbox)
    shape = np.zeros((120, 160), np.uint8, order="F")
    shape[y : y + height, x : x + width // 2] = 1
    counts = mask_codec.encode(shape)["counts"].decode()
    masked = first.model_copy(update={"mask": Rle(size=shape.shape, counts=counts)})
    detections = (masked, *made.detections[1:])
    changed = {"revision": made.revision + 1, "detections": detections}
    await ana.world.stores.frames.record([made.model_copy(update=changed)])


async def written(ana: Browser, folder: Path) -> int:
    """Export the world, in which each frame's vector is its number's."""
    stores, vectors = ana.world.stores, InMemoryVectors()
    ids = await stores.frame_ids.captured()
    await mask_left_half(ana, (await stores.frames.load(ids))[FrameId("r000")])
    records = await stores.frames.load(ids)
    names = {kind: collection_of(kind, MODEL) for kind in (FRAME_VECTORS, REGION_VECTORS)}
    for collection in names.values():
        await vectors.ensure(collection, 8, keywords=(), numbers=())
    await vectors.alias(names)
    rng = np.random.default_rng(0)

    def point(point_id: Any) -> Point:
        return Point(point_id, rng.normal(size=8).astype(np.float32), {})

    for record in records.values():
        await vectors.upsert(names[FRAME_VECTORS], [point(frame_point_id(MODEL, record.frame_id))])
        regions = [r for made in record.predictions.values() for r in made.region_ids()]
        # The second detection of each frame has no vector, as where its score is low.
        some = [point(region_point_id(MODEL, region)) for region in regions[:1]]
        await vectors.upsert(names[REGION_VECTORS], some)
    images = ShownImages.of(stores.blobs, Settings())
    export = FiftyOneExport(stores, vectors, images, SplitRule(0.1), folder)
    counts = await export.write()
    assert counts.unreadable == 0
    assert counts.frames == len(ids)
    return counts.regions_with_vector


def _run(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PYTHON, "-c", SHOWN],
        cwd=folder,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
    )


async def test_fiftyone_opens_the_frames_labels_needles_and_vectors(
    ana: Browser, mongodb_url: str, tmp_path: Path
) -> None:
    regions = await written(ana, tmp_path / "out")
    if not PYTHON.exists():
        missing("FiftyOne")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "FIFTYONE_DATABASE_URI": mongodb_url,
        "FIFTYONE_DATABASE_NAME": f"fiftyone-{os.getpid()}",
        "FIFTYONE_DATABASE_VALIDATION": "false",
        "FIFTYONE_DO_NOT_TRACK": "true",
    }
    done = await asyncio.to_thread(_run, tmp_path / "out", environment)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(done.stdout.splitlines()[-1])

    assert shown["samples"] == FRAMES
    assert sorted(shown["needles"]) == ["r000", "r001", "r002"]
    assert shown["tags"]["shortlisted"] == FRAMES - 3
    assert shown["label"] == "stop sign"
    assert shown["box"] == pytest.approx([60 / 160, 40 / 120, 24 / 160, 20 / 120])
    assert shown["masks"] == [[[True] * 12 + [False] * 12] * 20]
    assert shown["truths"] > 0
    assert shown["size"] > 0
    assert shown["runs"] == ["frames", f"regions_{shown['field']}"]
    assert shown["similar"][0] == shown["needles"][0]
    assert shown["regions"] == regions == FRAMES


async def test_a_folder_in_use_and_a_stack_without_vectors(ana: Browser, tmp_path: Path) -> None:
    stores, images = ana.world.stores, ana.world.context.images
    export = FiftyOneExport(stores, InMemoryVectors(), images, SplitRule(0.1), tmp_path / "out")
    assert (await export.write()).regions_with_vector == 0
    lines = (tmp_path / "out" / "samples.jsonl").read_text().splitlines()
    assert {json.loads(line)["dimension"] for line in lines} == {None}
    with pytest.raises(Exception, match="not empty"):
        await export.write()
