"""What answers make of held corrections."""

import pytest

from services.contracts.events import FrameAnnotated
from services.contracts.identity import Category, FrameId
from services.domain.ports.held_corrections import (
    HeldCorrection,
    LabelAnswer,
    Meaning,
    Question,
)
from services.ground_truth.answers import (
    NONE_OF_THEM,
    answered,
    counting,
    entry_of_versions,
    held_id_of,
    labels_of,
    open_labels,
)
from services.ground_truth.drafts import entry_of
from tests.samples import CAPTURED_AT, annotation, frame_annotated

STOP, YIELD = Category("stop"), Category("yield")


def answer(label: str, meaning: Meaning, category: str | None = None) -> LabelAnswer:
    named = Category(category) if category else None
    return LabelAnswer(label, 1, meaning, named, "Ana", "token", CAPTURED_AT)


def held(
    *versions: FrameAnnotated,
    question: Question = Question.UNKNOWN_CATEGORY,
    chosen: int | None = None,
    unknown: tuple[str, ...] = (),
) -> HeldCorrection:
    return HeldCorrection(
        held_id="a",
        frame_id=FrameId("f1"),
        question=question,
        versions=versions,
        unknown=tuple(map(Category, unknown)),
        after=None,
        origin="file",
        held_at=CAPTURED_AT,
        chosen=chosen,
    )


def labelled(*labels: str) -> FrameAnnotated:
    return frame_annotated(*map(annotation, labels))


def test_labels_are_those_of_all_versions() -> None:
    assert labels_of([labelled("stop", "yield"), labelled("stop", "kiosk")]) == {
        "stop",
        "yield",
        "kiosk",
    }


def test_answers_rename_keep_and_drop_labels() -> None:
    answers = {
        "stp": answer("stp", Meaning.SAME, STOP),
        "kiosk": answer("kiosk", Meaning.NEW),
        "glare": answer("glare", Meaning.NOTHING),
    }

    truth = answered(labelled("stp", "kiosk", "glare", "yield", "stp"), answers)

    assert [item.category for item in truth.annotations] == ["stop", "kiosk", "yield", "stop"]


@pytest.mark.parametrize(
    ("question", "chosen", "index"),
    [
        (Question.UNKNOWN_CATEGORY, None, 0),
        (Question.UNKNOWN_CATEGORY, 1, 1),
        (Question.ANNOTATORS_DISAGREE, None, None),
        (Question.ANNOTATORS_DISAGREE, 0, 0),
        (Question.ANNOTATORS_DISAGREE, 1, 1),
        (Question.ANNOTATORS_DISAGREE, NONE_OF_THEM, None),
        (Question.OVERTAKEN, None, None),
        (Question.OVERTAKEN, 0, 0),
    ],
)
def test_a_version_counts_if_it_is_chosen_or_only_a_label_is_open(
    question: Question, chosen: int | None, index: int | None
) -> None:
    versions = (labelled("stop"), labelled("yield"))

    found = counting(held(*versions, question=question, chosen=chosen))

    assert found == (None if index is None else versions[index])


def test_open_labels_are_the_unknown_ones_of_the_version_that_counts() -> None:
    versions = (labelled("stp", "yield"), labelled("kiosk", "glare"))
    disputed = held(
        *versions, question=Question.ANNOTATORS_DISAGREE, unknown=("stp", "kiosk", "glare")
    )
    chosen = held(
        *versions, question=Question.ANNOTATORS_DISAGREE, chosen=1, unknown=("stp", "kiosk")
    )

    assert open_labels(disputed, ["glare"]) == {"stp", "kiosk"}
    assert open_labels(chosen, []) == {"kiosk"}
    assert open_labels(chosen, ["kiosk"]) == set()


def test_the_id_of_a_held_correction_depends_on_frame_versions_order_and_tag() -> None:
    one, two = labelled("stop"), labelled("yield")
    moved = two.model_copy(update={"frame_id": FrameId("f2")})
    ids = [
        held_id_of([one, two], ""),
        held_id_of([two, one], ""),
        held_id_of([one], ""),
        held_id_of([one, two], "http 1"),
        held_id_of([moved], ""),
    ]

    assert len(set(ids)) == len(ids)
    assert held_id_of([one, two], "") == ids[0]


def test_one_version_has_the_entry_of_its_draft_and_several_have_one_of_their_own() -> None:
    one, two = labelled("stop"), labelled("yield")

    assert entry_of_versions([one]) == entry_of(one)
    assert entry_of_versions([one, two]).subject == entry_of(one).subject
    assert entry_of_versions([one, two]).digest not in {entry_of(one).digest, entry_of(two).digest}
