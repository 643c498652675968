"""Renders templates to HTML; values are escaped, undefined names are errors."""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.annotation.review.addresses import root_of
from services.annotation.review.sessions import Session
from services.annotation.review.static_files import StaticFile

HERE = Path(__file__).parent
STATIC = HERE / "static"


class Pages:
    """Renders templates.

    Parameters
    ----------
    files : which pages refer to by name
    """

    def __init__(self, files: Mapping[str, StaticFile]) -> None:
        self._files = files
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["zip"] = zip
        self._environment.filters |= {
            "number": number,
            "share": share,
            "time": when,
            "query": urlencode,
            "error_words": error_words,
            "words": words,
        }

    def html(
        self,
        request: Request,
        template: str,
        *,
        session: Session | None = None,
        status: int = HTTPStatus.OK,
        **values: Any,
    ) -> HTMLResponse:
        """A page, or a fragment of one."""
        base = root_of(request)
        text = self._environment.get_template(template).render(
            base=base,
            static=lambda name: f"{base}/static/{name}?v={self._files[name].version}",
            session=session,
            path=_path(request),
            open_questions=getattr(request.state, "questions", 0),
            **values,
        )
        return HTMLResponse(text, status_code=status)


def _path(request: Request) -> str:
    """The request's path, relative to the page's root."""
    return request.url.path.removeprefix(root_of(request))


def is_fragment(request: Request) -> bool:
    """Whether htmx requests a fragment of the open page."""
    return request.headers.get("HX-Request") == "true"


def number(value: float | None, digits: int = 2) -> str:
    """A number, or a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}"  # noqa: RUF001  # a dash is meant


def share(value: float | None) -> str:
    """A share in percent, or a dash for None."""
    return "–" if value is None else f"{value:.0%}"  # noqa: RUF001  # a dash is meant


def when(value: datetime | None) -> str:
    """A UTC time to the second, or a dash for None."""
    return "–" if value is None else f"{value:%Y-%m-%d %H:%M:%S}"  # noqa: RUF001  # a dash is meant


def error_words(error_type: str, category: str = "") -> str:
    """An error type in plain words, for a needle that is predicted as this category."""
    return _ERRORS.get(error_type, words(error_type)).format(category=category or "positive")


_ERRORS = {
    "background": "false {category} (background)",
    "classification": "wrong category (classification)",
    "localization": "box does not fit (localization)",
    "both": "wrong category and box (both)",
    "duplicate": "duplicate box",
    "missed": "missed object",
}


def words(value: object) -> str:
    """A code as words: underscores become spaces."""
    return str(value).replace("_", " ")
