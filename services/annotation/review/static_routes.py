"""Style sheet, scripts and icon of the page.

They are few and small. Starlette's `StaticFiles` opens and reads them in a pool of threads, at
twice the CPU, which a page's first paint waits for.
"""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import APIRouter, HTTPException, Request, Response

from services.annotation.review.static_files import StaticFile

router = APIRouter()


@router.get("/static/{name}")
async def static(request: Request, name: str) -> Response:
    """One of the files."""
    files: Mapping[str, StaticFile] = request.app.state.static_files
    if name not in files:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return files[name].answer(request)
