"""The bridge: what surrounds messages, which frames they are of, and what is published."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.contracts.dead_letters import DeadLettered
from services.contracts.errors import InvalidRecord, InvalidSettings
from services.contracts.events import FrameCaptured, Image, PredictionsMade
from services.contracts.identity import FrameId, VehicleId
from services.ground_truth.publishing import RevisionPublisher
from services.ingest.bridge.configuration import bridge_of
from services.ingest.bridge.envelopes import opened
from services.ingest.bridge.messages import MessageDecoder
from services.ingest.bridge.pairing import PairingById, PairingByTime, time_of
from services.ingest.bridge.service import PublishDetections
from services.ingest.templates import ImageFields, Template
from services.runtime.kafka.limits import MAX_EVENT_BYTES
from services.runtime.kafka.records import Record
from services.runtime.kafka.runner import Runner
from services.runtime.observability.traces import Headers
from services.runtime.settings import Settings
from tests.fakes.captures import InMemoryCaptures
from tests.fakes.clock import FakeClock
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.outbox import InMemoryOutbox

TOPIC = "detector.output"
NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
DEEPSTREAM = {
    "id": "252",
    "@timestamp": "2026-05-04T10:00:00.250Z",
    "sensorId": "vehicle-7",
    "objects": ["957|10|20|40|60|sign|#|0.75", "-1|50|20|80|60|sign|#|0.5"],
}


def frame(frame_id: str, at: datetime = NOW, size: tuple[int, int] = (100, 80)) -> FrameCaptured:
    return FrameCaptured(
        frame_id=FrameId(frame_id),
        vehicle_id=VehicleId("vehicle-7"),
        captured_at=at,
        image=Image(
            sha256="0" * 64,
            uri="b:0",
            size_bytes=1,
            media_type="image/jpeg",
            width=size[0],
            height=size[1],
        ),
    )


class Bench:
    """The bridge on fakes, with the real runner around it."""

    def __init__(self, *frames: FrameCaptured, **settings: object) -> None:
        self.ledger, self.outbox, self.clock = InMemoryLedger(), InMemoryOutbox(), FakeClock()
        given = {
            "bridge_topic": TOPIC,
            "bridge_format": "deepstream",
            "bridge_detector": "signs@4.2",
        }
        self.settings = Settings(**(given | settings))  # type: ignore[arg-type]  # few are given
        self.configuration = bridge_of(self.settings)
        self.captures = frames
        self.store = InMemoryFrameStore()

    async def consume(self, *records: Record) -> bool:
        await self.store.record(self.captures)
        by = self.configuration.paired_by
        if isinstance(by, Template):
            pairing: PairingById | PairingByTime = PairingById(by)
        else:
            tolerance_s = self.settings.bridge_tolerance_s
            captures = InMemoryCaptures(*self.captures)
            pairing = PairingByTime(by.vehicle, by.time, tolerance_s, captures)
        step = PublishDetections(
            self.configuration,
            pairing,
            publisher=RevisionPublisher(self.ledger, self.outbox, "bridge"),
            frames=self.store,
            settings=self.settings,
            clock=self.clock,
        )
        runner = Runner(
            "bridge",
            step,
            self.outbox,
            self.settings,
            self.clock,
            decoder=MessageDecoder(self.settings.max_detections_per_frame),
            sleep=self.clock.sleep,
        )
        return await runner.process(records)

    @property
    def made(self) -> list[PredictionsMade]:
        return [event for event in self.outbox.published if isinstance(event, PredictionsMade)]

    @property
    def letters(self) -> list[DeadLettered]:
        return [event for event in self.outbox.published if isinstance(event, DeadLettered)]


def record(
    value: object,
    *,
    offset: int = 0,
    key: bytes = b"",
    headers: Headers = (),
    taken_at: float | None = None,
) -> Record:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Record(TOPIC, 1, offset, key, content, taken_at, headers)


async def test_a_message_becomes_the_predictions_of_its_frame() -> None:
    bench = Bench(bridge_frame_id="{sensorId}:{id}")
    assert await bench.consume(record(DEEPSTREAM))
    (made,) = bench.made
    assert (made.frame_id, made.detector_id, made.revision) == ("vehicle-7:252", "signs@4.2", 1)
    assert [(d.category, d.score, d.bbox, d.track_id) for d in made.detections] == [
        ("sign", 0.75, (10, 20, 30, 40), "957"),
        ("sign", 0.5, (50, 20, 30, 40), None),
    ]
    assert not bench.letters


async def test_a_message_without_objects_says_that_nothing_was_found() -> None:
    bench = Bench(bridge_frame_id="{sensorId}:{id}")
    await bench.consume(record(DEEPSTREAM | {"objects": []}))
    (made,) = bench.made
    assert made.complete
    assert made.detections == ()


async def test_a_message_that_comes_again_is_the_same_event() -> None:
    bench = Bench(bridge_frame_id="{sensorId}:{id}")
    changed = DEEPSTREAM | {"objects": DEEPSTREAM["objects"][:1]}
    messages = [record(DEEPSTREAM), record(changed, offset=1)]
    await bench.consume(*messages)
    await bench.consume(*messages)
    first, second, *again = bench.made
    assert [first.revision, second.revision] == [1, 2]
    assert again == [first, second]


async def test_equal_messages_with_different_keys_are_of_different_frames() -> None:
    bench = Bench(bridge_format="ultralytics-json", bridge_frame_id="{key}")
    await bench.consume(record([], key=b"a:1"), record([], offset=1, key=b"a:2"))
    assert [made.frame_id for made in bench.made] == ["a:1", "a:2"]


async def test_a_refused_object_leaves_its_frame_incomplete() -> None:
    bench = Bench(bridge_frame_id="{sensorId}:{id}")
    broken = DEEPSTREAM | {"objects": [*DEEPSTREAM["objects"], "7|1|2|3|4|sign|#|high"]}
    await bench.consume(record(broken))
    (made,) = bench.made
    assert not made.complete
    assert len(made.detections) == 2
    (letter,) = bench.letters
    assert letter.service == "bridge"
    assert letter.reason == "malformed_record"
    assert letter.location == f"{TOPIC}/1/0:objects[2]"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "invalid_json"),
        (b"\xff\xfe\x00", "invalid_json"),
        (b"\x00\x00\x00\x00\x07\x02avro", "unsupported_encoding"),
        (b"", "invalid_json"),
        (b"[]", "malformed_record"),
        (b"7", "malformed_record"),
        (b'{"unknown": true}', "malformed_record"),
        (b"[" * 100_000, "invalid_json"),
        (b"[" + b"0," * 400_000 + b"0]", "too_many_values"),
        (b" " * (MAX_EVENT_BYTES + 1), "event_too_large"),
        (json.dumps(DEEPSTREAM | {"sensorId": "a b"}).encode(), "unpaired"),
        (json.dumps({**DEEPSTREAM, "id": None}).encode(), "unpaired"),
    ],
)
async def test_a_bad_message_is_a_dead_letter_and_its_neighbours_go_through(
    value: bytes, reason: str
) -> None:
    bench = Bench(bridge_frame_id="{sensorId}:{id}")
    assert await bench.consume(record(DEEPSTREAM), record(value, offset=1, key=b"k"))
    assert len(bench.made) == 1
    (letter,) = bench.letters
    assert letter.reason == reason
    assert (letter.original_topic, letter.original_key) in {(TOPIC, b"k"), (None, b"")}
    assert letter.original_value == value


async def test_a_record_that_no_dead_letter_can_hold_is_cut_off() -> None:
    bench = Bench()
    await bench.consume(record(b"[" + b" " * 2 * MAX_EVENT_BYTES))
    (letter,) = bench.letters
    assert letter.original_topic is None
    assert letter.location == f"{TOPIC}/1/0"
    assert len(letter.original_value) > MAX_EVENT_BYTES


async def test_a_tombstone_is_a_dead_letter() -> None:
    bench = Bench()
    await bench.consume(Record(TOPIC, 1, 0, b"", None))
    assert [letter.reason for letter in bench.letters] == ["empty_record"]


async def test_frames_are_paired_by_vehicle_and_time() -> None:
    near, far = frame("a", NOW + timedelta(milliseconds=230)), frame("b", NOW + timedelta(1))
    bench = Bench(near, far, bridge_vehicle="{sensorId}", bridge_time="{@timestamp}")
    await bench.consume(record(DEEPSTREAM))
    assert [made.frame_id for made in bench.made] == ["a"]


async def test_the_nearest_of_several_frames_is_taken() -> None:
    frames = [
        frame(name, NOW + timedelta(milliseconds=at)) for name, at in (("a", 220), ("b", 260))
    ]
    bench = Bench(*frames, bridge_vehicle="{sensorId}", bridge_time="{@timestamp}")
    await bench.consume(record(DEEPSTREAM))
    assert [made.frame_id for made in bench.made] == ["b"]


async def test_frames_equally_near_are_ambiguous() -> None:
    frames = [frame(name, NOW + timedelta(milliseconds=250)) for name in ("left", "right")]
    bench = Bench(*frames, bridge_vehicle="{sensorId}", bridge_time="{@timestamp}")
    await bench.consume(record(DEEPSTREAM))
    assert [letter.reason for letter in bench.letters] == ["ambiguous_frame"]


async def test_a_recent_message_waits_for_its_frame_and_then_is_a_dead_letter() -> None:
    bench = Bench(bridge_vehicle="{sensorId}", bridge_time="{@timestamp}", bridge_wait_s=60)
    start = bench.clock.monotonic()
    await bench.consume(record(DEEPSTREAM, taken_at=bench.clock.now().timestamp()))
    assert [letter.reason for letter in bench.letters] == ["unknown_frame"]
    assert 60 <= bench.clock.monotonic() - start < 180


async def test_messages_of_frames_that_were_not_captured_can_be_skipped() -> None:
    bench = Bench(
        frame("a", NOW + timedelta(milliseconds=250)),
        bridge_vehicle="{sensorId}",
        bridge_time="{@timestamp}",
        bridge_unmatched="skip",
    )
    later = DEEPSTREAM | {"@timestamp": "2026-05-04T10:00:01Z"}
    await bench.consume(record(later), record(DEEPSTREAM, offset=1))
    assert [made.frame_id for made in bench.made] == ["a"]
    assert not bench.letters


async def test_a_skipped_message_is_counted_once_though_another_of_its_batch_waits() -> None:
    labels = {"reason": "unknown_frame", "way": "bridge"}

    def count() -> float:
        return REGISTRY.get_sample_value("gazeloop_rejected_records_total", labels) or 0.0

    bench = Bench(
        bridge_vehicle="{sensorId}",
        bridge_time="{@timestamp}",
        bridge_unmatched="skip",
        bridge_wait_s=60,
    )
    before, now = count(), bench.clock.now().timestamp()
    await bench.consume(record(DEEPSTREAM), record(DEEPSTREAM, offset=1, taken_at=now))
    assert count() - before == 2


async def test_an_old_message_does_not_wait() -> None:
    bench = Bench(bridge_vehicle="{sensorId}", bridge_time="{@timestamp}")
    start = bench.clock.monotonic()
    await bench.consume(record(DEEPSTREAM, taken_at=bench.clock.now().timestamp() - 3600))
    assert [letter.reason for letter in bench.letters] == ["unknown_frame"]
    assert bench.clock.monotonic() - start < 1


async def test_boxes_of_a_declared_size_are_scaled_to_the_frame() -> None:
    bench = Bench(frame("drive_9", size=(1280, 960)), bridge_format="dlstreamer")
    message = {
        "objects": [
            {
                "detection": {
                    "bounding_box": {"x_min": 0.25, "y_min": 0.25, "x_max": 0.5, "y_max": 0.5},
                    "confidence": 0.5,
                    "label": "sign",
                },
                "color": {"label": "red"},
            }
        ],
        "resolution": {"width": 640, "height": 480},
        "source": "file:///drive.mp4",
        "timestamp": 9,
    }
    await bench.consume(record(message))
    (made,) = bench.made
    (found,) = made.detections
    assert (*found.bbox, found.attributes) == (320, 240, 320, 240, {"color": "red"})


async def test_boxes_in_fractions_are_refused_where_pixels_are_expected() -> None:
    bench = Bench(bridge_format="torchvision")
    lists = {"boxes": [[0.1, 0.2, 0.3, 0.4]], "labels": ["sign"], "scores": [0.5]}
    await bench.consume(record({"a:1.jpg": lists}))
    assert not bench.made
    assert [letter.reason for letter in bench.letters] == ["box_in_fractions"]


async def test_of_many_images_those_with_a_frame_are_published() -> None:
    lists = {"boxes": [[1, 2, 30, 40]], "labels": ["sign"], "scores": [0.5]}
    bench = Bench(bridge_format="torchvision")
    await bench.consume(record({"a:1.jpg": lists, "no id.jpg": lists}))
    assert [made.frame_id for made in bench.made] == ["a:1"]
    assert [(letter.reason, letter.location) for letter in bench.letters] == [
        ("unpaired", f"{TOPIC}/1/0:no id.jpg")
    ]


CONTENT = json.dumps(DEEPSTREAM).encode()
EVENT = {"specversion": "1.0", "id": "1", "source": "/ds", "type": "t", "subject": "vehicle-7:252"}


@pytest.mark.parametrize(
    ("value", "headers", "attributes"),
    [
        (CONTENT, (), {}),
        (b"\x00\x00\x00\x00\x07" + CONTENT, (), {}),
        (
            CONTENT,
            (
                ("ce_specversion", b"1.0"),
                ("ce_subject", b"s"),
                ("content-type", b"application/json"),
            ),
            {"ce.specversion": "1.0", "ce.subject": "s"},
        ),
        (
            json.dumps(EVENT | {"data": DEEPSTREAM}).encode(),
            (("content-type", b"application/cloudevents+json; charset=UTF-8"),),
            {f"ce.{name}": value for name, value in EVENT.items()},
        ),
        (
            json.dumps(EVENT | {"data": json.dumps(DEEPSTREAM)}).encode(),
            (),
            {f"ce.{name}": value for name, value in EVENT.items()},
        ),
    ],
    ids=["plain", "confluent", "binary", "structured", "text in structured"],
)
def test_what_surrounds_a_message_is_taken_off(
    value: bytes, headers: Headers, attributes: Mapping[str, str]
) -> None:
    message = opened(value, headers)
    assert json.loads(message.content) == DEEPSTREAM
    assert {name: message.attributes.get(name) for name in attributes} == attributes


def test_base64_data_is_decoded() -> None:
    assert opened(json.dumps(EVENT | {"data_base64": "e30="}).encode(), ()).content == b"{}"


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (b"\x00\x00\x00\x01\x07\x00\x02", (), "unsupported_encoding"),
        (
            b"<a/>",
            (("ce_specversion", b"1.0"), ("content-type", b"text/xml")),
            "unsupported_encoding",
        ),
        (
            json.dumps(EVENT | {"datacontenttype": "text/xml", "data": "<a/>"}).encode(),
            (),
            "unsupported_encoding",
        ),
        (json.dumps(EVENT | {"data_base64": "%"}).encode(), (), "malformed_record"),
        (b'{"specversion": "1.0", "type": "t"}', (), "malformed_record"),
        (b'{"specversion": "1.0", "data": null}', (), "malformed_record"),
        (b'{"specversion": "1.0", "data": "\\ud800"}', (), "invalid_json"),
        (b'{"specversion": "1.0", "data": {"a": "\\ud800"}}', (), "invalid_json"),
        (b'{"specversion": "1.0", "data": ' + b"[" * 300 + b"]" * 300 + b"}", (), "invalid_json"),
    ],
)
def test_other_encodings_are_refused_by_name(value: bytes, headers: Headers, reason: str) -> None:
    with pytest.raises(InvalidRecord) as refusal:
        opened(value, headers)
    assert refusal.value.reason == reason


async def test_a_cloud_events_subject_can_name_the_frame() -> None:
    bench = Bench(bridge_frame_id="{ce.subject}")
    await bench.consume(record(EVENT | {"data": DEEPSTREAM}))
    assert [made.frame_id for made in bench.made] == ["vehicle-7:252"]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{image}", "street/1"),
        ("{image.stem}", "1"),
        ("v:{sensor.id}:{n}", "v:cam-1:7"),
        ("{a.b}", "dotted"),
        ("{key}", "k"),
        ("plain", "plain"),
    ],
)
def test_templates_are_filled(text: str, filled: str) -> None:
    values = ImageFields(
        "street/1.jpg",
        {"sensor": {"id": "cam-1"}, "n": 7, "a.b": "dotted", "key": "message's own"},
        {"key": "k"},
    )
    assert Template.parse(text).filled(values) == filled


@pytest.mark.parametrize("text", ["", "{", "{}", "a}b", "{a{b}}"])
def test_a_template_with_loose_braces_is_refused(text: str) -> None:
    with pytest.raises(InvalidRecord, match="no template"):
        Template.parse(text)


@pytest.mark.parametrize(
    "path", ["__class__", "sensor.__class__", "sensor", "absent", "flag", "none"]
)
def test_only_values_of_the_message_can_be_named(path: str) -> None:
    message = {"sensor": {"id": 1}, "flag": True, "none": math.nan}
    with pytest.raises(InvalidRecord) as refusal:
        Template(f"{{{path}}}").filled(ImageFields("i", message, {}))
    assert refusal.value.reason == "unpaired"


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-04T10:00:00Z",
        "2026-05-04T12:00:00+02:00",
        "2026-05-04T10:00:00",
        "1777888800",
        "1777888800.0",
        "1777888800000",
        "1777888800000000",
        "1777888800000000000",
    ],
)
def test_times_are_read_in_every_common_unit(text: str) -> None:
    assert time_of(text) == NOW


@pytest.mark.parametrize("text", ["", "yesterday", "nan", "inf", "-1", "1e300", "0001-01-01"])
def test_what_is_no_capture_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidRecord, match="capture time"):
        time_of(text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bridge_topic": "gaze.frames"}, "GAZELOOP_BRIDGE_TOPIC: gaze.frames is Gazeloop's own"),
        ({"bridge_format": ""}, "GAZELOOP_BRIDGE_FORMAT"),
        ({"bridge_format": "auto"}, "GAZELOOP_BRIDGE_FORMAT"),
        ({"bridge_format": "yolo-txt"}, "There are coco"),
        ({"bridge_format": "deepstream-full"}, "minimal schema"),
        ({"bridge_detector": "signs"}, "NAME@VERSION"),
        ({"bridge_class_names": "/nowhere"}, "leave it empty"),
        ({"bridge_format": "mmdetection"}, "GAZELOOP_BRIDGE_CLASS_NAMES"),
        ({"bridge_format": "roboflow", "bridge_class_names": "/no.txt"}, "/no.txt"),
        ({"bridge_frame_id": "{"}, "GAZELOOP_BRIDGE_FRAME_ID"),
        ({"bridge_vehicle": "v"}, "GAZELOOP_BRIDGE_TIME is missing"),
        ({"bridge_time": "{t}"}, "GAZELOOP_BRIDGE_VEHICLE is missing"),
        ({"bridge_frame_id": "f", "bridge_time": "{t}"}, "set one or the other"),
    ],
)
def test_wrong_settings_are_refused_with_a_remedy(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message.replace("(", r"\(")):
        Bench(**given)
