"""An authority for an afternoon, and certificates that it signs."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Certificate:
    """A server's certificate and key, apart and in one file."""

    chain: Path
    key: Path
    both: Path


class Authority:
    """Signs certificates for this machine; `file` is what clients are given."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.file = folder / "ca.pem"
        self._key = folder / "ca.key"
        self._openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=an authority for an afternoon"),
            *("-keyout", str(self._key), "-out", str(self.file)),
        )

    def sign(self, name: str, *, days: int = 2) -> Certificate:
        """A certificate for localhost; of days below 0 it has expired."""
        key, request, chain, both, names = (
            self._folder / f"{name}.{kind}" for kind in ("key", "csr", "pem", "both", "names")
        )
        self._openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=localhost", "-keyout", str(key), "-out", str(request)),
        )
        names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self._openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(self.file), "-CAkey"),
            *(str(self._key), "-CAcreateserial", "-days", str(days), "-extfile", str(names)),
            *("-out", str(chain)),
        )
        both.write_text(key.read_text() + chain.read_text())
        return Certificate(chain, key, both)

    @staticmethod
    def _openssl(*arguments: str) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            pytest.fail("openssl is not on the PATH")
        subprocess.run([openssl, *arguments], check=True, capture_output=True, timeout=240)
