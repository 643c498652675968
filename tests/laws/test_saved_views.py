import pytest

from services.annotation.ports.saved_views import MAX_VIEWS, SavedView
from services.annotation.stores.saved_views_mongo import MongoSavedViews
from services.runtime.stores.mongo import Database


@pytest.fixture
def views(empty_database: Database) -> MongoSavedViews:
    return MongoSavedViews(empty_database)


async def test_each_person_has_views_of_their_own_by_name(views: MongoSavedViews) -> None:
    for view in (
        SavedView("Ana", "b", "?x=1"),
        SavedView("Ana", "a", ""),
        SavedView("Ben", "b", ""),
    ):
        assert await views.keep(view)
    await views.keep(SavedView("Ana", "b", "?x=2"))

    assert await views.of("Ana") == [SavedView("Ana", "a", ""), SavedView("Ana", "b", "?x=2")]
    await views.drop("Ana", "b")
    await views.drop("Ana", "unknown")
    assert await views.of("Ana") == [SavedView("Ana", "a", "")]
    assert await views.of("Ben") == [SavedView("Ben", "b", "")]


async def test_a_person_with_many_views_can_only_replace_them(views: MongoSavedViews) -> None:
    for number in range(MAX_VIEWS):
        assert await views.keep(SavedView("Ana", f"{number:02}", ""))

    assert not await views.keep(SavedView("Ana", "one more", ""))
    assert await views.keep(SavedView("Ana", "07", "?x=1"))
    assert len(await views.of("Ana")) == MAX_VIEWS
