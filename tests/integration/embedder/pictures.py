"""A picture, and boxes on it, for embedders."""

import numpy as np
from PIL import Image

BOXES = np.array([[10.0, 5.0, 40.0, 30.0], [60.5, 20.25, 25.0, 50.0]])


def picture(width: int = 128, height: int = 96, seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
