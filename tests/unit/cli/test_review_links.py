"""Commands print links to the review page, wherever it is served."""

from typing import Any, cast

import pytest

from services.app.parts import App
from services.runtime.settings import Settings

SERVED = {"review": "http://127.0.0.1:8000/review"}
PUBLIC = {"public_url": "https://ingest.example/"}
OWN = {"review_url": "https://review.example/review/"}


@pytest.mark.parametrize(
    ("given", "served", "link"),
    [
        ({}, SERVED, "http://127.0.0.1:8000/review/questions"),
        (PUBLIC, SERVED, "http://127.0.0.1:8000/review/questions"),
        (PUBLIC, {}, "https://ingest.example/review/questions"),
        (PUBLIC | OWN, SERVED, "https://review.example/review/questions"),
        ({}, {}, "/review/questions of a running `gazeloop up`"),
    ],
)
def test_a_link_leads_to_the_pages_own_url_else_to_where_it_is_served(
    given: dict[str, str], served: dict[str, str], link: str
) -> None:
    unused = cast("Any", None)
    settings = Settings.model_validate(given)
    app = App(settings, unused, unused, served, unused, unused, unused)

    assert app.review("/questions") == link
