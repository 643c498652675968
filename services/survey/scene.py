"""Render a drive's frames, with the boxes of all objects."""

# ruff: noqa: PLR2004  # a scene is made of figures; naming each would hide the picture

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from services.contracts.identity import Box
from services.survey import sprites
from services.survey.air import develop, light_of
from services.survey.world import FLAT, STEP_M, Building, District, Drive, ObjectKind, Prop, Thing

WIDTH, HEIGHT = 640, 360
FOCAL = 560.0
"""Focal length in pixels, for a horizontal field of view of 60 degrees."""
CAMERA_M = 1.7
NEAREST_M, FARTHEST_M = 3.0, 110.0
MIN_HEIGHT_PX, MIN_FLAT_HEIGHT_PX = 8.0, 4.0
"""Minimum annotated heights of upright objects and of road markings."""

_SCALE = 2  # Paint at twice the size and reduce, which antialiases all edges.
_GREY = (138, 140, 142)

Colour = tuple[int, int, int]
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Sighting:
    """An object on a frame: its kind, box, distance, and whether it is wholly visible."""

    thing: Thing
    bbox: Box
    distance: float

    @property
    def kind(self) -> ObjectKind:
        """What it is."""
        return self.thing.kind


@dataclass(frozen=True)
class Rendered:
    """A frame and all objects on it, including distractors."""

    image: Image.Image
    sightings: tuple[Sighting, ...]


class _Camera:
    """Projects metres (right, up, ahead) to pixels of the painted size."""

    def __init__(self, drive: Drive, index: int) -> None:
        rng = np.random.default_rng([drive.seed, index])
        self.z = STEP_M * index
        self._x = drive.lane + float(rng.normal(0, 0.05))
        self._u = _SCALE * (WIDTH / 2 + float(rng.normal(0, 3)))
        self.horizon = _SCALE * (HEIGHT * 0.5 + float(rng.normal(0, 2)))
        self._focal = _SCALE * FOCAL

    def ahead(self, z: float) -> float:
        return z - self.z

    def at(self, x: float, y: float, z: float) -> tuple[float, float]:
        depth = max(z - self.z, 0.9)
        right = self._u + self._focal * (x - self._x) / depth
        return right, self.horizon - self._focal * (y - CAMERA_M) / depth

    def size(self, metres: float, z: float) -> float:
        return self._focal * metres / max(z - self.z, 0.9)


class _Painter:
    """Paints one frame back to front, hazier with distance."""

    def __init__(self, drive: Drive, index: int) -> None:
        self._drive = drive
        self._light = light_of(drive.weather)
        self.camera = _Camera(drive, index)
        self.image = _sky(drive.seed, self._light.sky, self._light.haze).copy()
        self._draw = ImageDraw.Draw(self.image)

    def _hazed(self, colour: Colour, depth: float) -> Colour:
        share = 1 - math.exp(-max(depth, 0.0) / self._light.sight_m)
        mixed = [round(c + (h - c) * share) for c, h in zip(colour, self._light.haze, strict=True)]
        return mixed[0], mixed[1], mixed[2]

    def _quad(self, corners: list[tuple[float, float, float]], colour: Colour) -> None:
        depth = sum(self.camera.ahead(z) for _, _, z in corners) / len(corners)
        self._draw.polygon([self.camera.at(*c) for c in corners], self._hazed(colour, depth))

    def street(self) -> None:
        start, end = self.camera.z + 1.0, self.camera.z + FARTHEST_M * 3
        verge = (112, 124, 84) if self._drive.district is District.RESIDENTIAL else (128, 124, 118)
        wet = self._light.wet
        road = (74 + wet, 75 + wet, 80 + wet)
        for colour, reach in ((verge, 60.0), ((158, 154, 148), 8.6), ((96, 94, 92), 4.25)):
            self._strip(-reach, reach, start, end, colour)
        self._strip(-4.05, 4.05, start, end, road)
        rng = np.random.default_rng(self._drive.seed)
        for z in np.arange(0, 190, 6.0):
            x, wide, shade = rng.uniform(-3.6, 2), rng.uniform(0.5, 2), int(rng.integers(-9, 10))
            if self.camera.ahead(z) > 1:
                patch = (road[0] + shade, road[1] + shade, road[2] + shade)
                self._strip(x, x + wide, z, z + rng.uniform(1, 5), patch)
        for z in np.arange(-4, 190, 7.0):
            if self.camera.ahead(z) > 0.5:
                self._strip(-0.07, 0.07, float(z), float(z) + 3.2, (206, 206, 200))

    def _strip(self, left: float, right: float, near: float, far: float, colour: Colour) -> None:
        near = max(near, self.camera.z + 1.0)
        quad = [(left, 0.0, near), (right, 0.0, near), (right, 0.0, far), (left, 0.0, far)]
        middle = self.camera.ahead(near + far) / 2 if far - near < 20 else 6.0
        points = [self.camera.at(*corner) for corner in quad]
        self._draw.polygon(points, self._hazed(colour, middle))

    def crossing(self, thing: Thing) -> Points:
        near, far = thing.z, thing.z + thing.height
        worn = 222 - 14 * thing.variant
        for x in np.arange(-3.8, 3.6, 1.0):
            self._strip(float(x), float(x) + 0.52, near, far, (worn, worn, worn - 6))
        return [self.camera.at(x, 0, z) for x in (-3.8, 3.72) for z in (near, far)]

    def hatching(self, thing: Thing) -> Points:
        near, far, yellow = thing.z, thing.z + thing.height, (206, 172, 66)
        for x in np.arange(-3.8, 3.0, 0.9):
            right = min(float(x) + 1.6, 3.72)
            corners = [(x, near), (x + 0.22, near), (right, far), (right - 0.22, far)]
            self._quad([(float(u), 0.0, z) for u, z in corners], yellow)
        for z in (near, far - 0.25):
            self._strip(-3.8, 3.72, z, z + 0.25, yellow)
        return [self.camera.at(x, 0, z) for x in (-3.8, 3.72) for z in (near, far)]

    def building(self, block: Building) -> None:
        x, near = block.side * block.setback, max(block.near, self.camera.z + 1.2)
        if block.far <= near:
            return
        side = 0.9 if block.side > 0 else 1.0
        wall = tuple(int(c * side) for c in block.colour)
        colour = (wall[0], wall[1], wall[2])
        top = block.height
        self._quad([(x, 0, near), (x, top, near), (x, top, block.far), (x, 0, block.far)], colour)
        out = x + block.side * 14
        front = (int(wall[0] * 0.82), int(wall[1] * 0.82), int(wall[2] * 0.82))
        self._quad([(x, 0, near), (x, top, near), (out, top, near), (out, 0, near)], front)
        if self.camera.ahead(block.near) < FARTHEST_M:
            self._windows(block, x, near)

    def _windows(self, block: Building, x: float, near: float) -> None:
        bay = (block.far - block.near) / max(block.bays, 1)
        lit = self._light.windows
        for column in range(block.bays):
            start = block.near + bay * (column + 0.22)
            end = start + bay * 0.56
            if start < near:
                continue
            for storey in range(block.storeys):
                low = 0.9 + 3.1 * storey
                glass = lit if (column * 7 + storey * 3) % 5 < self._light.lit else (62, 72, 84)
                wider = 0.5 if storey == 0 and block.shop is not None else 0.0
                self._pane(x, (start - wider, end + wider), (low, low + 1.6), glass)
        if block.shop is not None:
            sign = [(x, 2.75, near), (x, 3.5, near), (x, 3.5, block.far), (x, 2.75, block.far)]
            self._quad(sign, block.shop)

    def _pane(
        self, x: float, along: tuple[float, float], up: tuple[float, float], colour: Colour
    ) -> None:
        (near, far), (low, high) = along, up
        self._quad([(x, low, near), (x, high, near), (x, high, far), (x, low, far)], colour)

    def pole(self, x: float, top: float, z: float) -> None:
        wide = max(self.camera.size(0.07, z), 1.0)
        (u, low), (_, high) = self.camera.at(x, 0, z), self.camera.at(x, top, z)
        colour = self._hazed(_GREY, self.camera.ahead(z))
        self._draw.rectangle((u - wide / 2, high, u + wide / 2, low), fill=colour)

    def bracket(self, thing: Thing) -> None:
        # An arm from the wall holds shop signs and lamps; they have no pole.
        wall = math.copysign(9.0, thing.x)
        y = thing.y + thing.height * 0.52
        start, end = self.camera.at(thing.x, y, thing.z), self.camera.at(wall, y, thing.z)
        colour = self._hazed((60, 58, 56), self.camera.ahead(thing.z))
        self._draw.line(
            [start, end], fill=colour, width=max(int(self.camera.size(0.06, thing.z)), 1)
        )

    def upright(self, thing: Thing) -> Points:
        picture = _turned(thing)
        high = self.camera.size(thing.height, thing.z)
        wide = high * picture.width / picture.height
        u, v = self.camera.at(thing.x, thing.y, thing.z)
        self._paste(picture, (u - wide / 2, v - high / 2), (wide, high), thing.z)
        return [(u - wide / 2, v - high / 2), (u + wide / 2, v + high / 2)]

    def prop(self, prop: Prop) -> Points:
        if prop.kind == "post":
            self.pole(prop.x, prop.size, prop.z)
            return [(0.0, 0.0)]
        picture = sprites.tree(prop.variant) if prop.kind == "tree" else sprites.car(prop.variant)
        high = self.camera.size(prop.size, prop.z)
        u, v = self.camera.at(prop.x, prop.size, prop.z)
        self._paste(picture, (u - high / 2, v), (high, high), prop.z)
        return [(u - high * 0.42, v + high * 0.06), (u + high * 0.42, v + high * 0.78)]

    def _paste(
        self, picture: Image.Image, place: tuple[float, float], size: tuple[float, float], z: float
    ) -> None:
        wide, high = max(round(size[0]), 1), max(round(size[1]), 1)
        left, top = round(place[0]), round(place[1])
        if left > self.image.width or left + wide < 0 or wide > 900:
            return
        small = picture.resize((wide, high), Image.Resampling.BILINEAR, reducing_gap=2.0)
        share = 1 - math.exp(-self.camera.ahead(z) / self._light.sight_m)
        haze = Image.new("RGB", small.size, self._light.haze)
        colours = Image.blend(small.convert("RGB"), haze, share)
        self.image.paste(colours, (left, top), small.getchannel("A"))


@lru_cache(maxsize=512)
def _turned(thing: Thing) -> Image.Image:
    picture = sprites.sprite(thing.kind, thing.variant)
    wide = max(int(picture.width * thing.squeeze), 1)
    seen = picture.resize((wide, picture.height)).rotate(
        thing.tilt, expand=True, resample=Image.Resampling.BILINEAR
    )
    return seen.crop(seen.getbbox(alpha_only=True))


@lru_cache(maxsize=4)
def _sky(seed: int, top: Colour, bottom: Colour) -> Image.Image:
    rng = np.random.default_rng(seed)
    shares = np.linspace(0, 1, HEIGHT // 2)[:, None]
    column = np.array(top) * (1 - shares) + np.array(bottom) * shares
    lower = np.repeat(column[-1:], HEIGHT - len(column), axis=0)
    pixels = np.concatenate([column, lower]).round().astype(np.uint8)[:, None, :]
    sky = Image.fromarray(pixels).resize((WIDTH * _SCALE, HEIGHT * _SCALE))
    clouds = rng.random((6, 14)).astype(np.float32) ** 2 * 150
    veil = Image.fromarray(clouds.astype(np.uint8)).resize(sky.size, Image.Resampling.BICUBIC)
    sky.paste((244, 244, 246), mask=veil)
    return sky


def _boxed(points: Points, smallest: float) -> Box | None:
    """The part of a painted extent on the frame; None if too small to annotate."""
    us, vs = [u / _SCALE for u, _ in points], [v / _SCALE for _, v in points]
    left, right = max(min(us), 0.0), min(max(us), float(WIDTH))
    top, bottom = max(min(vs), 0.0), min(max(vs), float(HEIGHT))
    whole = (max(us) - min(us)) * (max(vs) - min(vs))
    seen = max(right - left, 0.0) * max(bottom - top, 0.0)
    if not whole or seen / whole < 0.6 or bottom - top < smallest or right - left < 4:
        return None
    return round(left, 1), round(top, 1), round(right - left, 1), round(bottom - top, 1)


def _smallest(thing: Thing) -> float:
    return MIN_FLAT_HEIGHT_PX if thing.kind in FLAT else MIN_HEIGHT_PX


def _hides(covered: Points, points: Points) -> bool:
    """Whether what was painted over `covered` hides the middle of `points`."""
    us, vs = [u for u, _ in points], [v for _, v in points]
    u, v = (min(us) + max(us)) / 2, (min(vs) + max(vs)) / 2
    left, right = covered[0][0], covered[-1][0]
    return left < u < right and covered[0][1] < v < covered[-1][1]


def _paint_thing(painter: _Painter, thing: Thing) -> Points:
    if thing.kind is ObjectKind.CROSSING:
        return painter.crossing(thing)
    if thing.kind is ObjectKind.HATCHING:
        return painter.hatching(thing)
    if thing.kind in (ObjectKind.BILLBOARD, ObjectKind.SHOP_LAMP, ObjectKind.PRICE_TAG):
        painter.bracket(thing)
    else:
        painter.pole(thing.x, thing.y, thing.z)
    return painter.upright(thing)


def _back_to_front(drive: Drive, camera: _Camera) -> Iterator[Thing | Prop]:
    items: list[Thing | Prop] = [thing for thing in drive.things if thing.kind not in FLAT]
    items += drive.props
    items = [item for item in items if NEAREST_M < camera.ahead(item.z) < FARTHEST_M]
    yield from sorted(items, key=lambda item: -item.z)


def render_frame(drive: Drive, index: int) -> Rendered:
    """Render the frame with this index, and all recognisable objects on it."""
    painter = _Painter(drive, index)
    camera = painter.camera
    painter.street()
    hidden: set[Thing] = set()
    painted = [
        (thing, _paint_thing(painter, thing))
        for thing in drive.things
        if thing.kind in FLAT and NEAREST_M + 1 < camera.ahead(thing.z) < FARTHEST_M
    ]
    for block in sorted(drive.buildings, key=lambda block: -block.far):
        painter.building(block)
    for item in _back_to_front(drive, camera):
        if isinstance(item, Prop):
            covered = painter.prop(item)
            hidden |= {thing for thing, points in painted if _hides(covered, points)}
        else:
            painted.append((item, _paint_thing(painter, item)))
    sightings = [
        Sighting(thing, bbox, camera.ahead(thing.z))
        for thing, points in painted
        if thing not in hidden and (bbox := _boxed(points, _smallest(thing))) is not None
    ]
    image = painter.image.reduce(_SCALE)
    return Rendered(develop(image, drive, index), tuple(sightings))
