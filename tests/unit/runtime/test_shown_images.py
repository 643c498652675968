"""Pixels that people must not see are gone from what they are given, in every format."""

import ast
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures

import services
from services.contracts.events import Image
from services.domain.redaction import RedactionRule, RedactionStyle, ShownImage
from services.runtime.images import ImageLimits
from services.runtime.settings_reading import load_settings
from services.runtime.shown_images import ShownImages, redaction_rule
from tests.fakes.blobs import InMemoryBlobs

REGION = (10.4, 20.0, 30.0, 16.0)
ROWS, COLUMNS = slice(20, 36), slice(10, 41)
_READERS = {
    "app/backup/images.py": "copies images and compares digests, shows none",
    "app/doctor/blobs.py": "reads back what it wrote",
    "embedder/picture_vectors.py": "embeds the images as they were captured",
    "ingest/api/originals.py": "for tokens that may see originals, audited",
    "runtime/shown_images.py": "the one reader for people",
    "runtime/stores/blobs_fsspec.py": "the store",
    "runtime/stores/timed.py": "the store, measured",
}
"""The modules that read images from the blob store."""


def stored(
    blobs: InMemoryBlobs, form: str, style: RedactionStyle
) -> tuple[ShownImage, Pictures.Image]:
    """A noisy image, of which a region is to be redacted."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    picture = Pictures.fromarray(noise)
    out = BytesIO()
    picture.save(out, form, quality=95)
    uri = blobs.put(out.getvalue())
    image = Image(
        sha256=uri.rpartition("/")[2],
        uri=uri,
        size_bytes=len(out.getvalue()),
        media_type="image/png" if form == "PNG" else "image/jpeg",
        width=80,
        height=60,
    )
    return ShownImage(image, (REGION,), style), picture


def shown_images(blobs: InMemoryBlobs) -> ShownImages:
    return ShownImages(blobs, ImageLimits(10**6, 10**6), RedactionRule())


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_black_region_has_no_pixel_of_the_original(form: str) -> None:
    blobs = InMemoryBlobs()
    shown, _ = stored(blobs, form, RedactionStyle.BLACK)

    content = shown_images(blobs).content(shown)

    picture = Pictures.open(BytesIO(content))
    assert picture.format == form
    assert np.asarray(shown_images(blobs).pixels(shown))[ROWS, COLUMNS].max() == 0
    assert np.asarray(picture)[ROWS, COLUMNS].max() <= (0 if form == "PNG" else 40)


def test_a_blurred_region_keeps_its_average_and_no_detail() -> None:
    blobs = InMemoryBlobs()
    shown, original = stored(blobs, "PNG", RedactionStyle.BLUR)

    after = np.asarray(shown_images(blobs).pixels(shown)).astype(float)
    before = np.asarray(original).astype(float)

    assert after[ROWS, COLUMNS].mean() == pytest.approx(before[ROWS, COLUMNS].mean(), abs=6)
    assert np.abs(np.diff(after[ROWS, COLUMNS], axis=1)).max() < 20
    outside = np.ones((60, 80), np.bool_)
    outside[ROWS, COLUMNS] = False
    assert (after[outside] == before[outside]).all()


def test_an_image_without_such_regions_is_given_byte_for_byte() -> None:
    blobs = InMemoryBlobs()
    shown, _ = stored(blobs, "JPEG", RedactionStyle.BLACK)
    plain = ShownImage(shown.image, (), RedactionStyle.BLACK)

    assert shown_images(blobs).content(plain) == blobs.get(shown.image.uri)


def test_the_rule_is_that_of_the_settings() -> None:
    settings = load_settings(
        redact="face, license plate",
        redact_detector="privacy@2",
        redact_style="blur",
        redact_undetected="show",
    )

    assert redaction_rule(settings) == RedactionRule(
        frozenset({"face", "license plate"}),  # type: ignore[arg-type]  # categories are texts
        "privacy@2",
        RedactionStyle.BLUR,
        hides_undetected=False,
    )


def test_no_other_module_reads_images_from_the_blob_store() -> None:
    root = Path(services.__file__).parent
    readers = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if any(_reads_blobs(node) for node in ast.walk(ast.parse(path.read_text())))
    }

    assert readers == set(_READERS), "read images by ShownImages, which redacts them"


def _reads_blobs(node: ast.AST) -> bool:
    """Whether this is `get` of something that is named after blobs: called, or handed on."""
    if not (isinstance(node, ast.Attribute) and node.attr == "get"):
        return False
    owner = node.value
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    return name.lstrip("_") in {"blobs", "blob_store", "store"}
