"""For the annotation team: what goes out, and what comes back."""

from deploy.grafana.charts import PRECISION, Board, Chart, PageLink, Query, Row, Shape
from deploy.grafana.queries import (
    CATEGORY,
    CHOSEN,
    DETECTORS,
    ENVIRONMENTS,
    HERE,
    MEAN_AP,
    OR_NONE,
    or_none,
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
    about="Shortlists for annotators, and their corrections.",
    labels=ENVIRONMENTS | DETECTORS,
    rows=(
        Row(
            "Shortlists and corrections",
            (
                Chart(
                    1,
                    "Shortlists published",
                    "By category, per second.",
                    "cps",
                    (per_second("gazeloop_shortlists_published_total", "category"),),
                    link=CATEGORY,
                ),
                Chart(
                    2,
                    "Frames per shortlist",
                    "Average number of candidates per published shortlist. Near 0: the haystack"
                    " has nothing similar to the needles.",
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
                    "Ground truth received",
                    "Acknowledged FrameAnnotated events per second, by way of ingest.",
                    "cps",
                    (
                        Query(
                            "sum by (way) (rate(gazeloop_ingested_records_total"
                            f'{{{HERE}, topic="gaze.ground-truth"}}[$__rate_interval]))'
                            f" {or_none('way')}",
                            "{{way}}",
                        ),
                    ),
                ),
                Chart(
                    4,
                    "Needles found and retracted",
                    "Retracted: after a correction the detection is right, or the detector no"
                    " longer makes it.",
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
                    "Time from a needle's publication to its first shortlist, and the duration of"
                    " an epoch.",
                    "s",
                    (
                        quantile(
                            0.99,
                            "gazeloop_freshness_seconds",
                            "",
                            f'{HERE}, stage="needle_to_shortlist"',
                            name="needle to shortlist",
                        ),
                        quantile(0.99, "gazeloop_search_duration_seconds", "", name="search"),
                    ),
                    warn=1,
                    bad=2,
                    width=16,
                ),
                Chart(
                    15,
                    "Budgets",
                    "Frames listed, the limit, and frames held back because a budget is spent: of"
                    " the whole haystack; of the latest day; of the vehicle and of the family with"
                    " most frames on that day. `gazeloop shortlists held-back` lists the frames.",
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
            "Review",
            (
                Chart(
                    11,
                    "Queue",
                    "Shortlists by the progress of their review; extended: done, and the shortlist"
                    " has changed since.",
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
                    "Age of the oldest shortlist without a review. A week or more: the team"
                    " cannot keep up with the shortlists; lower the budgets.",
                    "s",
                    (Query(f"max(gazeloop_review_oldest_wait_seconds{{{HERE}}})", "oldest"),),
                    warn=259200,
                    bad=604800,
                ),
                Chart(
                    13,
                    "Shortlist to verdict",
                    "Time from a frame's listing on a shortlist to its corrected ground truth.",
                    "s",
                    (
                        quantile(0.5, "gazeloop_shortlist_to_verdict_seconds", ""),
                        quantile(0.99, "gazeloop_shortlist_to_verdict_seconds", ""),
                    ),
                ),
                Chart(
                    14,
                    "Verdicts",
                    "Shortlisted regions with ground truth. Confirmed: the detector is wrong"
                    " there too. Rejected: it is right.",
                    "short",
                    (
                        Query(
                            f"max by (detector, verdict) (gazeloop_shortlist_verdicts{{{CHOSEN}}})",
                            "{{detector}} {{verdict}}",
                        ),
                    ),
                    width=8,
                ),
                Chart(
                    16,
                    "Verdicts per hour",
                    "Shortlisted regions that got ground truth in the hour before, by verdict.",
                    "short",
                    (
                        Query(
                            "max by (detector, verdict)"
                            f" (delta(gazeloop_shortlist_verdicts{{{CHOSEN}}}[1h]))",
                            "{{detector}} {{verdict}}",
                        ),
                    ),
                    width=8,
                ),
                Chart(
                    17,
                    "mAP gained per hour",
                    "By how much mAP rose in the hour before, by subset: corrected ground truth"
                    " raises it where the detector was right. A new detector version moves it too.",
                    PRECISION,
                    (
                        Query(
                            f'delta({MEAN_AP}{{{CHOSEN}, subset=~"H|S|H-S"}}[1h])',
                            "{{detector}} {{subset}}",
                        ),
                    ),
                    width=8,
                ),
            ),
        ),
        Row(
            "Yield of shortlists",
            (
                Chart(
                    6,
                    "Lift",
                    "Yield of shortlists divided by that of as many regions drawn from the same"
                    " categories, drives and hours, with 95% confidence intervals. At 1,"
                    " shortlists are no better than the draw.",
                    "short",
                    (
                        _worth("lift", 'draw="random"', "over random"),
                        _worth("lift", 'draw="lowest_score"', "over lowest scores"),
                        _worth("lift", 'draw="highest_score"', "over highest scores"),
                    ),
                ),
                Chart(
                    7,
                    "Yield",
                    "Share of false positives among shortlisted regions with ground truth, and"
                    " among those of the draws.",
                    "percentunit",
                    (_worth("yield", 'bound="value"', "{{draw}}"),),
                ),
                Chart(
                    8,
                    "Gain",
                    "Normalised yield, (yield - random) / (1 - random): 0 equals the random draw,"
                    " 1 is perfect.",
                    "percentunit",
                    (_worth("gain", "", ""),),
                ),
                Chart(
                    9,
                    "Families of needles",
                    "Groups of needles in which the detector fails alike. Resolved: reviewed, and"
                    " without new members since.",
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
                    "Needles of the ten largest; each leads to the family on the review page.",
                    "short",
                    (
                        Query(
                            f"topk(10, max by (detector, category, error_type, family)"
                            f" (gazeloop_family_needles{{{CHOSEN}}}))",
                            "{{detector}} {{category}} {{error_type}} {{family}}",
                        ),
                    ),
                    shape=Shape.TABLE,
                    width=16,
                    link=PageLink(
                        "Review this family",
                        "/needles?stage=any&family=${__data.fields.family}",
                    ),
                ),
            ),
        ),
    ),
)
