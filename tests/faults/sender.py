"""A vehicle: writes its records to a spool and sends them, until it is killed.

Arguments: url, token, folder of the spool, number of frames. Frames that were added once are not
added again.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gazeloop_client import SpooledClient

from tests.unit.ingest.datasets import jpeg

_START = datetime(2026, 5, 4, 10, tzinfo=UTC)


def drive(url: str, token: str, folder: Path, frames: int) -> None:
    """Publish all frames, each once, with a note on disk of how many are spooled."""
    image, note = jpeg(), folder.with_suffix(".added")
    first = len(note.read_bytes()) if note.exists() else 0
    with SpooledClient(url, token, folder) as vehicle, note.open("ab", buffering=0) as added:
        for number in range(first, frames):
            at = _START + timedelta(seconds=number)
            vehicle.publish_frame(image, {"frame_id": f"v1:{number}", "captured_at": at})
            added.write(b".")
        while not vehicle.flush(3600.0):
            pass


if __name__ == "__main__":
    drive(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
