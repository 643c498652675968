"""What stands for a Qdrant behind TLS: no registry has its server."""

import json
import re
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

KEY = "the-right-api-key"
READING_KEY = "the-key-that-only-reads"


class Qdrant(BaseHTTPRequestHandler):
    """Answers what an empty Qdrant does, by the key that it is shown."""

    def do_GET(self) -> None:
        right = self.headers.get("api-key") in {KEY, READING_KEY}
        found: dict[str, object] = {"aliases": [], "collections": [], "exists": False}
        if right and re.fullmatch(r"/collections/[^/]+", self.path):
            self._answer(HTTPStatus.NOT_FOUND, {"status": {"error": "Not found"}, "time": 0.0})
            return
        body = {"result": found, "status": "ok", "time": 0.0} if right else {}
        self._answer(HTTPStatus.OK if right else HTTPStatus.UNAUTHORIZED, body)

    def do_POST(self) -> None:
        """Points are written: there is no collection, but that is only for those who may."""
        self.rfile.read(int(self.headers["Content-Length"]))
        status = {KEY: HTTPStatus.NOT_FOUND, READING_KEY: HTTPStatus.FORBIDDEN}
        refusal = {"status": {"error": "Forbidden: Global write access is required"}, "time": 0.0}
        self._answer(status.get(self.headers["api-key"], HTTPStatus.UNAUTHORIZED), refusal)

    def _answer(self, status: HTTPStatus, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""
