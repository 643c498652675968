"""The formats of detectors' output by name, and how one is chosen."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from services.contracts.errors import InvalidRecord
from services.formats.readers.detections import (
    coco,
    deepstream,
    deepstream_full,
    dlstreamer,
    frigate,
    mmdetection,
    openimages,
    roboflow,
    savant,
    torchvision,
    ultralytics_json,
    ultralytics_predictions,
    yolo_text,
)
from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.format_names import FormatName
from services.formats.readers.detections.output import Output

OutputReader = Callable[[Path], Output]
"""Reads a detector's output."""


class Format(NamedTuple):
    """A format of detectors' output.

    Attributes
    ----------
    recognises : whether files are probably of this format
    read : reads the files; raises `InvalidRecord` if they are unreadable as a whole
    takes_names : whether it can have numbers or codes of classes that a file names
    is_json : whether it can be read from a message, too
    whole_frames : whether a message has all detections of its frames
    """

    recognises: Callable[[OutputFiles], bool]
    read: Callable[[OutputFiles], Output]
    takes_names: bool = False
    is_json: bool = True
    whole_frames: bool = True


FORMATS: Final = {
    FormatName.COCO: Format(
        coco.recognises,
        coco.read,
    ),
    FormatName.ULTRALYTICS_PREDICTIONS: Format(
        ultralytics_predictions.recognises,
        ultralytics_predictions.read,
        takes_names=True,
    ),
    FormatName.ULTRALYTICS_JSON: Format(
        ultralytics_json.recognises,
        ultralytics_json.read,
    ),
    FormatName.YOLO_TEXT: Format(
        yolo_text.recognises,
        yolo_text.read,
        takes_names=True,
        is_json=False,
    ),
    FormatName.ROBOFLOW: Format(
        roboflow.recognises,
        roboflow.read,
        takes_names=True,
    ),
    FormatName.TORCHVISION: Format(
        torchvision.recognises,
        torchvision.read,
        takes_names=True,
    ),
    FormatName.MMDETECTION: Format(
        mmdetection.recognises,
        mmdetection.read,
        takes_names=True,
    ),
    FormatName.DEEPSTREAM: Format(deepstream.recognises, deepstream.read),
    FormatName.DEEPSTREAM_FULL: Format(
        deepstream_full.recognises, deepstream_full.read, whole_frames=False
    ),
    FormatName.DLSTREAMER: Format(dlstreamer.recognises, dlstreamer.read),
    FormatName.SAVANT: Format(savant.recognises, savant.read),
    FormatName.FRIGATE: Format(frigate.recognises, frigate.read),
    FormatName.OPENIMAGES: Format(
        openimages.recognises,
        openimages.read,
        takes_names=True,
        is_json=False,
    ),
}


def read_output(
    path: Path, format_name: FormatName = FormatName.AUTO, class_names: Path | None = None
) -> Output:
    """A detector's output.

    Parameters
    ----------
    path : a file, or a folder with a file per image or message
    format_name : `auto` takes the only format that recognises it
    class_names : a file with the names of the detector's classes; formats that have only numbers
        take one beside the output by default

    Raises
    ------
    InvalidRecord
        It is unreadable, or `unsupported_format`: no format recognises it, or several do, or
        `class_names` would be ignored.
    """
    files = OutputFiles(path, class_names)
    name = recognised(files) if format_name is FormatName.AUTO else format_name
    if class_names is not None and not FORMATS[name].takes_names:
        raise InvalidRecord(
            f"{path} is read as {name}, whose classes are names or the data set's ids: leave"
            " out --class-names",
            reason="unsupported_format",
        )
    found = read_as(name, files)
    if found.rejected and not found.sources:
        # Nothing would be left of it but its silence, which would count as misses.
        first = found.rejected[0]
        raise InvalidRecord(
            f"{path}: none of {len(found.rejected):,} parts can be read as {name}; the first:"
            f" {first.detail} ({first.location})",
            reason=first.reason,
        )
    return found


def read_as(name: FormatName, files: OutputFiles) -> Output:
    """The output in a format.

    Raises
    ------
    InvalidRecord
        It is unreadable as a whole.
    """
    found = FORMATS[name].read(files)
    found.format = name
    return found


def recognised(files: OutputFiles) -> FormatName:
    """The only format that recognises these files.

    Raises
    ------
    InvalidRecord
        `unsupported_format`, or a single file is unreadable.
    """
    found = [name for name, known in FORMATS.items() if known.recognises(files)]
    if len(found) == 1:
        return found[0]
    problem = f"may be {' or '.join(found)}" if found else "is of no known format of results"
    raise InvalidRecord(
        f"{files.path} {problem}: name its format with --predictions-format, one of"
        f" {', '.join(FORMATS)}",
        reason="unsupported_format",
    )
