"""The part of an image to show around a region, with enough context to recognize it."""

from services.contracts.identity import Box

_ROOM = 2.8
"""Side of the window relative to the region's side: most of the picture is context."""
_MIN_PX = 64.0


def window_of(region: Box, image: tuple[int, int], aspect: float) -> Box:
    """The window around a region, within the image where possible.

    Parameters
    ----------
    image : width and height in pixels
    aspect : the window's width divided by its height
    """
    x, y, width, height = region
    wide = max(width * _ROOM, height * _ROOM * aspect, _MIN_PX)
    wide = min(wide, image[0], image[1] * aspect)
    wide, high = max(wide, 1.0), max(wide / aspect, 1.0)
    left = _inside(x + width / 2 - wide / 2, wide, image[0])
    top = _inside(y + height / 2 - high / 2, high, image[1])
    return (float(round(left)), float(round(top)), float(round(wide)), float(round(high)))


def _inside(start: float, length: float, whole: float) -> float:
    return min(max(start, 0.0), max(whole - length, 0.0))
