"""Which module builds which consuming service; only those of the wanted services are imported."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Final

import structlog

from services.annotation.webhooks.receivers import names_of
from services.app.consumers.building import Build, BuiltService, Parts
from services.contracts.flow import BRIDGE, LABEL_STUDIO, WEBHOOKS
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

# Names, not imports: a process of one service loads the code of no other, nor its libraries.
BUILDERS: Final[Mapping[str, str]] = {
    "embedder": "services.app.consumers.embedder",
    "fp_miner": "services.app.consumers.fp_miner",
    "retriever": "services.app.consumers.retriever",
    "evaluator": "services.app.consumers.evaluator",
    LABEL_STUDIO: "services.app.consumers.label_studio",
    WEBHOOKS: "services.app.consumers.webhooks",
    BRIDGE: "services.app.consumers.bridge",
}
"""The modules whose `build` is a `Build`."""
_NAMED_BY: Final[Mapping[str, str]] = {
    WEBHOOKS: "name receivers in GAZELOOP_WEBHOOKS (docs/webhooks.md), and start it again",
    BRIDGE: "set GAZELOOP_BRIDGE_TOPIC (docs/connect-a-detector.md), and start it again",
    LABEL_STUDIO: "set GAZELOOP_LABEL_STUDIO_URL (docs/label-studio.md), and start it again",
}
"""How to enable an optional service, for messages."""


@asynccontextmanager
async def consumers_built(
    names: Sequence[str], parts: Parts
) -> AsyncIterator[Sequence[BuiltService]]:
    """Build those of these services that consume a topic and have anything to do."""
    wanted = [name for name in names if name in BUILDERS and is_asked_for(name, parts.settings)]
    async with AsyncExitStack() as closing:
        yield [await closing.enter_async_context(_build_of(name)(parts)) for name in wanted]


def _build_of(name: str) -> Build:
    build: Build = import_module(BUILDERS[name]).build
    return build


def is_asked_for(name: str, settings: Settings) -> bool:
    """Whether a service has anything to do; optional ones only if the settings name their target.

    Raises
    ------
    InvalidSettings
        The setting of webhook receivers is unreadable.
    """
    if name == WEBHOOKS:
        return bool(names_of(settings))
    if name == BRIDGE:
        return bool(settings.bridge_topic)
    return name != LABEL_STUDIO or bool(settings.label_studio_url)


def warn_where_idle(name: str, settings: Settings) -> None:
    """Log what an idle service waits for. It keeps running, because it would be restarted.

    Raises
    ------
    InvalidSettings
        The setting of webhook receivers is unreadable.
    """
    if not is_asked_for(name, settings):
        log.warning("nothing_to_do", service=name, remedy=_NAMED_BY[name])
