"""Front views of objects: one image with transparency per kind and variant."""

import math
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from services.survey.world import ObjectKind

SIDE = 192
"""Height of a sprite in pixels, larger than any object on a frame."""

Colour = tuple[int, int, int]
_RED: Colour = (186, 26, 34)
_WHITE: Colour = (240, 240, 236)
_BLACK: Colour = (24, 24, 28)


def _polygon(corners: int, radius: float, turn: float) -> list[tuple[float, float]]:
    middle = SIDE / 2
    angles = [turn + 2 * math.pi * i / corners for i in range(corners)]
    return [(middle + radius * math.cos(a), middle + radius * math.sin(a)) for a in angles]


def _disc(draw: ImageDraw.ImageDraw, radius: float, colour: Colour) -> None:
    low, high = SIDE / 2 - radius, SIDE / 2 + radius
    draw.ellipse((low, low, high, high), fill=colour)


def _write(draw: ImageDraw.ImageDraw, text: str, size: int, colour: Colour, y: float = 0.5) -> None:
    font = ImageFont.load_default(size)
    # A second, shifted pass makes the only font that Pillow ships bold.
    for shift in (-2, 0, 2):
        place = (SIDE / 2 + shift, SIDE * y)
        draw.text(place, text, font=font, fill=colour, anchor="mm")


def _stop_sign(draw: ImageDraw.ImageDraw, _: int) -> None:
    draw.polygon(_polygon(8, 100, math.pi / 8), fill=_WHITE)
    draw.polygon(_polygon(8, 91, math.pi / 8), fill=_RED)
    _write(draw, "STOP", 66, _WHITE)


def _speed_limit(draw: ImageDraw.ImageDraw, variant: int) -> None:
    _disc(draw, 95, _WHITE)
    _disc(draw, 92, _RED)
    _disc(draw, 68, _WHITE)
    _write(draw, ("30", "50", "70", "30")[variant], 88, _BLACK)


def _yield(draw: ImageDraw.ImageDraw, _: int) -> None:
    draw.polygon([(2, 14), (SIDE - 2, 14), (SIDE / 2, SIDE - 8)], fill=_RED)
    draw.polygon([(40, 36), (SIDE - 40, 36), (SIDE / 2, SIDE - 54)], fill=_WHITE)


def _traffic_light(draw: ImageDraw.ImageDraw, variant: int) -> None:
    draw.rounded_rectangle((56, 2, SIDE - 56, SIDE - 2), radius=12, fill=_BLACK)
    lamps: tuple[tuple[Colour, Colour], ...] = (
        ((255, 60, 44), (70, 22, 20)),
        ((255, 190, 40), (72, 54, 16)),
        ((70, 255, 150), (16, 62, 34)),
    )
    lit = (0, 2, 1, 2)[variant]
    for i, (bright, dim) in enumerate(lamps):
        y = 36 + 60 * i
        draw.ellipse((73, y - 23, 119, y + 23), fill=bright if i == lit else dim)
        draw.arc((71, y - 26, 121, y + 20), 190, 350, fill=(60, 60, 64), width=4)


def _billboard(draw: ImageDraw.ImageDraw, variant: int) -> None:
    _disc(draw, 95, (206, 30, 36))
    _disc(draw, 84, (214, 40, 44))
    if variant % 2:
        draw.polygon([(20, 120), (60, 76), (110, 92), (172, 60), (130, 118), (80, 108)], _WHITE)
    else:
        points = _polygon(10, 62, -math.pi / 2)
        inner = _polygon(10, 26, -math.pi / 2)
        star = [points[i] if i % 2 == 0 else inner[i] for i in range(10)]
        draw.polygon(star, fill=(250, 214, 70))
    _write(draw, ("SALE", "Cola", "FRISCH", "Bio")[variant], 34, _WHITE, 0.8)


def _shop_lamp(draw: ImageDraw.ImageDraw, variant: int) -> None:
    draw.rectangle((88, 0, 104, 26), fill=_BLACK)
    draw.polygon([(60, 26), (132, 26), (146, 54), (46, 54)], fill=(48, 40, 34))
    glow: Colour = ((255, 196, 96), (255, 150, 70), (255, 224, 150), (250, 170, 90))[variant]
    draw.rounded_rectangle((54, 54, 138, 158), radius=16, fill=glow)
    draw.ellipse((72, 76, 120, 136), fill=(255, 250, 226))
    for x in (54, 92, 134):
        draw.rectangle((x, 54, x + 5, 158), fill=(48, 40, 34))
    draw.polygon([(54, 158), (138, 158), (112, 190), (80, 190)], fill=(48, 40, 34))


def _price_tag(draw: ImageDraw.ImageDraw, variant: int) -> None:
    _disc(draw, 95, (232, 140, 30))
    _disc(draw, 78, (252, 246, 214))
    _write(draw, ("-20%", "1.99", "-50%", "2.49")[variant], 54, _RED)
    draw.line((44, 132, 148, 132), fill=_RED, width=6)


_PAINTERS = {
    ObjectKind.STOP_SIGN: _stop_sign,
    ObjectKind.SPEED_LIMIT: _speed_limit,
    ObjectKind.YIELD: _yield,
    ObjectKind.TRAFFIC_LIGHT: _traffic_light,
    ObjectKind.BILLBOARD: _billboard,
    ObjectKind.SHOP_LAMP: _shop_lamp,
    ObjectKind.PRICE_TAG: _price_tag,
}


@cache
def sprite(kind: ObjectKind, variant: int) -> Image.Image:
    """The image of an upright object, cropped to its opaque part."""
    image = Image.new("RGBA", (SIDE, SIDE), (128, 128, 128, 0))
    _PAINTERS[kind](ImageDraw.Draw(image), variant)
    return image.crop(image.getbbox(alpha_only=True))


@cache
def tree(variant: int) -> Image.Image:
    """A crown on a trunk."""
    image = Image.new("RGBA", (SIDE, SIDE), (60, 90, 50, 0))
    draw = ImageDraw.Draw(image)
    draw.rectangle((88, 110, 104, SIDE), fill=(74, 58, 44))
    for i in range(46):
        angle, reach = 2.4 * i + variant, 9.4 * math.sqrt(i)
        x = 96 + reach * math.cos(angle) * (0.95 + 0.05 * variant)
        y = 76 + 0.95 * reach * math.sin(angle)
        radius = 17 + (i * 7 + variant * 5) % 9
        shade = 0.72 + 0.36 * ((i * 13 + variant) % 7) / 7 - 0.0016 * (y - 76)
        green = (int(64 * shade), int(104 * shade), int(52 * shade))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=green)
    return image


_PAINTS: tuple[Colour, ...] = (
    (150, 28, 30),
    (38, 60, 104),
    (196, 196, 198),
    (44, 46, 50),
    (214, 210, 200),
    (70, 92, 82),
)


@cache
def car(variant: int) -> Image.Image:
    """A parked car from behind."""
    paint = _PAINTS[variant % len(_PAINTS)]
    dark = (paint[0] // 2, paint[1] // 2, paint[2] // 2)
    image = Image.new("RGBA", (SIDE, SIDE), (60, 60, 60, 0))
    draw = ImageDraw.Draw(image)
    for x in (26, 142):
        draw.rounded_rectangle((x, 140, x + 26, 188), radius=6, fill=_BLACK)
    draw.polygon([(44, 30), (148, 30), (172, 92), (20, 92)], fill=paint)
    draw.polygon([(54, 40), (138, 40), (154, 86), (38, 86)], fill=(52, 64, 74))
    draw.rounded_rectangle((10, 84, 182, 166), radius=14, fill=paint)
    draw.rectangle((14, 138, 178, 160), fill=dark)
    draw.rectangle((76, 116, 116, 130), fill=_WHITE)
    for x in (16, 150):
        draw.rounded_rectangle((x, 98, x + 26, 122), radius=5, fill=(208, 40, 30))
    return image
