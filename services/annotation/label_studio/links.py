"""Signed links to single images, for browsers without a token; valid for some weeks."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

from services.contracts.identity import FrameId

PATH = "/v1/images"
LASTING = timedelta(days=30)
RENEWED = timedelta(days=10)
"""Renew an open task's link if less than this validity is left."""

SigningKey = Callable[[], Awaitable[bytes]]


class ImageLinks:
    """Makes and checks links.

    Parameters
    ----------
    signing_key : the deployment's secret, the same for all processes
    public_url : where browsers reach ingest
    """

    def __init__(self, signing_key: SigningKey, public_url: str) -> None:
        self._signing_key = signing_key
        self._public_url = public_url.rstrip("/")

    async def link(self, frame_id: FrameId, until: datetime) -> str:
        """A URL of this frame's image, valid until then.

        Raises
        ------
        StoreUnavailable
            The store of the signing key does not answer.
        """
        ends = int(until.timestamp())
        query = {"until": ends, "signature": await self._signature(frame_id, ends)}
        return f"{self._public_url}{PATH}/{quote(frame_id, safe='')}?{urlencode(query)}"

    async def is_good(self, frame_id: FrameId, until: str, signature: str, now: datetime) -> bool:
        """Whether the signature is ours and has not expired."""
        if not (until.isascii() and until.isdigit() and len(until) < 12):  # noqa: PLR2004  # seconds to the year 5138
            return False
        expected = await self._signature(frame_id, int(until))
        signed = hmac.compare_digest(expected.encode(), signature.encode(errors="replace"))
        return signed and now < datetime.fromtimestamp(int(until), UTC)

    async def _signature(self, frame_id: FrameId, until: int) -> str:
        # A separate key derived from the deployment's, so that no review page signature fits here.
        key = hmac.digest(await self._signing_key(), b"links to images", hashlib.sha256)
        return hmac.new(key, f"{until} {frame_id}".encode(), hashlib.sha256).hexdigest()
