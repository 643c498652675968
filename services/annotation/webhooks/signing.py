"""Signatures that prove to a receiver that a delivery is from Gazeloop, and recent.

The Standard Webhooks scheme, version 1 (github.com/standard-webhooks/standard-webhooks).
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence

from services.contracts.errors import InvalidSettings

PREFIX = "whsec_"
_MIN_BYTES, _MAX_BYTES = 24, 64  # bytes, by the scheme


def secret_of(text: str) -> bytes:
    """The key encoded as `whsec_` and base64.

    Raises
    ------
    InvalidSettings
        The text has another form, or the key does not have 24 to 64 bytes.
    """
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except ValueError as exc:  # binascii.Error is one
        raise InvalidSettings(f"a webhook's secret is not {PREFIX} and base64: {exc}") from exc
    if not text.startswith(PREFIX) or not _MIN_BYTES <= len(key) <= _MAX_BYTES:
        raise InvalidSettings(
            f"a webhook's secret is {PREFIX} and the base64 of {_MIN_BYTES} to {_MAX_BYTES} bytes"
        )
    return key


def headers(message_id: str, at_s: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """The headers that a receiver verifies.

    Parameters
    ----------
    message_id : equal for all attempts of a delivery, so that a receiver can drop repeats
    at_s : time of sending, in seconds since 1970
    secrets : several while a secret is being replaced; each adds a signature
    """
    signed = b".".join((message_id.encode(), str(at_s).encode(), body))
    signatures = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(s).decode()}" for s in signatures),
    }
