"""A real Label Studio: installed by `make tools`, started on a copy of its empty database."""

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.deploy.checking import missing
from tests.ports import free_ports

TOOL = Path(__file__).parents[3] / ".tools" / "label-studio"
EMAIL = "ana@example.org"
# Hexadecimal digits: an argument that begins with a hyphen would be read as an option.
PASSWORD = secrets.token_hex(12)
START_S = 400.0
"""It takes 15 s on an idle machine."""


@dataclass(frozen=True)
class Server:
    """A running Label Studio, and somebody who is in."""

    url: str
    token: str
    person: httpx.Client
    """Their browser, as far as the server can tell."""

    def tasks(self, title: str) -> list[dict[str, Any]]:
        """The project's tasks, with everything in them, the oldest first."""
        found = self._get("/api/tasks", project=self.project(title)["id"], fields="all")["tasks"]
        return sorted(found, key=lambda task: str(task["data"]["frame_id"]))

    def project(self, title: str) -> dict[str, Any]:
        (found,) = [
            item for item in self._get("/api/projects")["results"] if item["title"] == title
        ]
        return dict(found)

    def submit(self, task: int, results: list[Any], **more: Any) -> int:
        """What an annotator's Submit sends; the annotation's id."""
        body = {"result": results, "lead_time": 12.5, **more}
        return int(self._sent("POST", f"/api/tasks/{task}/annotations/", body)["id"])

    def update(self, annotation: int, results: list[Any]) -> None:
        self._sent("PATCH", f"/api/annotations/{annotation}/", {"result": results})

    def draft(self, task: int, results: list[Any]) -> None:
        self._sent("POST", f"/api/tasks/{task}/drafts", {"result": results, "lead_time": 1.0})

    def delete(self, task: int) -> None:
        self.person.delete(f"/api/tasks/{task}/").raise_for_status()

    def _get(self, path: str, **params: Any) -> Any:
        answer = self.person.get(path, params={"page_size": 100, **params})
        return answer.raise_for_status().json()

    def _sent(self, method: str, path: str, body: dict[str, Any]) -> Any:
        return self.person.request(method, path, json=body).raise_for_status().json()


@contextmanager
def label_studio(folder: Path) -> Iterator[Server]:
    """Label Studio on a free port."""
    program = TOOL / "bin" / "label-studio"
    if not program.exists():
        missing(f"no Label Studio in {TOOL}: `make tools` installs it (1 GB)")
    shutil.copytree(TOOL / "empty", folder, dirs_exist_ok=True)
    (port,) = free_ports(1)
    given = {
        "HOME": str(folder),
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "USE_DEFAULT_BANNED_SUBNETS": "false",  # else its webhooks may not call this machine
        "LATEST_VERSION_CHECK": "false",
        "COLLECT_ANALYTICS": "false",
    }
    command = [str(program), "start", "--no-browser", "--data-dir", str(folder)]
    command += ["--internal-host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--username", EMAIL, "--password", PASSWORD],
            env={**os.environ, **given},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield _entered(f"http://127.0.0.1:{port}", process, folder / "server.log")
    finally:
        process.terminate()
        process.wait(240)


def _entered(url: str, process: subprocess.Popen[bytes], log: Path) -> Server:
    end = time.monotonic() + START_S
    while not _is_up(url):
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < end, log.read_text()[-2000:]
        time.sleep(0.25)
    person = httpx.Client(base_url=url, timeout=240, headers={"Referer": url})
    person.get("/user/login/")
    form = {
        "email": EMAIL,
        "password": PASSWORD,
        "csrfmiddlewaretoken": person.cookies["csrftoken"],
    }
    assert person.post("/user/login/", data=form).status_code == 302
    person.headers["X-CSRFToken"] = person.cookies["csrftoken"]
    token = person.post("/api/token/").raise_for_status().json()["token"]
    return Server(url, token, person)


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
