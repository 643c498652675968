"""A real Prometheus on the committed rules, scraping what runs here."""

import math
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.deploy.checking import ROOT, tool
from tests.ports import free_ports

CONFIGURATION = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}/*.yml"]
scrape_configs:
  - job_name: gazeloop
    static_configs:
      - targets: {targets}
        labels: {{environment: test, component: all}}
"""


@dataclass(frozen=True)
class Prometheus:
    """A running one."""

    client: httpx.Client

    def ask(self, path: str, **parameters: str) -> Any:
        answer = self.client.get(f"/api/v1/{path}", params=parameters)
        body = answer.json()
        assert body["status"] == "success", body
        return body["data"]

    def is_ready(self) -> bool:
        try:
            return self.client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def values(self, expression: str) -> list[float]:
        """What a query answers now; not a number is none."""
        found = [float(item["value"][1]) for item in self.ask("query", query=expression)["result"]]
        return [value for value in found if not math.isnan(value)]


@contextmanager
def prometheus(folder: Path, *targets: str) -> Iterator[Prometheus]:
    """Prometheus with its files in the folder, scraping the targets each second."""
    configuration = folder / "prometheus.yml"
    rules = ROOT / "deploy" / "prometheus" / "rules"
    configuration.write_text(CONFIGURATION.format(rules=rules, targets=list(targets)))
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                tool("prometheus"),
                f"--config.file={configuration}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address={address}",
                "--web.console.libraries=",
                "--web.console.templates=",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        with httpx.Client(base_url=f"http://{address}", timeout=120) as client:
            yield Prometheus(client)
    finally:
        process.terminate()
        process.wait(timeout=120)
