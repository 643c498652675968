"""Check the configured annotation tools: webhook receivers, Label Studio, CVAT."""

import asyncio
from urllib.parse import urlsplit

import httpx

from services.annotation.label_studio.client import LabelStudio, opened
from services.annotation.label_studio.project import LETS_OUT, webhook_url
from services.annotation.webhooks.receivers import Receiver, receivers_of
from services.app.cvat_tasks import cvat_server
from services.app.doctor.finding import Finding, Level
from services.runtime.settings import Settings

_ANSWERED_WITHIN_S = 5.0
_SETUP = "`gazeloop label-studio setup` creates it; so does the first push of a task"


async def look_at_webhooks(settings: Settings) -> list[Finding]:
    """Check that each receiver has its secret and answers; deliver nothing.

    Raises
    ------
    InvalidSettings
        A receiver is wrongly configured.
    """
    receivers = receivers_of(settings)
    async with httpx.AsyncClient(timeout=_ANSWERED_WITHIN_S) as client:
        return list(await asyncio.gather(*(_receiver(client, receiver) for receiver in receivers)))


async def _receiver(client: httpx.AsyncClient, receiver: Receiver) -> Finding:
    host = urlsplit(receiver.url).netloc  # the path may contain a key
    try:
        await client.head(receiver.url)
    except httpx.TransportError as exc:
        problem = f"{receiver.name} at {host} does not answer: {type(exc).__name__}"
        remedy = "inform its team; deliveries are retried, then become dead letters to be replayed"
        return Finding(Level.WARNING, "webhooks", problem, remedy)
    return Finding(Level.OK, "webhooks", f"{receiver.name} at {host} answers; its secret is set")


async def look_at_label_studio(settings: Settings) -> list[Finding]:
    """Check that it answers, accepts the token, has the project, and sends webhooks.

    Raises
    ------
    ToolUnavailable, InvalidSettings
        It does not answer, or refuses the token.
    """
    async with opened(settings) as tool:
        found = await tool.projects(settings.label_studio_project)
        title = f"{tool.url} answers; project {settings.label_studio_project!r}"
        if not found:
            return [Finding(Level.WARNING, "label_studio", f"{title} does not exist", _SETUP)]
        exists = Finding(Level.OK, "label_studio", f"{title} exists")
        return [exists, *await _webhook(tool, int(found[0]["id"]), settings)]


async def _webhook(tool: LabelStudio, project: int, settings: Settings) -> list[Finding]:
    url = webhook_url(settings)
    if url is None:
        half = bool(settings.public_url) or bool(settings.label_studio_webhook_secret)
        remedy = "set both GAZELOOP_PUBLIC_URL and GAZELOOP_LABEL_STUDIO_WEBHOOK_SECRET"
        every = f"{settings.label_studio_poll_s:.0f} s"
        problem = f"no webhook: one of two settings is missing; changes are polled every {every}"
        return [Finding(Level.WARNING, "label_studio", problem, remedy)] if half else []
    if any(
        webhook["url"] == url and webhook["is_active"] for webhook in await tool.webhooks(project)
    ):
        return [Finding(Level.OK, "label_studio", f"changes are sent to {url}")]
    remedy = f"run `gazeloop label-studio setup`; for a private address start {LETS_OUT}"
    return [Finding(Level.WARNING, "label_studio", f"no webhook to {url}", remedy)]


def look_at_cvat(settings: Settings) -> list[Finding]:
    """Check that it answers and accepts the token.

    Raises
    ------
    ToolUnavailable, InvalidSettings, MissingPart
        It does not answer, refuses the token, or its SDK is not installed.
    """
    with cvat_server(settings):
        return [Finding(Level.OK, "cvat", f"{settings.cvat_url} answers and accepts the token")]
