"""A drive's world: a straight street with objects along it, generated from a seed."""

# ruff: noqa: PLR2004  # a scene is made of figures; naming each would hide the picture

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

import numpy as np

from services.contracts.events import Position

VEHICLES = ("vehicle-1", "vehicle-2", "vehicle-3")
STEP_M = 3.5
"""Distance between two frames: half a second at 25 km/h."""
STEP_S = 0.5
_METRES_PER_DEGREE = 111_320.0
_T = TypeVar("_T")


class ObjectKind(StrEnum):
    """The kinds of objects along a street."""

    STOP_SIGN = "stop sign"
    SPEED_LIMIT = "speed limit"
    TRAFFIC_LIGHT = "traffic light"
    CROSSING = "crossing"
    YIELD = "yield"
    # Distractors, which a detector confuses with the kinds above.
    BILLBOARD = "billboard"
    SHOP_LAMP = "shop lamp"
    PRICE_TAG = "price tag"
    HATCHING = "hatching"


ANNOTATED = (
    ObjectKind.STOP_SIGN,
    ObjectKind.SPEED_LIMIT,
    ObjectKind.TRAFFIC_LIGHT,
    ObjectKind.CROSSING,
    ObjectKind.YIELD,
)
"""The categories of the survey; the other kinds are distractors and never annotated."""

FLAT = (ObjectKind.CROSSING, ObjectKind.HATCHING)
"""Kinds that are painted on the road."""


class Weather(StrEnum):
    """The weather and light of a drive."""

    CLEAR = "clear"
    OVERCAST = "overcast"
    RAIN = "rain"
    FOG = "fog"
    DUSK = "dusk"


class District(StrEnum):
    """The kind of street, which decides the objects along it."""

    SHOPPING = "shopping"
    RESIDENTIAL = "residential"
    ARTERIAL = "arterial"
    INDUSTRIAL = "industrial"


@dataclass(frozen=True)
class Thing:
    """An object: its middle at (x right, y up, z ahead) in metres from the drive's start."""

    kind: ObjectKind
    x: float
    y: float
    z: float
    height: float
    tilt: float
    squeeze: float
    """Visible width over height; below 1 if the object is turned away."""
    variant: int


@dataclass(frozen=True)
class Building:
    """A block on one side of the street, from `near` to `far`."""

    side: int
    near: float
    far: float
    setback: float
    height: float
    colour: tuple[int, int, int]
    storeys: int
    bays: int
    shop: tuple[int, int, int] | None


@dataclass(frozen=True)
class Prop:
    """Background objects: trees, parked cars, lamp posts."""

    kind: str
    x: float
    z: float
    size: float
    variant: int


@dataclass(frozen=True)
class Drive:
    """A drive: everything that its frames show."""

    drive_id: str
    vehicle_id: str
    seed: int
    district: District
    weather: Weather
    started_at: datetime
    start: Position
    lane: float
    things: tuple[Thing, ...]
    buildings: tuple[Building, ...]
    props: tuple[Prop, ...]

    def captured_at(self, index: int) -> datetime:
        """Capture time of the frame with this index."""
        return self.started_at + timedelta(seconds=STEP_S * index)

    def position(self, index: int) -> Position:
        """The vehicle's position at that frame."""
        assert self.start.heading is not None
        heading = math.radians(self.start.heading)
        north = STEP_M * index * math.cos(heading) / _METRES_PER_DEGREE
        east = STEP_M * index * math.sin(heading) / _METRES_PER_DEGREE
        lat = self.start.lat + north
        lon = self.start.lon + east / math.cos(math.radians(self.start.lat))
        return Position(lat=round(lat, 7), lon=round(lon, 7), heading=self.start.heading)


_LIKELIHOOD: dict[District, dict[ObjectKind, float]] = {
    District.SHOPPING: {
        ObjectKind.BILLBOARD: 0.34,
        ObjectKind.SHOP_LAMP: 0.36,
        ObjectKind.PRICE_TAG: 0.24,
        ObjectKind.TRAFFIC_LIGHT: 0.24,
        ObjectKind.CROSSING: 0.26,
        ObjectKind.STOP_SIGN: 0.14,
        ObjectKind.SPEED_LIMIT: 0.16,
    },
    District.RESIDENTIAL: {
        ObjectKind.STOP_SIGN: 0.34,
        ObjectKind.YIELD: 0.24,
        ObjectKind.SPEED_LIMIT: 0.32,
        ObjectKind.CROSSING: 0.2,
        ObjectKind.SHOP_LAMP: 0.03,
    },
    District.ARTERIAL: {
        ObjectKind.SPEED_LIMIT: 0.4,
        ObjectKind.TRAFFIC_LIGHT: 0.36,
        ObjectKind.CROSSING: 0.22,
        ObjectKind.YIELD: 0.2,
        ObjectKind.HATCHING: 0.14,
        ObjectKind.BILLBOARD: 0.03,
    },
    District.INDUSTRIAL: {
        ObjectKind.STOP_SIGN: 0.3,
        ObjectKind.SPEED_LIMIT: 0.28,
        ObjectKind.YIELD: 0.26,
        ObjectKind.TRAFFIC_LIGHT: 0.12,
        ObjectKind.HATCHING: 0.16,
    },
}
"""Probability of each kind per site; sites are fifteen metres apart."""

_DISTRICTS = (
    (District.SHOPPING, 0.34),
    (District.RESIDENTIAL, 0.26),
    (District.ARTERIAL, 0.24),
    (District.INDUSTRIAL, 0.16),
)
_WEATHERS = (
    (Weather.CLEAR, 0.36),
    (Weather.OVERCAST, 0.26),
    (Weather.RAIN, 0.14),
    (Weather.FOG, 0.1),
    (Weather.DUSK, 0.14),
)
_SIZES = {
    ObjectKind.STOP_SIGN: (0.85, 2.5),
    ObjectKind.SPEED_LIMIT: (0.8, 2.5),
    ObjectKind.YIELD: (0.85, 2.4),
    ObjectKind.TRAFFIC_LIGHT: (1.15, 3.4),
    ObjectKind.CROSSING: (4.0, 0.0),
    ObjectKind.HATCHING: (5.0, 0.0),
    ObjectKind.BILLBOARD: (1.0, 3.1),
    ObjectKind.SHOP_LAMP: (0.95, 2.9),
    ObjectKind.PRICE_TAG: (0.9, 2.8),
}
"""Height in metres (for road markings, length along the road) and height above ground."""
_FACADES = ((171, 150, 128), (186, 170, 146), (148, 110, 92), (196, 190, 180), (122, 124, 130))
_SHOPS = ((150, 48, 44), (40, 84, 60), (44, 66, 110), (196, 156, 60), (90, 60, 92))


def _pick(rng: np.random.Generator, choices: tuple[tuple[_T, float], ...]) -> _T:
    place = rng.random() * sum(share for _, share in choices)
    for choice, share in choices:
        place -= share
        if place < 0:
            return choice
    return choices[-1][0]


def _thing(rng: np.random.Generator, kind: ObjectKind, z: float) -> Thing:
    height, y = _SIZES[kind]
    side = 1 if rng.random() < 0.72 else -1
    # Signs stand on the kerb; shop signs and lamps are closer to the walls.
    reach = (
        (6.6, 7.8)
        if kind in (ObjectKind.BILLBOARD, ObjectKind.SHOP_LAMP, ObjectKind.PRICE_TAG)
        else (4.6, 5.9)
    )
    if kind in FLAT:
        side, reach = 1, (0.0, 0.001)
    return Thing(
        kind=kind,
        x=side * rng.uniform(*reach),
        y=y * rng.uniform(0.93, 1.08),
        z=z + rng.uniform(-3.0, 3.0),
        height=height * rng.uniform(0.9, 1.1),
        tilt=float(rng.normal(0, 3.0)),
        squeeze=float(rng.uniform(0.78, 1.0)),
        variant=int(rng.integers(0, 4)),
    )


def _things(rng: np.random.Generator, district: District, length: float) -> tuple[Thing, ...]:
    things = []
    for z in np.arange(16.0, length, 15.0):
        chosen = [kind for kind, p in _LIKELIHOOD[district].items() if rng.random() < p]
        flat = [kind for kind in chosen if kind in FLAT][:1]
        upright = [kind for kind in chosen if kind not in FLAT]
        gap = 4.0
        things += [_thing(rng, kind, float(z)) for kind in flat]
        things += [_thing(rng, kind, float(z) + gap * i) for i, kind in enumerate(upright)]
    return tuple(things)


def _buildings(rng: np.random.Generator, district: District, length: float) -> tuple[Building, ...]:
    low = district in (District.RESIDENTIAL, District.INDUSTRIAL)
    dense = 0.95 if district is District.SHOPPING else 0.72
    blocks = []
    for side in (-1, 1):
        z = -8.0
        while z < length:
            depth = rng.uniform(9, 18)
            storeys = int(rng.integers(1, 3) if low else rng.integers(3, 6))
            shop = _SHOPS[rng.integers(len(_SHOPS))] if district is District.SHOPPING else None
            colour = _FACADES[rng.integers(len(_FACADES))]
            shade = rng.uniform(0.8, 1.12)
            block = Building(
                side=side,
                near=z,
                far=z + depth,
                setback=float(rng.uniform(8.4, 9.4) + (3.0 if low else 0.0)),
                height=3.1 * storeys + float(rng.uniform(0.8, 2.4)),
                colour=(
                    int(colour[0] * shade),
                    int(colour[1] * shade),
                    int(colour[2] * shade),
                ),
                storeys=storeys,
                bays=int(depth // 3),
                shop=shop,
            )
            if rng.random() < dense:
                blocks.append(block)
            z += depth + float(rng.uniform(0, 3))
    return tuple(blocks)


def _props(rng: np.random.Generator, district: District, length: float) -> tuple[Prop, ...]:
    trees = 0.5 if district is District.RESIDENTIAL else 0.14
    props = []
    for side in (-1, 1):
        for z in np.arange(4.0, length, 9.0):
            if rng.random() < trees:
                x = side * rng.uniform(6.8, 8.0)
                place = float(z + rng.uniform(-3, 3))
                props.append(Prop("tree", x, place, rng.uniform(4, 6.5), int(rng.integers(4))))
            if rng.random() < 0.3:
                x = side * rng.uniform(3.5, 3.9)
                props.append(Prop("car", x, float(z), rng.uniform(1.35, 1.7), int(rng.integers(6))))
        post = [Prop("post", side * 6.3, float(z), 6.5, 0) for z in np.arange(10, length, 28)]
        props += post
    return tuple(props)


def plan_drive(index: int, *, seed: int, frames: int) -> Drive:
    """Generate the drive with this index; deterministic in seed and number of frames."""
    rng = np.random.default_rng([seed, index])
    vehicle = index % len(VEHICLES)
    length = frames * STEP_M + 90.0
    district = _pick(rng, _DISTRICTS)
    weather = _pick(rng, _WEATHERS)
    hour = 19.5 if weather is Weather.DUSK else rng.uniform(8, 17)
    day = datetime(2024, 5, 6, tzinfo=UTC) + timedelta(days=index // len(VEHICLES))
    return Drive(
        drive_id=f"{VEHICLES[vehicle]}-drive-{index // len(VEHICLES) + 1:02d}",
        vehicle_id=VEHICLES[vehicle],
        seed=int(rng.integers(2**31)),
        district=district,
        weather=weather,
        started_at=day + timedelta(seconds=round(hour * 3600)),
        start=Position(
            lat=round(52.5 + float(rng.uniform(-0.05, 0.05)), 6),
            lon=round(13.4 + float(rng.uniform(-0.08, 0.08)), 6),
            heading=round(float(rng.uniform(0, 359)), 1),
        ),
        lane=float(rng.uniform(0.8, 1.5)),
        things=_things(rng, district, length),
        buildings=_buildings(rng, district, length),
        props=_props(rng, district, length),
    )
