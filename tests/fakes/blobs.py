from services.contracts.errors import MissingImage
from services.runtime.stores.blobs_fsspec import place_in, place_of

ROOT = "fake://blobs"


class InMemoryBlobs:
    """A BlobStore in a dictionary."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def put(self, content: bytes) -> str:
        place = place_of(content)
        self.contents[place] = content
        return f"{ROOT}/{place}"

    def get(self, uri: str) -> bytes:
        place = place_in(ROOT, uri)
        if place not in self.contents:
            raise MissingImage(f"there is no {uri}")
        return self.contents[place]
