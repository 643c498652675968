"""bridge: read a detector's topic in its vendor's format, and publish its predictions as events."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from services.contracts.errors import FrameNotStored, InvalidRecord
from services.contracts.events import Event, PredictionsMade
from services.contracts.flow import BRIDGE
from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameStore
from services.formats.corrections import stored_sizes
from services.formats.detected_images import DetectedImages, FrameOutput
from services.formats.geometry import Size
from services.formats.items import Detector, Located, Rejection
from services.formats.readers.detections.in_memory import OutputMessage
from services.formats.readers.records import ImageKey, rejection
from services.formats.rejections import dead_letter
from services.ground_truth.publishing import RevisionPublisher, Submission
from services.ingest.bridge.configuration import BridgeConfiguration
from services.ingest.bridge.messages import DetectorMessage
from services.ingest.bridge.pairing import Pairing, UnknownFrame
from services.ingest.templates import ImageFields, claim_frame
from services.runtime.clock import Clock
from services.runtime.images import ImageLimits
from services.runtime.observability import metrics
from services.runtime.settings import Settings


@dataclass(frozen=True)
class _Paired:
    """A message's images with their frames, and those that have none.

    Attributes
    ----------
    skipped : the reasons of images without a frame that `bridge_unmatched` lets be skipped
    """

    images: DetectedImages
    frames: Mapping[ImageKey, FrameId]
    unpaired: Sequence[Rejection]
    skipped: Sequence[str]

    def outputs(self, detector: Detector, sizes: Mapping[FrameId, Size]) -> list[FrameOutput]:
        """What the detector found on each frame."""
        return [
            self.images.on_frame(image, frame_id, detector, sizes.get(frame_id))
            for image, frame_id in self.frames.items()
        ]

    def unplaceable(self, sizes: Mapping[FrameId, Size]) -> list[FrameId]:
        """The frames whose detections need the size of an image that is not stored."""
        return [
            frame_id
            for image, frame_id in self.frames.items()
            if frame_id not in sizes and self.images.depends_on_size(image)
        ]


class PublishDetections:
    """Publishes what a detector found, as one event per frame.

    The ledger numbers the revisions by content, so that a message that is delivered again becomes
    the same event.

    Parameters
    ----------
    publisher : for the input path `bridge`
    frames : the source of image sizes
    """

    def __init__(
        self,
        configuration: BridgeConfiguration,
        pairing: Pairing,
        *,
        publisher: RevisionPublisher,
        frames: FrameStore,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._configuration = configuration
        self._pairing = pairing
        self._publisher = publisher
        self._frames = frames
        self._limits = ImageLimits.of(settings)
        self._max_detections = settings.max_detections_per_frame
        self._wait_s = settings.bridge_wait_s
        self._skips_unmatched = settings.bridge_unmatched == "skip"
        self._clock = clock

    async def run(self, events: Sequence[Event]) -> None:
        messages = [event for event in events if isinstance(event, DetectorMessage)]
        paired = [await self._paired(message) for message in messages]
        frame_ids = [frame_id for part in paired for frame_id in part.frames.values()]
        sizes = await stored_sizes(frame_ids, self._frames)
        for message, part in zip(messages, paired, strict=True):
            unplaceable = part.unplaceable(sizes)
            if unplaceable and self._is_early(message):
                raise FrameNotStored(f"frame {unplaceable[0]} ({message.location}) is not stored")
        outputs = await asyncio.to_thread(self._outputs, paired, sizes)
        drafts = [output.draft for output in outputs if output.draft is not None]
        refused = [
            rejection for part in paired for rejection in (*part.images.rejected, *part.unpaired)
        ]
        refused += [rejection for output in outputs for rejection in output.refused]
        await self._publish(drafts, refused)
        # Counted last, because all of this is repeated while a message waits for its frame.
        reasons = [rejection.reason for rejection in refused]
        for reason in chain(reasons, *(part.skipped for part in paired)):
            metrics.RECORDS_REJECTED.labels(reason, BRIDGE).inc()

    async def _paired(self, message: DetectorMessage) -> _Paired:
        """The message's images with their frames.

        Raises
        ------
        InvalidRecord
            It is unreadable, or its only image has no frame.
        FrameNotStored
            One has none yet, and the message is recent.
        """
        images = await asyncio.to_thread(self._read, message)
        frames: dict[ImageKey, FrameId] = {}
        taken: set[FrameId] = set()
        unpaired: list[Rejection] = []
        skipped: list[str] = []
        for image in images.messages:
            try:
                frame_id = await self._frame_of(image, images, message)
                frames[image] = claim_frame(frame_id, taken)
            except InvalidRecord as exc:
                if self._is_skipped(exc):
                    skipped.append(exc.reason)
                    continue
                if len(images.messages) == 1:
                    raise
                content = {"image": image, "message": images.messages[image]}
                place = Located[object](content, f"{message.location}:{image}")
                unpaired.append(rejection(exc, place))
        return _Paired(images, frames, unpaired, skipped)

    async def _frame_of(
        self, image: ImageKey, images: DetectedImages, message: DetectorMessage
    ) -> FrameId:
        fields = ImageFields(image, images.messages[image], message.attributes)
        try:
            return await self._pairing.frame_of(fields)
        except UnknownFrame as exc:
            if self._is_early(message):
                raise FrameNotStored(f"{message.location}: {exc}") from exc
            raise

    def _is_skipped(self, error: InvalidRecord) -> bool:
        # A detector may look at many more frames than are captured; they are no faults.
        return self._skips_unmatched and isinstance(error, UnknownFrame)

    def _read(self, message: DetectorMessage) -> DetectedImages:
        image = {"file_name": message.attributes.get("key", message.location)}
        output = OutputMessage(message.content, message.location, image, self._configuration.names)
        return DetectedImages(
            output,
            self._configuration.format,
            limits=self._limits,
            most=self._max_detections,
            way=BRIDGE,
        )

    def _outputs(
        self, paired: Sequence[_Paired], sizes: Mapping[FrameId, Size]
    ) -> list[FrameOutput]:
        return [
            output
            for part in paired
            for output in part.outputs(self._configuration.detector, sizes)
        ]

    def _is_early(self, message: DetectorMessage) -> bool:
        """Whether the message's frame may still be on its way."""
        if message.taken_at is None:
            return False
        age_s = self._clock.now().timestamp() - message.taken_at
        # A producer's clock may be ahead; a message far in the future would block the others.
        return abs(age_s) < self._wait_s

    async def _publish(
        self, drafts: Sequence[PredictionsMade], refused: Sequence[Rejection]
    ) -> None:
        now = self._clock.now()
        letters = [dead_letter(item, now, BRIDGE) for item in refused]
        await self._publisher.publish([Submission(draft) for draft in drafts], letters)
