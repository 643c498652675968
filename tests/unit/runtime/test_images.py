import io
import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from services.contracts.errors import InvalidImage
from services.runtime.images import ImageLimits, decode_rgb, decode_scaled, inspect, measure

LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=1_000_000)


def picture(mode: str = "RGB", size: tuple[int, int] = (37, 23)) -> Image.Image:
    noise = np.random.default_rng(7).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size).convert(mode)


def saved(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int, height: int, depth: int, colour: int, rows: bytes, *, interlaced: int = 0
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def reason(content: bytes, limits: ImageLimits = LIMITS) -> str:
    with pytest.raises(InvalidImage) as caught:
        inspect(content, limits)
    with pytest.raises(InvalidImage):
        decode_rgb(content, limits)
    return caught.value.reason


FILES = {
    "jpeg": saved(picture()),
    "jpeg_gray": saved(picture("L")),
    "jpeg_cmyk": saved(picture("CMYK")),
    "jpeg_progressive": saved(picture(), progressive=True),
    "jpeg_restarts": saved(picture(), restart_marker_rows=1),
    "png": saved(picture(), "PNG"),
    "png_rgba": saved(picture("RGBA"), "PNG"),
    "png_palette": saved(picture("P"), "PNG", transparency=bytes(range(256))),
    "png_gray_alpha": saved(picture("LA"), "PNG"),
    "png_bits": saved(picture("1"), "PNG"),
}


@pytest.mark.parametrize("name", FILES)
def test_pixels_are_those_of_a_plain_decode(name: str) -> None:
    with warnings.catch_warnings(action="ignore"):
        expected = Image.open(io.BytesIO(FILES[name])).convert("RGB")

    decoded = decode_rgb(FILES[name], LIMITS)

    assert decoded.mode == "RGB"
    assert np.array_equal(np.asarray(decoded), np.asarray(expected))
    assert measure(FILES[name], LIMITS) == inspect(FILES[name], LIMITS)
    assert inspect(FILES[name], LIMITS)[:3] == (f"image/{name.partition('_')[0]}", 37, 23)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_is_truncated(name: str) -> None:
    content = FILES[name]

    assert {reason(content[:end]) for end in range(1, len(content))} == {"truncated_image"}


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_of_sixteen_bits_the_upper_eight_are_kept(colour: int) -> None:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    values = np.random.default_rng(1).integers(0, 65536, (5, 9, channels)).astype(">u2")
    content = png(9, 5, 16, colour, b"".join(b"\0" + row.tobytes() for row in values))

    shown = np.asarray(decode_rgb(content, LIMITS))

    upper = (values >> 8).astype(np.uint8)[..., : 3 if channels > 2 else 1]
    assert np.array_equal(shown, np.broadcast_to(upper, shown.shape))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("order", [b"II*\0", b"MM\0*"])
def test_a_turned_camera_gives_an_upright_picture(
    orientation: int, kind: str, order: bytes
) -> None:
    exif = Image.Exif()
    exif.endian = "<" if order.startswith(b"II") else ">"
    exif[0x010F] = "maker"
    exif[0x0112] = orientation
    content = saved(picture(), kind, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))

    decoded = decode_rgb(content, LIMITS)

    assert np.array_equal(np.asarray(decoded), np.asarray(expected))
    facts = inspect(content, LIMITS)

    assert (facts.width, facts.height) == decoded.size == expected.size
    assert facts.orientation == orientation


@pytest.mark.parametrize(
    "exif", [b"", b"II", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", b"garbage" * 9]
)
def test_an_unreadable_orientation_is_upright(exif: bytes) -> None:
    content = saved(picture(), exif=b"Exif\0\0" + exif)

    assert inspect(content, LIMITS)[:3] == ("image/jpeg", 37, 23)


def test_a_picture_after_the_first_one_is_not_looked_at() -> None:
    assert inspect(FILES["jpeg"] + FILES["jpeg"][:99], LIMITS)[:3] == ("image/jpeg", 37, 23)


def test_a_bomb_is_refused_by_its_header_and_without_a_warning() -> None:
    rows = b"\0" * 1000
    huge = png(200_000, 200_000, 8, 2, rows)
    wide = saved(picture()).replace(
        struct.pack(">HH", 23, 37), struct.pack(">HH", 65_500, 65_500), 1
    )

    assert reason(huge) == reason(wide) == "too_many_pixels"


def test_a_large_image_is_fine_where_the_limits_say_so() -> None:
    limits = ImageLimits(max_bytes=10_000_000, max_pixels=400_000_000)
    content = saved(Image.new("1", (9_600, 9_600)), "PNG")

    assert inspect(content, limits)[:3] == ("image/png", 9_600, 9_600)


def test_too_many_bytes_are_not_opened() -> None:
    assert reason(FILES["png"], ImageLimits(max_bytes=100, max_pixels=10**6)) == "too_many_bytes"


def test_metadata_that_unpacks_without_end_is_not_unpacked() -> None:
    bomb = png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(50_000_000)))
    content = FILES["png"][:33] + bomb + FILES["png"][33:]

    assert inspect(content, LIMITS)[:3] == ("image/png", 37, 23)


def test_scans_without_end_are_refused() -> None:
    content = saved(picture("L"))
    scan = content.index(b"\xff\xda")

    assert reason(content[:scan] + content[scan:-2] * 101 + b"\xff\xd9") == "too_many_scans"


@pytest.mark.parametrize(
    "content",
    [b"", b"GIF89a" + bytes(99), b"BM" + bytes(99), b"<svg/>", b"%PDF", saved(picture(), "TIFF")],
)
def test_other_formats_are_refused_whatever_they_are_called(content: bytes) -> None:
    assert reason(content) == "unsupported_format"


def test_a_changed_byte_in_a_png_is_noticed() -> None:
    content = bytearray(FILES["png"])
    content[len(content) // 2] ^= 1

    assert reason(bytes(content)) == "invalid_image"


def test_a_png_has_one_header_and_it_comes_first() -> None:
    content = FILES["png"]
    signature, header, rest = content[:8], content[8:33], content[33:]
    long = png_chunk(b"IHDR", header[8:21] + b"\0")

    assert reason(signature + header + header + rest) == "invalid_image"
    assert reason(signature + png_chunk(b"PLTE", b"") + header + rest) == "invalid_image"
    assert reason(signature + long + rest) == "invalid_image"
    assert reason(signature + rest) == "invalid_image"


@pytest.mark.parametrize("rows", [0, 1, 4])
def test_a_png_with_too_few_rows_is_truncated(rows: int) -> None:
    content = png(9, 5, 8, 2, bytes(28) * rows)

    assert reason(content) == "truncated_image"
    assert inspect(png(9, 5, 8, 2, bytes(28) * 5), LIMITS)[:3] == ("image/png", 9, 5)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 1), (8, 8), (37, 23)])
@pytest.mark.parametrize(("depth", "colour"), [(1, 0), (8, 0), (16, 2), (8, 6)])
def test_an_interlaced_png_is_complete_with_exactly_its_passes(
    size: tuple[int, int], depth: int, colour: int
) -> None:
    width, height = size
    bits = depth * {0: 1, 2: 3, 6: 4}[colour]
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)]
    passes += [(0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    grids = [(len(range(x, width, dx)), len(range(y, height, dy))) for x, y, dx, dy in passes]
    length = sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in grids if columns)

    whole, short = (
        png(width, height, depth, colour, bytes(n), interlaced=1) for n in (length, length - 1)
    )

    assert inspect(whole, LIMITS)[:3] == ("image/png", width, height)
    assert reason(short) == "truncated_image"


def test_any_changed_byte_gives_a_picture_or_invalid_image() -> None:
    random = np.random.default_rng(3)
    for name in ("jpeg", "jpeg_progressive", "png_palette"):
        for at in random.integers(2, len(FILES[name]), 150):
            content = bytearray(FILES[name])
            content[at] = int(random.integers(256))
            try:
                decode_rgb(bytes(content), LIMITS)
            except InvalidImage as exc:
                assert exc.reason  # noqa: PT017  # either outcome is right; others are raised


def smooth(mode: str = "RGB", size: tuple[int, int] = (1280, 1100)) -> Image.Image:
    noise = np.random.default_rng(7).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(("shorter", "scale"), [(550, 2), (551, 1), (200, 4), (10, 8)])
def test_a_scaled_jpeg_is_what_averaging_its_pixels_gives(
    mode: str, progressive: bool, shorter: int, scale: int
) -> None:
    content = saved(smooth(mode), progressive=progressive, quality=95)
    limits = ImageLimits(max_bytes=10_000_000, max_pixels=10_000_000)

    scaled = decode_scaled(content, limits, shorter)

    expected = Image.open(io.BytesIO(content)).convert("RGB").reduce(scale)
    off = np.abs(np.asarray(scaled.picture, float) - np.asarray(expected, float))
    assert scaled[1:] == (1280, 1100)
    assert scaled.picture.size == expected.size
    assert off.mean() < 1
    assert off.max() < 24


@pytest.mark.parametrize("name", FILES)
def test_a_picture_that_is_small_already_is_decoded_as_it_is(name: str) -> None:
    scaled = decode_scaled(FILES[name], LIMITS, 20)

    assert np.array_equal(np.asarray(scaled.picture), np.asarray(decode_rgb(FILES[name], LIMITS)))
    assert scaled[1:] == (37, 23)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "1"])
def test_a_png_has_no_scale_of_its_own(mode: str) -> None:
    content = saved(picture(mode), "PNG")

    scaled = decode_scaled(content, LIMITS, 2)

    assert np.array_equal(np.asarray(scaled.picture), np.asarray(decode_rgb(content, LIMITS)))


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_sixteen_bits_are_decoded_as_without_a_scale(colour: int) -> None:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    values = np.random.default_rng(1).integers(0, 65536, (15, 29, channels)).astype(">u2")
    content = png(29, 15, 16, colour, b"".join(b"\0" + row.tobytes() for row in values))

    scaled = decode_scaled(content, LIMITS, 2)

    upper = (values >> 8).astype(np.uint8)[..., : 3 if channels > 2 else 1]
    assert scaled[1:] == scaled.picture.size == (29, 15)
    assert np.array_equal(np.asarray(scaled.picture), np.broadcast_to(upper, (15, 29, 3)))


@pytest.mark.parametrize("name", FILES)
def test_without_a_scale_all_is_decoded(name: str) -> None:
    whole = decode_scaled(FILES[name], LIMITS, None)

    assert np.array_equal(np.asarray(whole.picture), np.asarray(decode_rgb(FILES[name], LIMITS)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_scaled_picture_is_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(smooth(size=(440, 320)), exif=exif, quality=95)

    scaled = decode_scaled(content, LIMITS, 160)

    expected = decode_rgb(content, LIMITS)
    off = np.abs(np.asarray(scaled.picture, float) - np.asarray(expected.reduce(2), float))
    assert scaled[1:] == expected.size
    assert off.mean() < 1


@pytest.mark.parametrize("name", ["jpeg", "jpeg_progressive", "png"])
def test_a_cut_file_is_truncated_at_any_scale(name: str) -> None:
    for end in range(1, len(FILES[name]), 7):
        with pytest.raises(InvalidImage) as caught:
            decode_scaled(FILES[name][:end], LIMITS, 4)
        assert caught.value.reason == "truncated_image"


def test_a_bomb_is_refused_at_any_scale() -> None:
    with pytest.raises(InvalidImage, match="pixels"):
        decode_scaled(FILES["jpeg"], ImageLimits(max_bytes=10**6, max_pixels=500), 4)


def peak_bytes(content: bytes) -> tuple[str | None, int]:
    found: str | None = None
    tracemalloc.start()
    try:
        inspect(content, ImageLimits(max_bytes=30_000_000, max_pixels=50_000_000))
    except InvalidImage as exc:
        found = exc.reason
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return found, peak


def test_millions_of_markers_or_chunks_are_refused_in_little_memory() -> None:
    markers = b"\xff\xd8" + b"\xff\xd0" * 12_000_000 + b"\xff\xd9"
    empty = png_chunk(b"IDAT", b"")
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    chunks = b"\x89PNG\r\n\x1a\n" + header + empty * 2_000_000 + png_chunk(b"IEND", b"")
    for content in (markers, chunks):
        found, peak = peak_bytes(content)
        assert found == "too_many_parts"
        assert peak < 16_000_000


def test_padding_before_a_marker_takes_no_memory() -> None:
    found, peak = peak_bytes(b"\xff\xd8" + b"\xff" * 20_000_000)
    assert found == "truncated_image"
    assert peak < 1_000_000


def test_a_picture_of_one_column_and_millions_of_rows_is_refused() -> None:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 50_000_000, 8, 0, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    found, peak = peak_bytes(content)
    assert found == "too_many_pixels"
    assert peak < 1_000_000
