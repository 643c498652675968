import pytest

from services.app.needs import ServedPages
from services.contracts.flow import CONSUMERS, REVIEW, SERVICES, USES_IMAGES, USES_VECTORS


@pytest.mark.parametrize("service", CONSUMERS)
def test_a_consuming_service_serves_no_page(service: str) -> None:
    assert ServedPages([service]).names == ()


@pytest.mark.parametrize("service", ["ingest", REVIEW])
def test_ingest_and_review_serve_their_own_page_and_are_ready_once_it_answers(service: str) -> None:
    served = ServedPages([service])
    assert served.names == (service,)
    assert set(served.needs()) == {service}


def test_one_process_with_all_services_serves_both_pages() -> None:
    assert ServedPages(SERVICES).names == ("ingest", REVIEW)


def test_the_review_page_shows_images_and_needs_no_vectors() -> None:
    assert REVIEW in USES_IMAGES - USES_VECTORS
    assert "retriever" in USES_VECTORS - USES_IMAGES
