"""Where candidates' images are said to be, for whoever reads shortlists elsewhere."""

from services.contracts.identity import FrameId
from services.contracts.needles import Candidate, Provenance, ShortlistPublished
from services.domain.ports.blob_uris import place_of
from services.domain.ports.frames import FrameRecord
from services.domain.ports.needles import NeedleRecord
from services.retriever import logic
from tests import samples

PLACE = place_of(b"picture")
NEEDLE = samples.needle_found()
PUBLISHED = samples.shortlist_published(NEEDLE, "hay")


def record(published: ShortlistPublished) -> NeedleRecord:
    return NeedleRecord(
        needle_id=NEEDLE.needle_id,
        revision=NEEDLE.revision,
        active=True,
        needle=NEEDLE,
        shortlist=published,
        published_revision=published.revision,
    )


def at(store: str) -> list[Candidate]:
    return [
        candidate.model_copy(update={"image_uri": f"{store}/{PLACE}"})
        for candidate in PUBLISHED.candidates
    ]


def again(store: str) -> ShortlistPublished | None:
    before = PUBLISHED.model_copy(update={"candidates": tuple(at("file:///before"))})
    provenance: Provenance = PUBLISHED.provenance
    return logic.next_shortlist(record(before), NEEDLE, at(store), provenance, 1)


def test_a_store_that_moved_changes_no_shortlist() -> None:
    assert again("file:///before") is None
    assert again("s3://bucket") is None


def test_a_candidate_names_its_image_in_the_store_as_it_is_now() -> None:
    detection = samples.detection()
    captured = samples.frame_captured("hay")
    image = captured.image.model_copy(update={"uri": f"blob:{PLACE}"})
    captured = captured.model_copy(update={"image": image})
    predictions = samples.predictions_made(detection, frame_id="hay")
    facts = logic.FrameFacts.of(
        FrameRecord(
            frame_id=FrameId("hay"),
            captured=captured,
            ground_truth=None,
            predictions={predictions.detector_id: predictions},
        )
    )
    assert facts is not None
    (region,) = facts.regions
    found = logic.candidate(region, facts, 0.9, 0.8, "s3://bucket/b")
    assert found.image_uri == f"s3://bucket/b/{PLACE}"
