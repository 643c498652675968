"""Addresses of the review page, wherever it is mounted."""

from urllib.parse import SplitResult, quote, urlencode, urlsplit

from fastapi import Request


def root_of(request: Request) -> str:
    """The path that the page is mounted at, without a slash at its end."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


def address(request: Request, path: str, **query: str) -> str:
    """The address of one of the page's own paths, which begins with a slash."""
    parts = f"?{urlencode(query)}" if query else ""
    return f"{root_of(request)}{path}{parts}"


def login_address(request: Request) -> str:
    """The address of the login page, which leads back to this request's page."""
    if request.method != "GET":
        return address(request, "/login")
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{root_of(request)}/login?next={quote(request.url.path + query)}"


def parts_of(text: str) -> SplitResult | None:
    """The parts of an address; None if a text from outside, such as `//[`, is no address."""
    try:
        return urlsplit(text)
    except ValueError:
        return None


def safe_next(request: Request, wanted: str) -> str:
    """The wanted address if it is part of this application, else the start page."""
    root = root_of(request)
    parts = parts_of(wanted)
    printable = wanted.isprintable() and "\\" not in wanted
    local = parts is not None and not parts.scheme and not parts.netloc
    inside = local and wanted.startswith(f"{root}/") and not wanted.startswith("//")
    return wanted if printable and inside else f"{root}/"
