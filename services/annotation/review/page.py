"""What every route of a person who is logged in answers with."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from services.annotation.review.addresses import address
from services.annotation.review.guard import LoggedIn
from services.annotation.review.rendering import Pages, is_fragment
from services.annotation.review.sessions import Session


class PageRenderer:
    """Answers one request of a person who is logged in."""

    def __init__(self, request: Request, session: Session) -> None:
        self.request = request
        self.session = session

    def html(self, template: str, *, status: int = HTTPStatus.OK, **values: Any) -> HTMLResponse:
        """A page, or a fragment of one."""
        pages: Pages = self.request.app.state.pages
        return pages.html(self.request, template, session=self.session, status=status, **values)

    def address(self, path: str, **query: str) -> str:
        """The address of one of the page's own paths, which begins with a slash."""
        return address(self.request, path, **query)

    def redirect(self, path: str, **query: str) -> RedirectResponse:
        """Lead the browser to one of the page's own paths."""
        return RedirectResponse(self.address(path, **query), HTTPStatus.SEE_OTHER)

    @property
    def is_fragment(self) -> bool:
        """Whether htmx requests a fragment of the open page."""
        return is_fragment(self.request)


async def page_of(request: Request, session: LoggedIn) -> PageRenderer:
    """Where the answer to this request comes from."""
    return PageRenderer(request, session)


Page = Annotated[PageRenderer, Depends(page_of)]
