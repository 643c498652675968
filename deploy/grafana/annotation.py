"""For the annotation team: what goes out, and what comes back."""

from deploy.grafana.charts import Board, Chart, Query, Row
from deploy.grafana.queries import (
    CHOSEN,
    DETECTORS,
    ENVIRONMENTS,
    HERE,
    OR_NONE,
    per_second,
    quantile,
)


def _worth(of: str, where: str, legend: str) -> Query:
    """A gauge of the shortlists' worth; all evaluators show the same."""
    chosen = f"{CHOSEN}, {where}" if where else CHOSEN
    labels = "detector, draw, bound" if of != "gain" else "detector, bound"
    named = f"{{{{detector}}}} {legend} {{{{bound}}}}".replace("  ", " ")
    return Query(f"max by ({labels}) (gazeloop_shortlist_{of}{{{chosen}}})", named)


ANNOTATION = Board(
    uid="gazeloop-annotation",
    title="Gazeloop: annotation",
    about="What goes to the annotators, and what comes back.",
    labels=ENVIRONMENTS | DETECTORS,
    rows=(
        Row(
            "Out and back",
            (
                Chart(
                    1,
                    "Shortlists published",
                    "By category, per second.",
                    "cps",
                    (per_second("gazeloop_shortlists_published_total", "category"),),
                ),
                Chart(
                    2,
                    "Frames per shortlist",
                    "Candidates of a published shortlist, on average. Near 0: nothing like the"
                    " needle is in the haystack.",
                    "short",
                    (
                        Query(
                            f"sum(rate(gazeloop_shortlist_frames_sum{{{HERE}}}[$__rate_interval]))"
                            " / sum(rate(gazeloop_shortlist_frames_count"
                            f"{{{HERE}}}[$__rate_interval]))",
                            "frames",
                        ),
                    ),
                ),
                Chart(
                    3,
                    "Ground truth that comes in",
                    "Acknowledged FrameAnnotated events per second, by the way they came.",
                    "cps",
                    (
                        Query(
                            "sum by (way) (rate(gazeloop_ingested_records_total"
                            f'{{{HERE}, topic="gaze.ground-truth"}}[$__rate_interval])) {OR_NONE}',
                            "{{way}}",
                        ),
                    ),
                ),
                Chart(
                    4,
                    "Needles found and cleared",
                    "Cleared: a correction made the detection right, or a new version drops it.",
                    "cps",
                    (
                        Query(
                            "sum(rate(gazeloop_needles_found_total"
                            f"{{{HERE}}}[$__rate_interval])) {OR_NONE}",
                            "found",
                        ),
                        Query(
                            "sum(rate(gazeloop_needles_retracted_total"
                            f"{{{HERE}}}[$__rate_interval])) {OR_NONE}",
                            "cleared",
                        ),
                    ),
                ),
                Chart(
                    5,
                    "Needle to shortlist",
                    "From a needle's publication to its first shortlist, and the search alone.",
                    "s",
                    (
                        quantile(
                            0.99,
                            "gazeloop_freshness_seconds",
                            "",
                            f'{HERE}, stage="needle_to_shortlist"',
                        ),
                        quantile(0.99, "gazeloop_search_duration_seconds", ""),
                    ),
                    warn=1,
                    bad=2,
                    width=16,
                ),
                Chart(
                    15,
                    "Budgets",
                    "Frames listed, most that may be, and held back because a budget is spent: of"
                    " the whole haystack, or of the latest day: in all, and the vehicle and family"
                    " with most. `gazeloop shortlists held-back` lists them.",
                    "short",
                    tuple(
                        Query(
                            "max by (detector, budget)"
                            f" (gazeloop_shortlist_{of}_frames{{{CHOSEN}}})",
                            f"{{{{detector}}}} {{{{budget}}}} {legend}",
                        )
                        for of, legend in (
                            ("spent", "listed"),
                            ("budget", "at most"),
                            ("held_back", "held back"),
                        )
                    ),
                ),
            ),
        ),
        Row(
            "Queue and verdicts",
            (
                Chart(
                    11,
                    "Queue",
                    "Active needles by how far their review is; extended: done, and listed anew"
                    " since.",
                    "short",
                    (
                        Query(
                            f"max by (status) (gazeloop_review_needles{{{HERE}}})",
                            "{{status}}",
                        ),
                    ),
                ),
                Chart(
                    12,
                    "Age of the queue",
                    "How long the needle that has waited longest has had a shortlist and no review."
                    " A week: more is listed than the team can look at.",
                    "s",
                    (Query(f"max(gazeloop_review_oldest_wait_seconds{{{HERE}}})", "oldest"),),
                    warn=259200,
                    bad=604800,
                ),
                Chart(
                    13,
                    "Shortlist to verdict",
                    "From a frame's coming on a shortlist until its corrected ground truth is"
                    " known.",
                    "s",
                    (
                        quantile(0.5, "gazeloop_shortlist_to_verdict_seconds", ""),
                        quantile(0.99, "gazeloop_shortlist_to_verdict_seconds", ""),
                    ),
                ),
                Chart(
                    14,
                    "Verdicts",
                    "Shortlisted regions with ground truth: confirmed, the detector was wrong there"
                    " too; rejected, it was right.",
                    "short",
                    (
                        Query(
                            f"max by (detector, verdict) (gazeloop_shortlist_verdicts{{{CHOSEN}}})",
                            "{{detector}} {{verdict}}",
                        ),
                    ),
                    width=16,
                ),
            ),
        ),
        Row(
            "What shortlists are worth",
            (
                Chart(
                    6,
                    "Lift",
                    "How many times the yield of shortlists is that of as many regions drawn from"
                    " the same categories, drives and hours, with 95% intervals. 1 is no better.",
                    "short",
                    (
                        _worth("lift", 'draw="random"', "over random"),
                        _worth("lift", 'draw="lowest_score"', "over lowest scores"),
                    ),
                ),
                Chart(
                    7,
                    "Yield",
                    "Share of false positives among shortlisted regions with ground truth, and in"
                    " both draws.",
                    "percentunit",
                    (_worth("yield", 'bound="value"', "{{draw}}"),),
                ),
                Chart(
                    8,
                    "Gain",
                    "(yield - random) / (1 - random): the share that is found of what a random draw"
                    " leaves.",
                    "percentunit",
                    (_worth("gain", "", ""),),
                ),
                Chart(
                    9,
                    "Families of needles",
                    "Ways in which the detector fails; resolved: annotated, and not seen since.",
                    "short",
                    (
                        Query(
                            f"sum by (detector, state) (gazeloop_families{{{CHOSEN}}})",
                            "{{detector}} {{state}}",
                        ),
                    ),
                ),
                Chart(
                    10,
                    "Largest families",
                    "Needles of the ten largest; `gazeloop families` has their exemplars.",
                    "short",
                    (
                        Query(
                            f"topk(10, max by (detector, category, error_type, family)"
                            f" (gazeloop_family_needles{{{CHOSEN}}}))",
                            "{{detector}} {{category}} {{error_type}} {{family}}",
                        ),
                    ),
                    width=16,
                ),
            ),
        ),
    ),
)
