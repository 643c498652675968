"""Stores records on disk at once, and sends them in the background, in order."""

import json
import logging
import threading
from pathlib import Path
from types import TracebackType

import httpx

from gazeloop_client import protocol
from gazeloop_client.client import Client
from gazeloop_client.errors import Refused, Unavailable
from gazeloop_client.protocol import Backoff, Retry
from gazeloop_client.records import FrameMetadata, GroundTruth, Predictions
from gazeloop_client.spool import Spool, SpooledRecord

log = logging.getLogger("gazeloop_client")
_GIGABYTE = 1 << 30
_BYTES_PER_REQUEST = 1 << 20
_IDLE_S = 1.0


class SpooledClient:
    """A client for vehicles, which may lose power or the network at any time.

    `publish_*` returns when the record is on disk. A thread sends the records in order, waits while
    Gazeloop is away, and continues after a restart. Refused records lie in the spool's folder
    `refused`, with the reason.

    Parameters
    ----------
    folder : of the spool; one process at a time
    limit_bytes : of waiting records; 1 GiB by default
    transport : how requests travel; httpx's default
    """

    def __init__(
        self,
        url: str,
        token: str,
        folder: Path | str,
        *,
        limit_bytes: int = _GIGABYTE,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._spool = Spool(Path(folder), limit_bytes)
        self._client = Client(url, token, timeout_s=0.0, transport=transport)
        self._added, self._ended = threading.Event(), threading.Event()
        self._empty = threading.Condition()
        self.last_error: Exception | None = None
        """Why the oldest record could not be sent at the last attempt; None if it could."""
        self._thread = threading.Thread(target=self._deliver, name="gazeloop-spool", daemon=True)
        self._thread.start()

    def __enter__(self) -> "SpooledClient":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thread after the request in progress; records that wait stay on disk."""
        self._ended.set()
        self._added.set()
        self._thread.join()
        self._client.close()
        self._spool.close()

    def publish_frame(self, image: bytes, metadata: FrameMetadata) -> None:
        """Store an image for sending.

        Raises
        ------
        SpoolFull
            The spool has reached its limit.
        ValueError
            `captured_at` is missing, or has no time zone; or the client is closed.
        """
        files = protocol.frame_request(image, metadata).files
        assert files is not None
        self._add(protocol.FRAMES, files["metadata"][1], image)

    def publish_predictions(self, record: Predictions) -> None:
        """Store a detector's predictions on one frame for sending."""
        self._add(protocol.PREDICTIONS, json.dumps(record).encode())

    def publish_ground_truth(self, record: GroundTruth) -> None:
        """Store the ground truth of one frame for sending."""
        self._add(protocol.GROUND_TRUTH, json.dumps(record).encode())

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing waits any more; False if something still does after the time."""
        with self._empty:
            return self._empty.wait_for(lambda: not len(self._spool), timeout_s)

    def __len__(self) -> int:
        """How many records wait."""
        return len(self._spool)

    @property
    def refused(self) -> int:
        """How many records Gazeloop refused; they lie in the folder `refused`."""
        return self._spool.refused

    def _add(self, path: str, described: bytes, image: bytes | None = None) -> None:
        self._spool.add(path, described, image)
        self._added.set()

    def _deliver(self) -> None:
        backoff = Backoff()
        while not self._ended.is_set():
            self._added.clear()
            try:
                is_sent = self._send_oldest()
            except Exception as exc:  # noqa: BLE001  # whatever it is, the thread must not end
                self._note(exc)
                after_s = exc.retry_after_s if isinstance(exc, Unavailable) else None
                self._ended.wait(backoff.next_wait_s(Retry(str(exc), after_s)))
                continue
            self.last_error, backoff = None, Backoff()
            if not is_sent:
                with self._empty:
                    self._empty.notify_all()
                self._added.wait(_IDLE_S)

    def _send_oldest(self) -> bool:
        """Send the records that waited longest; False if none waits."""
        records = self._spool.oldest(protocol.LINES_PER_REQUEST, _BYTES_PER_REQUEST)
        if records:
            self._send(records)
        return bool(records)

    def _send(self, records: list[SpooledRecord]) -> None:
        first = records[0]
        try:
            if first.image is not None:
                self._publish_frame(first, first.image)
                refused = {}
            else:
                lines = [record.described for record in records]
                result = self._client.send_lines(first.path, lines)
                refused = {line.place: (line.reason, line.detail) for line in result.refused}
        except Refused as exc:
            # Of a whole request: by itself, each record is refused or taken for its own sake.
            if len(records) > 1:
                for record in records:
                    self._send([record])
                return
            refused = {0: (exc.reason, exc.detail)}
        for place, record in enumerate(records):
            if place in refused:
                self._spool.refuse(record.file, *refused[place])
                log.warning("refused %s: %s", record.file.name, ": ".join(refused[place]))
            else:
                self._spool.remove(record)

    def _publish_frame(self, record: SpooledRecord, image: bytes) -> None:
        response = self._client.send(protocol.described_frame_request(image, record.described))
        protocol.accepted_of(response.status_code, response.content)

    def _note(self, error: Exception) -> None:
        if self.last_error is None:
            log.warning("waiting to send: %s", error)
        self.last_error = error
