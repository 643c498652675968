"""What the settings ask of the bridge."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.contracts.errors import InvalidRecord, InvalidSettings
from services.contracts.topics import BY_NAME, Topic
from services.formats.items import Detector
from services.formats.readers.detections.class_names import ClassNames
from services.formats.readers.detections.format_names import FormatName
from services.formats.readers.detections.registry import FORMATS
from services.ingest.templates import IMAGE, Template
from services.runtime.settings import Settings

READABLE: Final = tuple(
    name for name, known in FORMATS.items() if known.is_json and known.whole_frames
)
"""The formats of which a message has all detections of its frames."""


@dataclass(frozen=True)
class VehicleAndTime:
    """Templates of a frame's vehicle and of its capture time."""

    vehicle: Template
    time: Template


@dataclass(frozen=True)
class BridgeConfiguration:
    """The configuration of the bridge: the messages it reads, and how they become predictions.

    Attributes
    ----------
    names : of the detector's classes, where its format has only their numbers
    paired_by : what finds a message's frame: its id, or its vehicle and capture time
    """

    topic: Topic
    format: FormatName
    detector: Detector
    names: ClassNames | None
    paired_by: Template | VehicleAndTime


def bridge_of(settings: Settings) -> BridgeConfiguration:
    """The bridge's configuration.

    Raises
    ------
    InvalidSettings
        A setting is missing, wrong or contradicts another; the message has the remedy.
    """
    if settings.bridge_topic in BY_NAME:
        raise InvalidSettings(
            f"GAZELOOP_BRIDGE_TOPIC: {settings.bridge_topic} is Gazeloop's own; name the topic that"
            " the detector writes to"
        )
    format_name = _format(settings.bridge_format)
    return BridgeConfiguration(
        topic=Topic(settings.bridge_topic, ()),
        format=format_name,
        detector=_detector(settings.bridge_detector),
        names=_names(settings, format_name),
        paired_by=_paired_by(settings),
    )


def _format(name: str) -> FormatName:
    if name in READABLE:
        return FormatName(name)
    why = "names no format that can be read from a topic"
    if name == FormatName.DEEPSTREAM_FULL:
        why = (
            "has one object per message, so that nothing says when a frame is complete; let"
            " DeepStream publish its minimal schema (payload-type=1), and name deepstream"
        )
    raise InvalidSettings(
        f"GAZELOOP_BRIDGE_FORMAT: {name!r:.40} {why}. There are {', '.join(READABLE)}"
    )


def _detector(text: str) -> Detector:
    try:
        return Detector.parse(text)
    except InvalidRecord as exc:
        raise InvalidSettings(f"GAZELOOP_BRIDGE_DETECTOR: {exc}, such as signs@4.2") from exc


def _names(settings: Settings, format_name: FormatName) -> ClassNames | None:
    file = settings.bridge_class_names
    if not file:
        if format_name is FormatName.MMDETECTION:
            raise InvalidSettings(
                "GAZELOOP_BRIDGE_CLASS_NAMES: mmdetection has only the numbers of classes; name a"
                " file with their names (data.yaml, or a text file with a name per line)"
            )
        return None
    if not FORMATS[format_name].takes_names:
        raise InvalidSettings(
            f"GAZELOOP_BRIDGE_CLASS_NAMES: {format_name} has the names of classes: leave it empty"
        )
    try:
        return ClassNames.read(Path(file))
    except InvalidRecord as exc:
        raise InvalidSettings(f"GAZELOOP_BRIDGE_CLASS_NAMES: {exc}") from exc


def _paired_by(settings: Settings) -> Template | VehicleAndTime:
    frame_id = settings.bridge_frame_id
    vehicle, time = settings.bridge_vehicle, settings.bridge_time
    if frame_id and (vehicle or time):
        raise InvalidSettings(
            "GAZELOOP_BRIDGE_FRAME_ID pairs by id, GAZELOOP_BRIDGE_VEHICLE and GAZELOOP_BRIDGE_TIME"
            " by time: set one or the other"
        )
    if bool(vehicle) != bool(time):
        missing = "TIME" if vehicle else "VEHICLE"
        raise InvalidSettings(
            f"GAZELOOP_BRIDGE_{missing} is missing: frames are paired by vehicle and time"
        )
    if vehicle and time:
        return VehicleAndTime(_template("VEHICLE", vehicle), _template("TIME", time))
    return _template("FRAME_ID", frame_id or f"{{{IMAGE}}}")


def _template(name: str, text: str) -> Template:
    try:
        return Template.parse(text)
    except InvalidRecord as exc:
        raise InvalidSettings(f"GAZELOOP_BRIDGE_{name}: {exc}") from exc
