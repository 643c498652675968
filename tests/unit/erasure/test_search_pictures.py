"""An erasure leaves no picture of a search in the data folder."""

from pathlib import Path

from services.app.erasure.montages import SearchPictures
from services.contracts.identity import FrameId

FRAMES = [FrameId("f1")]


async def test_an_erasure_deletes_every_picture_of_a_search(tmp_path: Path) -> None:
    pictures = SearchPictures(tmp_path)
    for name in ("f1.png", "text.png", "own.txt"):
        (tmp_path / name).touch()

    assert (await pictures.count([]), await pictures.count(FRAMES)) == (0, 2)
    for _ in range(2):
        await pictures.erase(FRAMES)
    assert (await pictures.count(FRAMES), (tmp_path / "own.txt").exists()) == (0, True)


async def test_without_searches_there_is_nothing_to_delete(tmp_path: Path) -> None:
    assert await SearchPictures(tmp_path / "search").count(FRAMES) == 0
