"""Writes the rules as Prometheus's operator wants them: `python -m deploy.prometheus.generate`."""

from pathlib import Path

_HERE = Path(__file__).parent
FILE = _HERE.parents[1] / "k8s" / "components" / "rules" / "prometheus-rules.yaml"
_HEAD = """\
# Written by deploy/prometheus/generate.py from deploy/prometheus/rules: change those.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: gazeloop
  labels: {app.kubernetes.io/part-of: gazeloop}
spec:
  groups:
"""


def rendered() -> str:
    """The resource: the groups of all rule files under one head."""
    lines = []
    for name in ("recording.yml", "alerts.yml"):
        text = (_HERE / "rules" / name).read_text()
        lines += text.partition("groups:\n")[2].splitlines()
    return _HEAD + "".join(f"  {line}".rstrip() + "\n" for line in lines)


if __name__ == "__main__":
    FILE.write_text(rendered())
