"""What the client raises.

ClientError
├── Refused        the record is wrong: sending it again does not help
├── Unauthorized   the token is wrong: every record waits for a right one
├── NotGazeloop    something else answered: the URL is wrong, or a portal or proxy is in between
├── Unavailable    no answer within the time: send it again later
└── SpoolFull      the disk spool has reached its limit; nothing was stored
"""


class ClientError(Exception):
    """Base of the client's errors."""


class Refused(ClientError):
    """Gazeloop refused the record.

    Attributes
    ----------
    status : HTTP status
    reason : snake_case, for programs: `truncated_image`, `foreign_frame`, …
    detail : for people
    """

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.status = status
        self.reason = reason
        self.detail = detail


class Unauthorized(ClientError):
    """The token is unknown, expired or revoked."""


class NotGazeloop(ClientError):
    """Something else than Gazeloop's ingest answered, which says nothing about the record."""


class Unavailable(ClientError):
    """Gazeloop did not accept the record within the time; it may be sent again.

    Attributes
    ----------
    retry_after_s : seconds after which Gazeloop asked to be tried again; None if it did not
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SpoolFull(ClientError):
    """The spool has reached its limit; the oldest records are kept, the new one is not stored."""
