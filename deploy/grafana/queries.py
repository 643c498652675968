"""PromQL that several dashboards share."""

from deploy.grafana.charts import Query

HERE = 'environment=~"$environment"'
CHOSEN = f'{HERE}, detector=~"$detector"'
OR_NONE = "or on() vector(0)"  # a counter that was never raised has no series

ENVIRONMENTS = {"environment": "up"}
DETECTORS = {"detector": "gazeloop_evaluated_frames"}

MEAN_AP = "subset:gazeloop_category_ap:avg"


def gap(higher: str, lower: str) -> Query:
    """By how much the mAP of one subset lies above that of another."""
    return Query(
        f'{MEAN_AP}{{{CHOSEN}, subset="{higher}"}}'
        f' - on (environment, detector) {MEAN_AP}{{{CHOSEN}, subset="{lower}"}}',
        f"{{{{detector}}}}: {higher} above {lower}",
    )


def per_second(metric: str, by: str) -> Query:
    """A counter's rate, by labels; 0 where it was never raised."""
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return Query(f"sum by ({by}) (rate({metric}{{{HERE}}}[$__rate_interval])) {OR_NONE}", legend)


def quantile(share: float, metric: str, by: str, where: str = HERE) -> Query:
    """A quantile of a histogram in seconds, by labels."""
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(",") if label)
    grouping = f"{by}, le" if by else "le"
    return Query(
        f"histogram_quantile({share},"
        f" sum by ({grouping}) (rate({metric}_bucket{{{where}}}[$__rate_interval])))",
        f"{legend} p{share * 100:g}".strip(),
    )


def mean(metric: str, by: str, legend: str) -> Query:
    """The mean of a histogram, by a label."""

    def rate(of: str) -> str:
        return f"sum by ({by}) (rate({metric}_{of}{{{HERE}}}[$__rate_interval]))"

    return Query(f"{rate('sum')} / {rate('count')}", legend)
