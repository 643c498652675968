from collections.abc import Iterator

from services.contracts.errors import MissingImage
from services.domain.ports.blob_uris import SCHEME, place_in, place_of, uri_of


class InMemoryBlobs:
    """A BlobStore in a dictionary."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def put(self, content: bytes) -> str:
        place = place_of(content)
        self.contents[place] = content
        return uri_of(content)

    def get(self, uri: str) -> bytes:
        place = place_in(uri)
        if place not in self.contents:
            raise MissingImage(f"there is no {uri}")
        return self.contents[place]

    def delete(self, uri: str) -> None:
        self.contents.pop(place_in(uri), None)

    def uris(self) -> Iterator[str]:
        return (f"{SCHEME}{place}" for place in sorted(self.contents))
