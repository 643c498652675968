"""A client for the part of Label Studio's HTTP API that Gazeloop needs, with Gazeloop's errors.

It uses httpx, which is a dependency already. Label Studio's own SDK would add pandas, OpenCV, nltk
and fifteen more packages for these dozen requests.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import httpx

from services.annotation.label_studio.tasks import KEY, Json
from services.contracts.errors import InvalidRecord, InvalidSettings, ToolUnavailable
from services.runtime.settings import Settings

_TIMEOUT_S = 60.0
_PAGE = 200
_IDS_PAGE = 1000
_LATER = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.LOCKED}
    | {HTTPStatus.TOO_MANY_REQUESTS}
)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator["LabelStudio"]:
    """A client for the configured Label Studio; does not connect yet.

    Raises
    ------
    InvalidSettings
        Its URL or token is not set.
    """
    url, token = settings.label_studio_url, settings.label_studio_token.get_secret_value()
    if not url.startswith(("http://", "https://")) or not token:
        raise InvalidSettings(
            "set GAZELOOP_LABEL_STUDIO_URL to Label Studio's address, and"
            " GAZELOOP_LABEL_STUDIO_TOKEN to an access token of its account page"
        )
    async with httpx.AsyncClient(base_url=url.rstrip("/"), timeout=_TIMEOUT_S) as http:
        yield LabelStudio(http, token)


class LabelStudio:
    """One account of a Label Studio server.

    Every call raises `ToolUnavailable` if the server does not answer, `InvalidSettings` if it
    refuses the token, and `InvalidRecord` if it refuses the request.

    Parameters
    ----------
    token : a personal access token, which is exchanged for short-lived ones, or a legacy token
    """

    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self._http = http
        self._token = token.strip()
        self._granted = ""
        self._granting = asyncio.Lock()

    @property
    def url(self) -> str:
        """The server's URL."""
        return str(self._http.base_url).rstrip("/")

    async def projects(self, title: str) -> list[Json]:
        """The projects with exactly this title, oldest first."""
        found = await self._get("/api/projects", params={"title": title, "page_size": _PAGE})
        same = [item for item in found["results"] if item["title"] == title]
        return sorted(same, key=lambda item: int(item["id"]))

    async def create_project(self, **facts: Any) -> Json:
        """Create a project."""
        return await self._call("POST", "/api/projects", json=facts)

    async def project(self, project: int) -> Json | None:
        """A project with its counts; None if it does not exist."""
        return await self._find(f"/api/projects/{project}")

    async def change_project(self, project: int, **facts: Any) -> Json:
        """Set these fields of a project."""
        return await self._call("PATCH", f"/api/projects/{project}", json=facts)

    async def webhooks(self, project: int) -> list[Json]:
        """A project's webhooks."""
        found: Any = await self._get("/api/webhooks/", params={"project": project})
        return list(found)

    async def set_webhook(self, known: int | None, **facts: Any) -> Json:
        """Create a webhook, or change the known one."""
        if known is None:
            return await self._call("POST", "/api/webhooks/", json=facts)
        return await self._call("PATCH", f"/api/webhooks/{known}/", json=facts)

    async def create_tasks(self, project: int, tasks: Sequence[Json]) -> list[int]:
        """Create tasks with their predictions, all or none; return their ids in the same order."""
        path = f"/api/projects/{project}/import"
        created = await self._call(
            "POST", path, params={"return_task_ids": "true"}, json=list(tasks)
        )
        ids = created.get("task_ids", [])
        if len(ids) != len(tasks):
            raise ToolUnavailable(f"Label Studio made {len(ids)} of {len(tasks)} tasks")
        return [int(id_) for id_ in ids]

    async def upload(self, project: int, name: str, content: bytes, media_type: str) -> str:
        """Upload an image; return the path at which logged-in users can load it."""
        path = f"/api/projects/{project}/import"
        files = {"file": (name, content, media_type)}
        uploaded = await self._call(
            "POST", path, params={"commit_to_project": "false"}, files=files
        )
        (upload,) = uploaded["file_upload_ids"]
        stored_file = await self._get(f"/api/import/file-upload/{upload}")
        return f"/data/{stored_file['file']}"

    async def task(self, task_id: int) -> Json | None:
        """A task with annotations, drafts and predictions; None if it does not exist."""
        return await self._find(f"/api/tasks/{task_id}/", params={"resolve_uri": "false"})

    async def change_task(self, task_id: int, data: Mapping[str, Any]) -> None:
        """Replace a task's data."""
        await self._call("PATCH", f"/api/tasks/{task_id}/", json={"data": dict(data)})

    async def delete_task(self, task_id: int) -> None:
        """Delete a task if it exists."""
        answer = await self._send("DELETE", f"/api/tasks/{task_id}/")
        if answer.status_code != HTTPStatus.NOT_FOUND:
            self._checked(answer)

    async def tasks_with_keys(self, project: int, keys: Sequence[str]) -> list[Json]:
        """The tasks with any of these keys, oldest first."""
        items = [_filter(f"data.{KEY}", "equal", "String", key) for key in keys]
        found = [task async for task in self._tasks(project, _query("or", items), _PAGE)]
        return sorted(found, key=lambda item: int(item["id"]))

    async def our_tasks(self, project: int) -> list[Json]:
        """Id and data of every task with a Gazeloop key."""
        items = [_filter(f"data.{KEY}", "empty", "String", "false")]
        query = _query("and", items, ordering=["-tasks:id"])
        return [task async for task in self._tasks(project, query, _IDS_PAGE)]

    async def how_many(self, project: int) -> int:
        """The number of tasks with a Gazeloop key."""
        query = _query("and", [_filter(f"data.{KEY}", "empty", "String", "false")])
        params = {"project": project, "query": query, "page": 1, "page_size": 1}
        return int((await self._get("/api/tasks", params=params))["total"])

    def changed_since(self, project: int, since: str) -> AsyncIterator[Json]:
        """Tasks changed since a time of Label Studio's clock, the last change first.

        A task may come twice. Those that change meanwhile may be missing, but then their time is
        later than all that came: nothing is missed if the latest of these is the next `since`, once
        all have come.
        """
        items = [_filter("updated_at", "greater", "Datetime", since)] if since else []
        return self._tasks(project, _query("and", items, ordering=["-tasks:updated_at"]), _PAGE)

    async def _tasks(self, project: int, query: str, size: int) -> AsyncIterator[Json]:
        """Every task of a query that lists new and changed tasks first.

        Pages are counted from the front of a list that changes between two requests. A task that
        comes to the front moves the others back, so that some come twice. One that is deleted
        moves the others forward, past the end of the page that was read; then earlier pages are
        read again.
        """
        page, length, total = 1, 0, 0
        while True:
            params = {"project": project, "query": query, "page": page, "page_size": size}
            answer = await self._send("GET", "/api/tasks", params=params)
            if answer.status_code == HTTPStatus.NOT_FOUND and page > 1:  # deletions ended the list
                page -= 1
                continue
            found: Json = self._checked(answer)
            for item in found["tasks"]:
                yield item
            length = max(length, len(found["tasks"]))  # the server may allow fewer than `size`
            deleted, total = total - int(found["total"]), int(found["total"])
            if deleted > 0:
                page = max(1, page - math.ceil(deleted / length))
            elif page * length < total and found["tasks"]:
                page += 1
            else:
                return

    async def _get(self, path: str, **options: Any) -> Json:
        return await self._call("GET", path, **options)

    async def _find(self, path: str, **options: Any) -> Json | None:
        answer = await self._send("GET", path, **options)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        found: Json = self._checked(answer)
        return found

    async def _call(self, method: str, path: str, **options: Any) -> Json:
        found: Json = self._checked(await self._send(method, path, **options))
        return found

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        answer = await self._authorised(method, path, **options)
        if answer.status_code == HTTPStatus.UNAUTHORIZED and self._granted:
            self._granted = ""  # it has expired
            answer = await self._authorised(method, path, **options)
        return answer

    async def _authorised(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": await self._authorization()}
        return await self._raw(method, path, headers=headers, **options)

    async def _authorization(self) -> str:
        if self._token.count(".") != 2:  # noqa: PLR2004  # a JWT has three parts
            return f"Token {self._token}"
        async with self._granting:
            if not self._granted:
                body = {"refresh": self._token}
                answer = await self._raw("POST", "/api/token/refresh", json=body)
                self._granted = self._checked(answer)["access"]
        return f"Bearer {self._granted}"

    async def _raw(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **options)
        except httpx.TransportError as exc:
            detail = f"Label Studio at {self.url} does not answer: {type(exc).__name__} {exc}"
            raise ToolUnavailable(detail.strip()) from exc

    def _checked(self, answer: httpx.Response) -> Any:
        status = answer.status_code
        if status in _LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ToolUnavailable(f"Label Studio answers {status} to {answer.request.url.path}")
        if status == HTTPStatus.UNAUTHORIZED or (
            "token" in answer.request.url.path and status >= HTTPStatus.BAD_REQUEST
        ):
            raise InvalidSettings(
                f"Label Studio refuses GAZELOOP_LABEL_STUDIO_TOKEN ({_detail(answer)}); make a new"
                f" one on its account page, {self.url}/user/account"
            )
        if status >= HTTPStatus.BAD_REQUEST:
            detail = f"Label Studio refuses {answer.request.url.path}: {_detail(answer)}"
            raise InvalidRecord(detail, reason="refused_by_tool")
        if status == HTTPStatus.NO_CONTENT:
            return {}
        try:
            return answer.json()
        except ValueError as exc:
            raise InvalidSettings(
                f"GAZELOOP_LABEL_STUDIO_URL={self.url} is no Label Studio: its answer is no JSON"
            ) from exc


def _detail(answer: httpx.Response) -> str:
    try:
        answered = answer.json()
    except ValueError:
        return f"{answer.status_code}"
    detail = (
        answered.get("validation_errors") or answered.get("detail")
        if isinstance(answered, dict)
        else answered
    )
    return f"{answer.status_code}: {json.dumps(detail)[:300]}"


def _filter(field: str, operator: str, kind: str, value: str) -> Json:
    return {"filter": f"filter:tasks:{field}", "operator": operator, "type": kind, "value": value}


def _query(conjunction: str, items: Sequence[Json], **more: Any) -> str:
    return json.dumps({"filters": {"conjunction": conjunction, "items": list(items)}, **more})
