"""The items of one frame: its refused parts, then the frame; or its rejection."""

from collections.abc import Callable, Iterator

from services.contracts.errors import InvalidRecord
from services.formats.box_units import frame_in_pixels
from services.formats.items import FrameItem, Item, Located
from services.formats.readers.records import Notes, refused_frame


def frame_items(
    read: Callable[[Notes], FrameItem], whole: Callable[[], Located[object]]
) -> Iterator[Item]:
    """Read a frame, whose boxes are refused if they are fractions of its image.

    Parameters
    ----------
    read : reads the frame, and notes its refused parts. Raises InvalidRecord.
    whole : the frame's record with everything that depends on it, if it cannot be read
    """
    notes = Notes()
    try:
        frame = read(notes)
    except InvalidRecord as exc:
        yield refused_frame(exc, whole())
    else:
        frame = frame_in_pixels(frame, notes.rejected)
        yield from notes.rejected
        yield frame
