"""Draws a needle and its best candidates on one picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from services.contracts.events import Rle
from services.contracts.identity import Box
from services.domain.detection.mask_shapes import pixels

COLUMNS, MAX_TILES = 5, 10
"""Candidates are drawn in two rows of five."""

_TILE = (296, 168)
_NEEDLE = (560, 318)
_GAP, _LINE, _HEADER = 14, 15, 34
_CAPTION = 3 * _LINE + 6
_ZOOM = 0.36
"""Side length of the magnified region, as a share of its tile's width."""
_OPACITY = 90
"""Of a mask, of 255."""

Colour = tuple[int, int, int]
_PAPER: Colour = (250, 250, 248)
_INK: Colour = (34, 36, 40)
_FAINT: Colour = (110, 114, 120)
_WRONG: Colour = (196, 30, 40)
_RIGHT: Colour = (20, 130, 70)


@dataclass(frozen=True)
class _Pen:
    """How a box is outlined; predictions are dashed, so that ground truth shows below them."""

    colour: Colour
    width: int
    dashed: bool


_PREDICTED = _Pen((255, 0, 200), 2, dashed=True)
_OTHER = _Pen((255, 170, 40), 1, dashed=True)
_TRUTH = _Pen((30, 220, 90), 2, dashed=False)


@dataclass(frozen=True)
class Tile:
    """A frame with the region to be shown.

    Parameters
    ----------
    region : the needle's or candidate's box
    others : the detector's other boxes on the frame
    truths : the ground truth's boxes
    caption : lines of text; the first is the headline
    wrong : whether the region is a false positive; None if unknown
    mask : the region's, if it has one
    truth_masks : of those objects of the ground truth that have masks
    """

    image: Image.Image
    region: Box
    others: Sequence[Box]
    truths: Sequence[Box]
    caption: Sequence[str]
    wrong: bool | None = None
    mask: Rle | None = None
    truth_masks: Sequence[Rle] = ()


def montage(title: str, needle: Tile, found: Sequence[Tile]) -> Image.Image:
    """Draw the needle on the left and its ten best candidates on the right, best first."""
    found = found[:MAX_TILES]
    rows = max(math.ceil(len(found) / COLUMNS), 1)
    row_height = _TILE[1] + _CAPTION + _GAP
    height = _HEADER + _GAP + max(rows * row_height, _NEEDLE[1] + _CAPTION + 2 * _LINE + _GAP)
    right = _NEEDLE[0] + 3 * _GAP
    sheet = Image.new("RGB", (right + COLUMNS * (_TILE[0] + _GAP), height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), title, font=_font(18), fill=_INK)
    _legend(draw, sheet.width)
    top = _HEADER + _GAP
    _put(sheet, needle, (_GAP, top), _NEEDLE)
    draw.line((right - _GAP, top, right - _GAP, height - _GAP), fill=(214, 214, 210), width=2)
    for place, tile in enumerate(found):
        x = right + place % COLUMNS * (_TILE[0] + _GAP)
        _put(sheet, tile, (x, top + place // COLUMNS * row_height), _TILE)
    return sheet


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _legend(draw: ImageDraw.ImageDraw, right: int) -> None:
    entries = (
        ("this prediction", _PREDICTED),
        ("other predictions", _OTHER),
        ("ground truth", _TRUTH),
    )
    x = right - 470
    for text, pen in entries:
        _line(draw, (x, _GAP + 9, x + 26, _GAP + 9), replace(pen, width=3))
        draw.text((x + 32, _GAP + 1), text, font=_font(13), fill=_FAINT)
        x += 160


def _put(sheet: Image.Image, tile: Tile, corner: tuple[int, int], size: tuple[int, int]) -> None:
    """The frame scaled to fit `size`, with its region magnified next to it or in its corner."""
    tile = _tinted(tile)
    left, top = corner
    scale = min(size[0] / tile.image.width, size[1] / tile.image.height)
    shown = (max(round(tile.image.width * scale), 1), max(round(tile.image.height * scale), 1))
    picture = tile.image.resize(shown, Image.Resampling.LANCZOS, reducing_gap=2.0)
    draw = ImageDraw.Draw(picture)
    for box in tile.others:
        _box(draw, box, scale, _OTHER)
    for box in tile.truths:
        _box(draw, box, scale, _TRUTH)
    _box(draw, tile.region, scale, _PREDICTED)
    sheet.paste((228, 228, 224), (left, top, left + size[0], top + size[1]))
    side = round(size[0] * _ZOOM)
    free = size[0] - shown[0]
    if free > side:  # a portrait frame leaves room next to it
        side = min(free, size[1])
        sheet.paste(picture, (left, top))
        sheet.paste(_magnified(tile, side), (left + size[0] - side, top + (size[1] - side) // 2))
    else:
        if _reach(tile) * 2 * scale < side:
            # The corner away from the region, so that the zoom does not hide it.
            on_right = (tile.region[0] + tile.region[2] / 2) * scale > shown[0] / 2
            place = (0 if on_right else shown[0] - side, shown[1] - side)
            picture.paste(_magnified(tile, side), place)
        sheet.paste(picture, (left + free // 2, top + (size[1] - shown[1]) // 2))
    _caption(ImageDraw.Draw(sheet), tile, (left, top + size[1] + 4), size[0])


def _tinted(tile: Tile) -> Tile:
    """The tile with its masks painted over its image."""
    masks = [(mask, _TRUTH.colour) for mask in tile.truth_masks]
    masks += [(tile.mask, _PREDICTED.colour)] if tile.mask is not None else []
    # Of another size, a mask could need more memory than the image's limits allow.
    fitting = [item for item in masks if item[0].size == (tile.image.height, tile.image.width)]
    if not fitting:
        return tile
    image = tile.image.copy()
    for mask, colour in fitting:
        opacity = Image.fromarray(pixels(mask).astype(np.uint8) * _OPACITY)
        image.paste(colour, (0, 0), opacity)
    return replace(tile, image=image)


def _reach(tile: Tile) -> float:
    """Half the side of the magnified part, in pixels of the frame."""
    return max(tile.region[2], tile.region[3], 12.0) * 0.8


def _caption(draw: ImageDraw.ImageDraw, tile: Tile, corner: tuple[int, int], width: int) -> None:
    x, y = corner
    verdict = {None: _INK, True: _WRONG, False: _RIGHT}[tile.wrong]
    if tile.wrong is not None:
        draw.rectangle((x, y - 3, x + width - 1, y - 1), fill=verdict)
    big = width > _TILE[0]
    for place, text in enumerate(filter(None, tile.caption)):
        font = _font((16 if big else 13) if place == 0 else (14 if big else 12))
        draw.text((x, y + 1), _fitted(text, font, width), verdict if place == 0 else _FAINT, font)
        y += _LINE + (5 if big else 0)


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _magnified(tile: Tile, side: int) -> Image.Image:
    x, y, width, height = tile.region
    reach = _reach(tile)
    # At most the frame's size, and moved inwards at its edges, so that no part is black.
    edge = max(min(round(2 * reach), tile.image.width, tile.image.height), 1)
    left = min(max(round(x + (width - edge) / 2), 0), tile.image.width - edge)
    top = min(max(round(y + (height - edge) / 2), 0), tile.image.height - edge)
    cut = tile.image.crop((left, top, left + edge, top + edge))
    zoom = cut.resize((side, side), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(zoom)
    for box in tile.truths:
        moved = (box[0] - left, box[1] - top, box[2], box[3])
        _box(draw, moved, side / edge, _TRUTH)
    moved = (x - left, y - top, width, height)
    _box(draw, moved, side / edge, _PREDICTED)
    draw.rectangle((0, 0, side - 1, side - 1), outline=_PAPER, width=2)
    return zoom


def _box(draw: ImageDraw.ImageDraw, box: Box, scale: float, pen: _Pen) -> None:
    x, y, width, height = (edge * scale for edge in box)
    right, bottom = x + width, y + height
    corners = ((x, y), (right, y), (right, bottom), (x, bottom), (x, y))
    for start, end in pairwise(corners):
        _line(draw, (*start, *end), pen)


def _line(draw: ImageDraw.ImageDraw, line: tuple[float, float, float, float], pen: _Pen) -> None:
    if not pen.dashed:
        draw.line(line, fill=pen.colour, width=pen.width)
        return
    x0, y0, x1, y1 = line
    length = math.hypot(x1 - x0, y1 - y0)
    steps = max(round(length / 5), 1)
    for step in range(0, steps, 2):
        a, b = step / steps, min((step + 0.8) / steps, 1.0)
        dash = (x0 + (x1 - x0) * a, y0 + (y1 - y0) * a, x0 + (x1 - x0) * b, y0 + (y1 - y0) * b)
        draw.line(dash, fill=pen.colour, width=pen.width)
