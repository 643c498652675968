from collections.abc import Mapping

import httpx
from prometheus_client import CollectorRegistry, Counter

from services.runtime.http.health import Check, HealthServer


def ask(checks: Mapping[str, Check], path: str) -> httpx.Response:
    registry = CollectorRegistry()
    Counter("gazeloop_test_total", "A counter.", registry=registry).inc()
    with HealthServer("127.0.0.1", 0, checks, registry=registry) as server:
        return httpx.get(f"http://127.0.0.1:{server.port}{path}")


def test_metrics_are_served_in_prometheus_text() -> None:
    answer = ask({}, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "gazeloop_test_total 1.0" in answer.text


def test_metrics_are_served_at_an_ipv6_address() -> None:
    with HealthServer("::1", 0, {}) as server:
        assert httpx.get(f"http://[::1]:{server.port}/livez").status_code == 200


def test_content_services_are_healthy() -> None:
    answer = ask({"embedder": lambda: None}, "/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "reasons": {}}


def test_a_service_that_is_not_content_says_why() -> None:
    answer = ask({"embedder": lambda: None, "retriever": lambda: "not started"}, "/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unhealthy", "reasons": {"retriever": "not started"}}


def test_other_paths_are_not_found() -> None:
    assert ask({}, "/secrets").status_code == 404


def test_a_service_that_waits_is_unfit_for_work_but_needs_no_restart() -> None:
    checks = {"embedder": lambda: "waiting for partitions"}
    with HealthServer("127.0.0.1", 0, checks, alive={"embedder": lambda: None}) as server:
        base = f"http://127.0.0.1:{server.port}"
        assert httpx.get(f"{base}/healthz").status_code == 503
        assert httpx.get(f"{base}/livez").status_code == 200


def test_a_stalled_service_asks_for_a_restart() -> None:
    alive = {"embedder": lambda: "no progress for 200 s"}
    with HealthServer("127.0.0.1", 0, {}, alive=alive) as server:
        answer = httpx.get(f"http://127.0.0.1:{server.port}/livez")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == {"embedder": "no progress for 200 s"}
