"""PromQL that several dashboards share."""

from deploy.grafana.charts import PageLink, Query

HERE = 'environment=~"$environment"'
CHOSEN = f'{HERE}, detector=~"$detector"'
OR_NONE = "or on() vector(0)"
"""0 for a counter that was never raised and so has no series; for queries with a fixed legend."""

ENVIRONMENTS = {"environment": "up"}
DETECTORS = {"detector": "gazeloop_evaluated_frames"}

CATEGORY = PageLink(
    "Review this category", "/needles?category=${__field.labels.category:percentencode}"
)
VEHICLE = PageLink(
    "Find this vehicle's frames", "/frames?id=${__field.labels.vehicle:percentencode}"
)
VERSIONS = PageLink("See what the version changed", "/versions")

MEAN_AP = "subset:gazeloop_category_ap:avg"


def or_none(label: str) -> str:
    """Like `OR_NONE`, for a legend that shows a label: a series without it would have no name."""
    return f'or on() label_replace(vector(0), "{label}", "none", "", "")'


def gap(higher: str, lower: str) -> Query:
    """By how much the mAP of one subset lies above that of another."""
    return Query(
        f'{MEAN_AP}{{{CHOSEN}, subset="{higher}"}}'
        f' - on (environment, detector) {MEAN_AP}{{{CHOSEN}, subset="{lower}"}}',
        f"{{{{detector}}}}: {higher} above {lower}",
    )


def per_second(metric: str, by: str) -> Query:
    """A counter's rate, by labels; 0 where it was never raised."""
    labels = [label.strip() for label in by.split(",")]
    rate = f"sum by ({by}) (rate({metric}{{{HERE}}}[$__rate_interval]))"
    legend = " ".join(f"{{{{{label}}}}}" for label in labels)
    return Query(f"{rate} {or_none(labels[0])}", legend)


def counted(metric: str, by: str) -> Query:
    """How much a counter has risen in the selected time, by a label.

    A series begins with its first count, which `increase` misses: short imports have no other.
    """
    series = f"{metric}{{{HERE}}}"
    rise = f"increase({series}[$__range])"
    first = f"(min_over_time({series}[$__range]) unless {series} offset $__range)"
    return Query(
        f"sum by ({by}) ({rise} + {first} or {rise} or {first}) {or_none(by)}", f"{{{{{by}}}}}"
    )


def quantile(share: float, metric: str, by: str, where: str = HERE, name: str = "") -> Query:
    """A quantile of a histogram in seconds, by labels; `name` tells it from others on its chart."""
    legend = " ".join((name, *(f"{{{{{label.strip()}}}}}" for label in by.split(",") if label)))
    grouping = f"{by}, le" if by else "le"
    return Query(
        f"histogram_quantile({share},"
        f" sum by ({grouping}) (rate({metric}_bucket{{{where}}}[$__rate_interval])))",
        " ".join(f"{legend} p{share * 100:g}".split()),
    )


def mean(metric: str, by: str, legend: str) -> Query:
    """The mean of a histogram, by a label."""

    def rate(of: str) -> str:
        return f"sum by ({by}) (rate({metric}_{of}{{{HERE}}}[$__rate_interval]))"

    return Query(f"{rate('sum')} / {rate('count')}", legend)
