"""Acts that the page keeps in a queue of its own and sends until they are answered.

The script gives every act an id and sends it with the form. Such an act is answered in short:
204 where it is taken or has arrived before, 409 with the reason where it is refused for good, and
503 where it is worth sending again. A form without an id, from a browser without the script, is
answered by a page.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Request, Response
from starlette.datastructures import FormData

from services.annotation.review.rendering import Pages
from services.annotation.review.sessions import Session

_ID = re.compile(r"[0-9a-f]{32}")


def act_id(form: FormData) -> str:
    """The id of a queued act; empty where the form has none that our script would have made."""
    given = str(form.get("act_id", ""))
    return given if _ID.fullmatch(given) else ""


def seen_acts(form: FormData) -> list[str]:
    """The ids of the person's own acts that their page showed when they acted."""
    return [str(given) for given in form.getlist("seen_act") if _ID.fullmatch(str(given))]


def taken_act(headers: Mapping[str, str]) -> Response:
    """The answer to an act that has arrived."""
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=dict(headers))


def refused_act(pages: Pages, request: Request, session: Session, text: str) -> Response:
    """The answer to an act that is refused for good."""
    return pages.html(
        request,
        "error_part.html",
        session=session,
        status=HTTPStatus.CONFLICT,
        title="Refused",
        detail=text,
    )
