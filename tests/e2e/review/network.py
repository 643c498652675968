"""A bad network between the browser and the page: slow answers, lost requests, lost answers."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from itertools import count

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ACTS = ("/decisions", "/undo", "/corrections", "/questions/label")


class Network:
    """Stands in front of the application.

    Attributes
    ----------
    delays_s : how long the requests wait, in turns; pictures and the page's own files do not
    lost_requests, lost_answers : the numbers of acts, from 0, that get no answer at all: of the
        first, the application hears nothing; the second it carries out
    lost_pages : the same for parts of pages, of which nothing is heard
    away : whether every act is answered by 503, and is not to come again by itself meanwhile
    arrived : the paths of the acts that the application has answered, repeats included
    """

    def __init__(self) -> None:
        self.delays_s: Sequence[float] = ()
        self.lost_requests: set[int] = set()
        self.lost_answers: set[int] = set()
        self.lost_pages: set[int] = set()
        self.away = False
        self.arrived: list[str] = []
        self._acts, self._pages, self._all = count(), count(), count()

    def before(self, app: ASGIApp) -> ASGIApp:
        """The application behind this network."""

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and _is_slow(scope):
                await self._carry(app, scope, receive, send)
            else:
                await app(scope, receive, send)

        return application

    async def _carry(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        if self.delays_s:
            await asyncio.sleep(self.delays_s[next(self._all) % len(self.delays_s)])
        if not _is_act(scope):
            if dict(scope["headers"]).get(b"hx-request") and next(self._pages) in self.lost_pages:
                await _nothing(receive)
                return
            await app(scope, receive, send)
            return
        number = next(self._acts)
        if self.away:
            later = {"Retry-After": "3600"}
            away = PlainTextResponse("away", HTTPStatus.SERVICE_UNAVAILABLE, later)
            await away(scope, receive, send)
        elif number in self.lost_requests:
            await _nothing(receive)
        elif number in self.lost_answers:
            await app(scope, receive, _unsent)
            self.arrived.append(scope["path"])
            await _nothing(receive)
        else:
            await app(scope, receive, send)
            self.arrived.append(scope["path"])


def _is_act(scope: Scope) -> bool:
    path: str = scope["path"]
    return scope["method"] == "POST" and (path.endswith(ACTS) or "/questions/" in path)


def _is_slow(scope: Scope) -> bool:
    path: str = scope["path"]
    return _is_act(scope) or "/needles/" in path or "/questions" in path


async def _unsent(_: Message) -> None:
    """What the application sends is lost."""


async def _nothing(receive: Receive) -> None:
    """No answer, until the browser gives up."""
    while (await receive())["type"] != "http.disconnect":
        pass
