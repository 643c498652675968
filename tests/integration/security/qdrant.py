"""What stands for a Qdrant behind TLS: no registry has its server."""

import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

KEY = "the-right-api-key"


class Qdrant(BaseHTTPRequestHandler):
    """Answers what a Qdrant without aliases does, to whom has the key."""

    def do_GET(self) -> None:
        right = self.headers.get("api-key") == KEY
        body = {"result": {"aliases": []}, "status": "ok", "time": 0.0} if right else {}
        content = json.dumps(body).encode()
        self.send_response(HTTPStatus.OK if right else HTTPStatus.UNAUTHORIZED)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""
