"""Acts that the page's script queues in the browser and sends until the server answers.

The script gives every act an id and sends it with the form. The answer to such an act is short:
204 if it is accepted or has arrived before, 409 with the reason if it is refused for good, and 503
if it should be sent again. A form without an id, from a browser without the script, is answered
with a page.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Response
from starlette.datastructures import FormData

from services.annotation.review.page import PageRenderer

_ID = re.compile(r"[0-9a-f]{32}")


def act_id(form: FormData) -> str:
    """The id of a queued act; empty if the form has none in the script's format."""
    text = str(form.get("act_id", ""))
    return text if _ID.fullmatch(text) else ""


def seen_acts(form: FormData) -> list[str]:
    """The ids of the person's own acts that their page showed at that moment."""
    return [str(value) for value in form.getlist("seen_act") if _ID.fullmatch(str(value))]


def taken_act(headers: Mapping[str, str]) -> Response:
    """The answer to an act that is accepted."""
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=dict(headers))


def refused_act(page: PageRenderer, text: str) -> Response:
    """The answer to an act that is refused for good."""
    return page.html("error_part.html", status=HTTPStatus.CONFLICT, title="Refused", detail=text)
