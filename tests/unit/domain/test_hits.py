"""The order of found points, and when a cut-off search may have missed a tie."""

import pytest

from services.contracts.identity import PointId
from services.domain.ports.vectors import SIMILARITY_DECIMALS, Hit, best_first, has_all_ties

NOISE = 0.4 * 10**-SIMILARITY_DECIMALS


def found(**similarities: float) -> list[tuple[PointId, float, dict[str, str | float]]]:
    return [(PointId(name), similarity, {}) for name, similarity in similarities.items()]


def ordered(**similarities: float) -> list[str]:
    return [hit.point_id for hit in best_first(found(**similarities))]


def test_the_most_similar_come_first() -> None:
    assert ordered(a=0.1, b=0.9, c=-0.5) == ["b", "a", "c"]


def test_equal_similarities_come_by_id_whatever_float_noise_says() -> None:
    assert ordered(c=0.5 + NOISE, a=0.5, b=0.5 - NOISE) == ["a", "b", "c"]


def test_a_difference_of_a_decimal_that_counts_is_no_tie() -> None:
    assert ordered(a=0.5, b=0.5 + 10**-SIMILARITY_DECIMALS) == ["b", "a"]


def hits(*similarities: float) -> list[Hit]:
    return best_first(found(**{f"p{at}": value for at, value in enumerate(similarities)}))


@pytest.mark.parametrize(
    ("similarities", "limit", "requested", "expected"),
    [
        ((0.9, 0.5), 2, 3, True),  # the engine has no more
        ((0.9, 0.5, 0.4), 2, 3, True),
        ((0.9, 0.5, 0.5), 2, 3, False),
        ((0.9, 0.5, 0.5 - NOISE), 2, 3, False),
        ((0.9, 0.5, 0.5, 0.4), 2, 4, True),
        ((0.9, 0.5), 2, 2, False),
    ],
)
def test_ties_for_the_last_rank_are_settled_if_a_lower_hit_was_returned(
    similarities: tuple[float, ...], limit: int, requested: int, expected: bool
) -> None:
    assert has_all_ties(hits(*similarities), limit, requested) is expected
