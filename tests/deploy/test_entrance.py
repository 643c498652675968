"""Deployments answer for the hosts by which they are reached, and trust what stands before them."""

from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from services.app.parts import REVIEW_PATH
from services.runtime.settings_reading import load_settings

ROOT = Path(__file__).parents[2]


def kubernetes() -> dict[str, str]:
    lines = (ROOT / "k8s/base/gazeloop.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_on_kubernetes_every_host_of_the_ingress_is_answered_for() -> None:
    ingress = yaml.safe_load((ROOT / "k8s/base/ingress.yaml").read_text())
    settings = load_settings(allowed_hosts=kubernetes()["GAZELOOP_ALLOWED_HOSTS"])

    assert {rule["host"] for rule in ingress["spec"]["rules"]} == {*settings.hosts}


def test_on_kubernetes_links_lead_to_the_review_page_of_the_ingress() -> None:
    ingress = yaml.safe_load((ROOT / "k8s/base/ingress.yaml").read_text())
    link = urlsplit(kubernetes()["GAZELOOP_REVIEW_URL"])
    backends = {
        rule["host"]: rule["http"]["paths"][0]["backend"]["service"]["name"]
        for rule in ingress["spec"]["rules"]
    }

    assert link.path == REVIEW_PATH
    assert backends[link.hostname] == "gazeloop-review"


def test_on_kubernetes_the_cluster_is_trusted_and_nothing_outside_of_it() -> None:
    settings = load_settings(trusted_proxies=kubernetes()["GAZELOOP_TRUSTED_PROXIES"])
    networks = [ip_network(proxy) for proxy in settings.proxies]

    assert networks
    assert all(network.is_private for network in networks)


def test_in_compose_the_network_that_docker_makes_is_trusted_unless_it_is_said_otherwise() -> None:
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    given = compose["services"]["ingest"]["environment"]["GAZELOOP_TRUSTED_PROXIES"]
    default = given.removeprefix("${GAZELOOP_TRUSTED_PROXIES-").removesuffix("}")

    gateway = ip_address("172.18.0.1")  # of the first network that docker makes
    assert any(gateway in ip_network(item) for item in default.split(","))
