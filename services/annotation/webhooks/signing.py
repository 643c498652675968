"""Signatures by which a receiver knows that a delivery is ours, and recent.

The Standard Webhooks scheme, version 1 (github.com/standard-webhooks/standard-webhooks).
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence

from services.contracts.errors import InvalidSettings

PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64  # bytes, as the scheme has it


def secret_of(text: str) -> bytes:
    """The key that `whsec_` and base64 spell.

    Raises
    ------
    InvalidSettings
        They do not, or the key is not of 24 to 64 bytes.
    """
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except ValueError as exc:  # binascii.Error is one
        raise InvalidSettings(f"a webhook's secret is not {PREFIX} and base64: {exc}") from exc
    if not text.startswith(PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        raise InvalidSettings(
            f"a webhook's secret is {PREFIX} and the base64 of {_SHORTEST} to {_LONGEST} bytes"
        )
    return key


def headers(message_id: str, at_s: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """What a receiver verifies.

    Parameters
    ----------
    message_id : the same for every try of a delivery, so that repeats can be dropped
    at_s : when it is sent, in seconds since 1970
    secrets : more than one while a secret is being replaced; any of them verifies
    """
    signed = b".".join((message_id.encode(), str(at_s).encode(), body))
    signatures = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(s).decode()}" for s in signatures),
    }
