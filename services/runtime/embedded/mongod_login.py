"""The user of a data folder's mongod; its password is in the folder, readable by the owner only.

Without a password, every user of the machine could read and change all data over loopback.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import SecretStr

from services.contracts.errors import MissingPart

if TYPE_CHECKING:
    from pymongo import MongoClient

USER = "gazeloop"
_FILE = "password"
_UNAUTHENTICATED = frozenset({13, 18})
"""Unauthorized, AuthenticationFailed."""
_TIMEOUT_MS = 120_000


@dataclass(frozen=True)
class MongodLogin:
    """A password, and the file that contains it."""

    password: SecretStr
    file: Path

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The login of mongod's folder; creates it if there is none.

        Raises
        ------
        OSError
            The file cannot be read or written.
        """
        file = folder / _FILE
        if not file.exists():
            draft = folder / f"{_FILE}.new"
            draft.unlink(missing_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as out:
                out.write(secrets.token_urlsafe(32))
                out.flush()
                os.fsync(out.fileno())
            draft.replace(file)
        return cls(SecretStr(file.read_text(encoding="ascii").strip()), file)

    def establish(self, port: int) -> None:
        """Log in to a mongod with authentication; creates the user if there is none yet.

        New folders and those of older versions have no user: mongod then lets the first one be
        created over loopback.

        Raises
        ------
        MissingPart
            mongod has another user or password.
        """
        from pymongo.errors import OperationFailure  # noqa: PLC0415  # slow

        try:
            self._ping(port)
        except OperationFailure as exc:
            if exc.code not in _UNAUTHENTICATED:
                raise
            self._make(port)
            self._ping(port)

    def _ping(self, port: int) -> None:
        login = {"username": USER, "password": self.password.get_secret_value()}
        with _client(port, **login) as client:
            client.admin.command("ping")

    def _make(self, port: int) -> None:
        from pymongo.errors import OperationFailure  # noqa: PLC0415  # slow

        try:
            with _client(port) as client:
                client.admin.command(
                    "createUser", USER, pwd=self.password.get_secret_value(), roles=["root"]
                )
        except OperationFailure as exc:
            if exc.code not in _UNAUTHENTICATED:
                raise
            raise MissingPart(
                f"mongod refuses the password in {self.file}: put back the file that belongs to"
                " this data folder, from where the folder was copied or backed up"
            ) from exc


def _client(port: int, **login: Any) -> "MongoClient[dict[str, Any]]":
    from pymongo import MongoClient  # noqa: PLC0415  # slow

    return MongoClient(
        "127.0.0.1",
        port,
        directConnection=True,
        serverSelectionTimeoutMS=_TIMEOUT_MS,
        **login,
    )
