"""The HTTP interface on fakes, and clients of it."""

import json
from dataclasses import replace
from typing import Any

import httpx

from services.contracts.events import Event, FrameAnnotated
from services.contracts.identity import VehicleId
from services.domain.namespaces import Vehicle
from services.ingest.accepting import Acceptance
from services.ingest.api.app import build_http_app
from services.ingest.api.bodies import FrameMetadata
from services.ingest.api.erasures import Erase, ErasureAnswer
from services.ingest.api.originals import Originals
from services.runtime.http.tokens import issue
from services.runtime.settings import Settings
from tests.fakes.audit import InMemoryAuditLog
from tests.fakes.blobs import InMemoryBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.outbox import InMemoryOutbox
from tests.fakes.tokens import InMemoryTokenStore
from tests.fakes.tombstones import InMemoryTombstones
from tests.unit.ingest.datasets import Json, jpeg
from tests.unit.ingest.parts import holder_of, parts_in_memory

FRAME = "v1:1"
METADATA: Json = {"frame_id": FRAME, "captured_at": "2026-05-04T10:00:00Z"}
BOX: Json = {"category": "stop sign", "bbox": [1, 2, 3, 4]}
PREDICTIONS: Json = {
    "frame_id": FRAME,
    "detector": "ods",
    "version": "1",
    "detections": [BOX | {"score": 0.5}],
}
GROUND_TRUTH: Json = {"frame_id": FRAME, "annotations": [BOX]}


class _EveryId(Vehicle):
    def owns(self, name: str) -> bool:
        return bool(name)


class Web:
    def __init__(self, **settings: Any) -> None:
        self.outbox = InMemoryOutbox()
        self.blobs = InMemoryBlobs()
        self.tokens = InMemoryTokenStore()
        self.clock = FakeClock()
        self.ledger = InMemoryLedger()
        self.frames = InMemoryFrameStore()
        self.tombstones = InMemoryTombstones()
        self.audit = InMemoryAuditLog()
        self.erased: list[tuple[Erase, str]] = []
        self.parts = replace(
            parts_in_memory(),
            outbox=self.outbox,
            blobs=self.blobs,
            ledger=self.ledger,
            frames=self.frames,
            tombstones=self.tombstones,
            settings=Settings(**settings),
            clock=self.clock,
        )
        self.app = build_http_app(
            self.parts,
            tokens=self.tokens,
            holder=holder_of(self.parts),
            erase=self._erase,
            originals=Originals(self.frames, self.blobs, self.tombstones, self.audit, self.clock),
        )
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://ingest")

    async def _erase(self, wanted: Erase, operator: str) -> ErasureAnswer:
        self.erased.append((wanted, operator))
        return ErasureAnswer(frames=1, counts={"frames": 1}, awaited={}, copies=())

    async def token(self, scope: str) -> str:
        token, record = issue(scope, self.clock.now())
        await self.tokens.add(record)
        return token

    async def headers(self, scope: str = "vehicle:v1") -> dict[str, str]:
        return {"Authorization": f"Bearer {await self.token(scope)}"}

    async def post_frame(
        self, metadata: object = METADATA, image: bytes | None = None, scope: str = "vehicle:v1"
    ) -> httpx.Response:
        text = metadata if isinstance(metadata, str) else json.dumps(metadata)
        content = jpeg() if image is None else image
        return await self.client.post(
            "/v1/frames",
            files={"image": ("a.jpg", content, "image/jpeg")},
            data={"metadata": text},
            headers=await self.headers(scope),
        )

    async def post(
        self,
        path: str,
        content: object,
        scope: str = "vehicle:v1",
        media_type: str = "application/json",
    ) -> httpx.Response:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers = await self.headers(scope) | {"Content-Type": media_type}
        return await self.client.post(path, content=body, headers=headers)

    async def publish_before_namespaces(self, metadata: Json, vehicle_id: str) -> None:
        """A frame as an older version took it: whoever named an id first owned it."""
        acceptance = Acceptance(self.parts, holder_of(self.parts))
        frame = FrameMetadata.model_validate(metadata)
        await acceptance.frame(jpeg(), frame, _EveryId(VehicleId(vehicle_id), vehicle_id))

    @property
    def annotated(self) -> list[FrameAnnotated]:
        return [event for event in self.published if isinstance(event, FrameAnnotated)]

    @property
    def published(self) -> list[Event]:
        return self.outbox.published
