"""Networks in 8-bit numbers: made on frames, refused where they are far off, and checked."""

import dataclasses
import hashlib
import io
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from services.contracts.errors import InvalidSettings, UnfitInt8
from services.embedder.embedder import Boxes, FrameVectors
from services.embedder.models.backbones import backbone_named
from services.embedder.models.int8 import Card, written
from services.embedder.models.openvino_files import OpenVinoFiles
from services.embedder.models.torch_embedder import TorchEmbedder
from services.embedder.training import calibration
from services.embedder.training.calibration import Plan, parted, write_calibrated
from services.embedder.training.labelled import LabelledFrame, LabelledObject
from services.runtime.images import ImageLimits
from services.runtime.settings import Settings
from tests.unit.embedder.networks import untrained

PLAN = Plan("a street", frames=12)
LIMITS = ImageLimits.of(Settings())
COLOURS = {"stop": (220, 30, 30), "go": (30, 200, 60)}


def picture(number: int) -> Image.Image:
    coarse = np.random.default_rng(number).integers(40, 200, (6, 10, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((160, 96), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    draw.rectangle((8, 16, 70, 78), fill=COLOURS["stop"])
    draw.ellipse((88, 16, 150, 78), fill=COLOURS["go"])
    return image


def content(number: int) -> bytes:
    file = io.BytesIO()
    picture(number).save(file, "PNG")
    return file.getvalue()


def frame(number: int) -> LabelledFrame:
    objects = LabelledObject("stop", (8, 16, 62, 62)), LabelledObject("go", (88, 16, 62, 62))
    return LabelledFrame(
        f"f{number:02d}", f"d{number:02d}", partial(content, number), LIMITS, objects
    )


FRAMES = [frame(number) for number in range(12)]


def _ignored(count: int) -> None:
    assert count == 1


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The smallest convolutional network, whose weights are drawn, and which bears 8 bits."""
    weights = tmp_path_factory.mktemp("weights") / "network.safetensors"
    save_file(untrained(backbone_named("conv_ae"), seed=2).state_dict(), weights)
    return Settings(embedder="conv_ae", weights=weights)


@pytest.fixture(scope="module")
def made(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("int8") / "network.int8"
    write_calibrated(settings, FRAMES, PLAN, target, _ignored)
    return target


def in_8_bits(settings: Settings, file: Path | None, sha256: str = "") -> Settings:
    update = {"embed_precision": "int8", "embed_int8": file, "embed_int8_sha256": sha256}
    return settings.model_copy(update=update)


def looked(settings: Settings) -> FrameVectors:
    boxes = np.array([labelled_object.box for labelled_object in frame(90).objects], np.float64)
    return TorchEmbedder.of(settings).embed([picture(90)], [boxes])[0]


def test_what_is_calibrated_embeds_nearly_as_in_full_precision(
    settings: Settings, made: Path
) -> None:
    exact, rough = looked(settings), looked(in_8_bits(settings, made))

    assert float(exact.frame @ rough.frame) > 0.998
    assert float((exact.regions * rough.regions).sum(axis=1).min()) > 0.998
    assert not np.array_equal(exact.frame, rough.frame)


def test_the_card_says_what_was_measured_and_on_what(settings: Settings, made: Path) -> None:
    card = json.loads(made.with_suffix(".json").read_bytes())

    with ZipFile(made) as archive:
        within = json.loads(archive.read("card.json"))
        network = archive.read("network.xml") + archive.read("network.bin")
    assert card == {**within, "file_sha256": hashlib.sha256(made.read_bytes()).hexdigest()}
    assert card["sha256"] == hashlib.sha256(network).hexdigest()
    assert card["data"] == {
        "source": "a street",
        "frames": 6,
        "frames_held_out": 6,
        "drives_held_out": 6,
        "unreadable_frames": 0,
        # Two objects, each looked at twice.
        "pictures": 6 + 6 * 2 * 2,
    }
    assert card["measured"]["frames"]["count"] == 6
    assert card["measured"]["regions"]["count"] == 12
    assert 0.998 <= card["measured"]["regions"]["least"] <= card["measured"]["regions"]["mean"]
    assert card["network_sha256"].startswith(TorchEmbedder.of(settings).model_id.split("-")[-1])


def test_the_identity_names_precision_and_network(settings: Settings, made: Path) -> None:
    card = json.loads(made.with_suffix(".json").read_bytes())

    exact = TorchEmbedder.of(settings).model_id
    rough = TorchEmbedder.of(in_8_bits(settings, made)).model_id

    assert rough == f"{exact}-int8-{card['sha256'][:8]}"


def test_calibrated_on_other_frames_it_is_another_model(
    settings: Settings, made: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.int8"
    write_calibrated(settings, FRAMES, dataclasses.replace(PLAN, seed=5), other, _ignored)

    one, another = (TorchEmbedder.of(in_8_bits(settings, file)) for file in (made, other))

    assert one.model_id != another.model_id


def test_a_network_that_does_not_bear_it_is_refused_with_its_figures(tmp_path: Path) -> None:
    """SqueezeNet is the default, and OpenVINO computes it wrongly in 8 bits."""
    target = tmp_path / "squeeze.int8"

    with pytest.raises(
        UnfitInt8, match=r"squeezenet1_0 loses too much with 8 bits.*0\.998 is required"
    ):
        write_calibrated(Settings(), FRAMES, PLAN, target, _ignored)

    assert not target.exists()


def test_what_a_search_would_lose_is_refused_too(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "MAX_MAP_LOSS", -1.0)

    with pytest.raises(UnfitInt8, match=r"mAP changes from .* to .*"):
        write_calibrated(settings, FRAMES, PLAN, tmp_path / "lost.int8", _ignored)


def test_a_file_that_was_tampered_with_is_refused(
    settings: Settings, made: Path, tmp_path: Path
) -> None:
    content = bytearray(made.read_bytes())
    with ZipFile(made) as archive:
        values = archive.getinfo("network.bin")
    content[values.header_offset + values.file_size // 2] ^= 1
    file = tmp_path / "bent.int8"
    file.write_bytes(content)

    with pytest.raises(UnfitInt8, match="damaged"):
        TorchEmbedder.of(in_8_bits(settings, file))


def test_a_network_that_is_not_its_cards_is_refused(
    settings: Settings, made: Path, tmp_path: Path
) -> None:
    """Put together anew, so that the zip's own checksums are right."""
    file = tmp_path / "swapped.int8"
    with ZipFile(made) as archive, ZipFile(file, "w") as other:
        for name in archive.namelist():
            content = archive.read(name)
            other.writestr(name, content[:-1] + b"\0" if name == "network.bin" else content)

    with pytest.raises(UnfitInt8, match="not the one of its card"):
        TorchEmbedder.of(in_8_bits(settings, file))


def test_a_network_that_openvino_cannot_read_is_named(
    settings: Settings, made: Path, tmp_path: Path
) -> None:
    with ZipFile(made) as archive:
        card = Card.model_validate_json(archive.read("card.json"))
    cut = OpenVinoFiles(b"<net", b"")
    file = tmp_path / "cut.int8"
    file.write_bytes(written(cut, card.model_copy(update={"sha256": cut.sha256})))

    with pytest.raises(UnfitInt8, match=r"OpenVINO .* cannot read"):
        TorchEmbedder.of(in_8_bits(settings, file))


def test_the_files_sha256_is_checked_where_it_is_set(settings: Settings, made: Path) -> None:
    right = hashlib.sha256(made.read_bytes()).hexdigest()

    TorchEmbedder.of(in_8_bits(settings, made, right.upper()))
    with pytest.raises(UnfitInt8, match=f"{right}, not {'0' * 64}"):
        TorchEmbedder.of(in_8_bits(settings, made, "0" * 64))


def test_it_is_of_one_network_only(settings: Settings, made: Path) -> None:
    with pytest.raises(UnfitInt8, match=r"made of conv_ae.*not of squeezenet1_0"):
        TorchEmbedder.of(in_8_bits(Settings(), made))
    gem = settings.model_copy(update={"pooling": "gem"})
    with pytest.raises(UnfitInt8, match=r"by average.*by gem"):
        TorchEmbedder.of(in_8_bits(gem, made))


def test_objects_too_small_to_be_seen_are_none(settings: Settings, tmp_path: Path) -> None:
    dots = LabelledObject("stop", (8, 16, 2, 2)), LabelledObject("go", (88, 16, 2, 2))
    frames = [dataclasses.replace(frame, objects=dots) for frame in FRAMES]

    with pytest.raises(InvalidSettings, match="no category"):
        write_calibrated(settings, frames, PLAN, tmp_path / "dots.int8", _ignored)


@pytest.mark.parametrize("content", [None, b"", b"PK\3\4 and no more"])
def test_a_file_that_is_none_is_named(
    settings: Settings, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "none.int8"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(UnfitInt8, match=r"none\.int8"):
        TorchEmbedder.of(in_8_bits(settings, file))


def test_int8_without_a_file_or_by_torch_is_a_wrong_setting(settings: Settings, made: Path) -> None:
    with pytest.raises(UnfitInt8, match="GAZELOOP_EMBED_INT8"):
        TorchEmbedder.of(in_8_bits(settings, None))
    by_torch = in_8_bits(settings, made).model_copy(update={"embed_runtime": "torch"})
    with pytest.raises(InvalidSettings, match="OpenVINO alone"):
        TorchEmbedder.of(by_torch)


def test_no_drive_is_both_calibrated_and_measured_on() -> None:
    frames = [dataclasses.replace(frame, drive=frame.drive[:2]) for frame in FRAMES]

    learnt, held = parted([*frames, *FRAMES], Plan("a street", frames=20, held_out=0.3))

    assert len(learnt) + len(held) == 20
    assert {item.drive for item in learnt}.isdisjoint(item.drive for item in held)
    assert min(len(learnt), len(held)) > 0


def test_frames_that_cannot_be_read_are_counted(settings: Settings, tmp_path: Path) -> None:
    cut = FRAMES[11].content()[:-99]
    frames = [*FRAMES[:11], dataclasses.replace(FRAMES[11], content=lambda: cut)]
    made = write_calibrated(settings, frames, PLAN, tmp_path / "some.int8", _ignored)

    assert made.card.data.unreadable_frames == 1
    assert made.card.measured.frames.count + made.card.data.pictures // 5 == 11


def test_frames_are_decoded_and_their_boxes_scaled_as_the_service_does(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[tuple[int, int], list[list[float]]]] = []

    class Watched(TorchEmbedder):
        def embed(
            self, images: Sequence[Image.Image], boxes: Sequence[Boxes]
        ) -> list[FrameVectors]:
            sizes = [image.size for image in images]
            shown.extend(zip(sizes, [box.tolist() for box in boxes], strict=True))
            return super().embed(images, boxes)

    def large(number: int) -> bytes:
        file = io.BytesIO()
        picture(number).resize((1760, 1056)).save(file, "JPEG")
        return file.getvalue()

    monkeypatch.setattr(calibration, "TorchEmbedder", Watched)
    objects = tuple(
        LabelledObject(category, (left, 176, 682, 682))
        for category, left in (("stop", 88), ("go", 968))
    )
    frames = [
        dataclasses.replace(frame, content=partial(large, number), objects=objects)
        for number, frame in enumerate(FRAMES)
    ]
    on_maps = settings.model_copy(update={"region_encoder": "roi"})

    write_calibrated(on_maps, frames, PLAN, tmp_path / "roi.int8", _ignored)

    assert len(shown) == 6 + 2 * 6
    for size, boxes in shown:
        assert size == (880, 528)
        assert sorted(boxes) == [[44, 88, 341, 341], [484, 88, 341, 341]]


def test_where_nothing_is_alike_nobody_could_say_what_is_lost(
    settings: Settings, tmp_path: Path
) -> None:
    frames = [
        dataclasses.replace(frame, objects=(LabelledObject(frame.frame_id, (8, 16, 62, 62)),))
        for frame in FRAMES
    ]

    with pytest.raises(InvalidSettings, match="give more drives"):
        write_calibrated(settings, frames, PLAN, tmp_path / "alone.int8", _ignored)
