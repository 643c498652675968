"""The part of CVAT's interface that we use, on loopback: not CVAT, but held to its schema.

Every body that arrives is checked by the models of CVAT's own SDK, which are generated from CVAT's
OpenAPI document; every answer is read by the SDK through the same models.
"""

import email.policy
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePath
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cvat_sdk import models
from cvat_sdk.api_client.configuration import Configuration
from cvat_sdk.api_client.model_utils import validate_and_convert_types
from PIL import Image

TOKEN = "a-personal-access-token"
AT = "2026-05-04T10:00:00Z"
Json = dict[str, Any]


def checked(body: Json, model: type) -> Json:
    """The body, if CVAT's schema knows it so."""
    validate_and_convert_types(body, (model,), ["body"], True, True, Configuration())
    return body


class Task:
    """A task as the server keeps it, with its one job."""

    def __init__(self, number: int, spec: Json) -> None:
        self.id = number
        self.name: str = spec["name"]
        self.images: dict[str, bytes] = {}
        self.shapes: list[Json] = []
        self.tracks: list[Json] = []
        self.state = "new"
        self.annotator: str | None = None
        self.deleted: list[int] = []
        self.labels = [
            {
                "id": 100 * number + at,
                "name": label["name"],
                "task_id": number,
                "attributes": [
                    {"id": 10_000 * number + 100 * at + place, **attribute}
                    for place, attribute in enumerate(label.get("attributes", []))
                ],
            }
            for at, label in enumerate(spec.get("labels", []), 1)
        ]

    @property
    def names(self) -> list[str]:
        return sorted(self.images)

    def document(self, url: str) -> Json:
        return {
            "url": f"{url}/api/tasks/{self.id}",
            "id": self.id,
            "name": self.name,
            "size": len(self.images),
            "mode": "annotation",
            "created_date": AT,
            "updated_date": AT,
            "jobs": {"count": 1, "completed": 0, "validation": 0, "url": f"{url}/api/jobs"},
            "labels": {"url": f"{url}/api/labels"},
            "organization": None,
        }

    def job(self, url: str) -> Json:
        assignee = {"url": url, "id": 7, "username": self.annotator} if self.annotator else None
        return {
            "url": f"{url}/api/jobs/{self.id}",
            "id": self.id,
            "task_id": self.id,
            "assignee": assignee,
            "state": self.state,
            "stage": "annotation",
            "type": "annotation",
            "start_frame": 0,
            "stop_frame": len(self.images) - 1,
            "frame_count": len(self.images),
            "issues": {"url": url, "count": 0},
            "labels": {"url": url},
            "organization": None,
        }

    def meta(self) -> Json:
        sizes = {name: Image.open(io.BytesIO(self.images[name])).size for name in self.images}
        return {
            "chunks_updated_date": AT,
            "size": len(self.images),
            "deleted_frames": self.deleted,
            "frames": [
                {"name": name, "width": size[0], "height": size[1], "related_files": 0}
                for name, size in sorted(sizes.items())
            ],
        }

    def annotations(self) -> Json:
        return {"version": 1, "tags": [], "tracks": self.tracks, "shapes": self.shapes}


class Cvat:
    """What is on the server; `broken` answers the next so many requests with 502."""

    def __init__(self) -> None:
        self.url = ""
        self.tasks: dict[int, Task] = {}
        self.broken_after: int | None = None
        self.requests: list[str] = []

    def named(self) -> dict[str, Task]:
        return {task.name: task for task in self.tasks.values()}

    def answer(self, method: str, path: str, query: Json, headers: Any, body: bytes) -> Any:
        """Status and document."""
        self.requests.append(f"{method} {path}")
        if headers["authorization"] != f"Bearer {TOKEN}":
            return 401, {"detail": "Invalid token."}
        if self.broken_after is not None:
            self.broken_after -= 1
            if self.broken_after < 0:
                return 502, {"detail": "Bad gateway"}
        found = re.fullmatch(r"/api/(?:tasks|jobs)/(\d+)(/.*?)?/?", path)
        if found is None:
            return self._whole(method, path, query, body)
        if int(found[1]) not in self.tasks:
            return 404, {"detail": "Not found."}
        return self._of(self.tasks[int(found[1])], method, found[2] or "", headers, body)

    def _whole(self, method: str, path: str, query: Json, body: bytes) -> Any:
        """What is not about one task or job."""
        match path:
            case "/api/users/self":
                return 200, {"url": self.url, "id": 1, "username": "us", "groups": []}
            case "/api/tasks":
                return self._tasks(method, body)
            case "/api/labels" | "/api/jobs":
                (number,) = query["task_id"] if "task_id" in query else query["job_id"]
                task = self.tasks[int(number)]
                return 200, page(task.labels if path == "/api/labels" else [task.job(self.url)])
        assert path.startswith("/api/requests/"), f"{method} {path} is not spoken here"
        operation = {"type": "create:task", "target": "task"}
        found = {
            "id": path.rpartition("/")[2],
            "status": "finished",
            "message": "",
            "created_date": AT,
        }
        return 200, {**found, "operation": operation}

    def _tasks(self, method: str, body: bytes) -> Any:
        if method == "GET":
            return 200, page([task.document(self.url) for task in self.tasks.values()])
        spec = checked(json.loads(body), models.TaskWriteRequest)
        task = Task(max(self.tasks, default=0) + 1, spec)
        self.tasks[task.id] = task
        return 201, task.document(self.url)

    def _of(self, task: Task, method: str, what: str, headers: Any, body: bytes) -> Any:
        if (method, what) == ("POST", "/data"):
            return self._upload(task, headers, body)
        if (method, what) == ("DELETE", ""):
            del self.tasks[task.id]
            return 204, None
        if (method, what) == ("PATCH", ""):
            task.name = checked(json.loads(body), models.PatchedTaskWriteRequest)["name"]
        elif (method, what) == ("PUT", "/annotations"):
            task.shapes = checked(json.loads(body), models.LabeledDataRequest)["shapes"]
        else:
            assert method == "GET", f"{method} {what} is not spoken here"
        documents = {"": task.document(self.url), "/annotations": task.annotations()}
        return 200, task.meta() if what == "/data/meta" else documents[what]

    @staticmethod
    def _upload(task: Task, headers: Any, body: bytes) -> Any:
        if "Upload-Multiple" in headers:
            kind = f"Content-Type: {headers['content-type']}\r\n\r\n".encode()
            parts = message_from_bytes(kind + body, policy=email.policy.HTTP)
            for part in parts.iter_parts():
                if name := part.get_filename():
                    task.images[PurePath(name).name] = bytes(part.get_content())
            return 200, {}
        return 202, {"rq_id": "action=create&target=task"} if "Upload-Finish" in headers else {}


def page(results: list[Json]) -> Json:
    return {"count": len(results), "next": None, "previous": None, "results": results}


@contextmanager
def serving() -> Iterator[Cvat]:
    """The server, until this is left."""
    cvat = Cvat()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _speak(self) -> None:
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            given = (self.command, address.path, parse_qs(address.query), self.headers, body)
            status, document = cvat.answer(*given)
            content = b"" if document is None else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self._speak
            raise AttributeError(name)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        cvat.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield cvat
        server.shutdown()
        thread.join()
