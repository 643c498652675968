"""Weather and camera effects on a frame: haze, light, rain, blur, noise."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from services.survey.world import VEHICLES, Drive, Weather

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Light:
    """The look of a weather, before camera effects."""

    sky: Colour
    haze: Colour
    sight_m: float
    """Distance at which haze replaces two thirds of a colour."""
    gain: tuple[float, float, float]
    noise: float
    windows: Colour = (96, 108, 120)
    lit: int = 2
    """Number of windows in five that are lit in the colour above."""
    wet: int = 0


_LIGHTS = {
    Weather.CLEAR: Light((92, 148, 214), (196, 214, 230), 420, (1.06, 1.03, 0.98), 4),
    Weather.OVERCAST: Light((162, 170, 178), (200, 204, 206), 260, (0.95, 0.96, 0.98), 5),
    Weather.RAIN: Light((120, 126, 134), (158, 164, 170), 110, (0.8, 0.83, 0.87), 7, wet=26),
    Weather.FOG: Light((196, 198, 200), (204, 206, 208), 48, (0.97, 0.97, 0.98), 5),
    Weather.DUSK: Light(
        (52, 58, 96), (196, 142, 116), 240, (0.86, 0.76, 0.82), 9, windows=(255, 208, 120), lit=3
    ),
}
_CAMERAS = dict(zip(VEHICLES, ((1.0, 1.0, 1.0), (1.04, 1.0, 0.95), (0.96, 1.0, 1.05)), strict=True))


def light_of(weather: Weather) -> Light:
    """The light of a weather."""
    return _LIGHTS[weather]


@lru_cache(maxsize=2)
def _grain(width: int, height: int) -> NDArray[np.float32]:
    """Noise larger than a frame; every frame uses another crop of it."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((height + 64, width + 64, 3), dtype=np.float32)


def _rain(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    drops = Image.new("L", image.size, 0)
    draw = ImageDraw.Draw(drops)
    starts = rng.uniform((0, -20), image.size, (170, 2))
    for (x, y), length in zip(starts, rng.uniform(6, 22, 170), strict=True):
        draw.line((x, y, x + length * 0.16, y + length), fill=70, width=1)
    return Image.composite(Image.new("RGB", image.size, (210, 216, 222)), image, drops)


def _glow(image: Image.Image) -> Image.Image:
    """Bloom around bright areas, as of lamps at dusk."""
    small = image.reduce(4).point(lambda value: max(0, (value - 190) * 3))
    spilled = small.filter(ImageFilter.BoxBlur(5)).resize(image.size)
    return ImageChops.add(image, spilled, scale=1.4)


def develop(image: Image.Image, drive: Drive, index: int) -> Image.Image:
    """The frame as the camera records it."""
    rng = np.random.default_rng([drive.seed, index, 1])
    light = light_of(drive.weather)
    if drive.weather is Weather.DUSK:
        image = _glow(image)
    if drive.weather is Weather.RAIN:
        image = _rain(image, rng)
    image = image.filter(ImageFilter.BoxBlur(float(rng.uniform(0.2, 0.7))))
    gain = np.array(light.gain) * _CAMERAS[drive.vehicle_id] * rng.uniform(0.92, 1.08)
    grain = _grain(*image.size)
    top, left = rng.integers(0, 64, 2)
    window = grain[top : top + image.height, left : left + image.width]
    pixels = np.asarray(image, dtype=np.float32) * gain.astype(np.float32)
    pixels += window * np.float32(light.noise)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
