"""The manifests: valid for Kubernetes and its operators, and in step with the code."""

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from services.annotation.webhooks.receivers import receivers_of
from services.app.topic_access import OPERATOR, SCALER, Grant, grants_of, user_of
from services.cli.serve_command import Service
from services.contracts.flow import CONSUMERS, READS, USES_IMAGES, WRITES, group_of
from services.contracts.topics import TOPICS
from services.runtime.http.health import HealthServer
from services.runtime.kafka.topic_layout import configuration_of
from services.runtime.settings import Settings
from services.runtime.settings_reading import load_settings
from tests.deploy.checking import ROOT, cache_bytes, check, documents, module, tool

OVERLAYS = ("dev", "prod", "gpu")
SERVICES = tuple(service.value.replace("_", "-") for service in Service)
VECTORS = {"gazeloop-embedder", "gazeloop-retriever"}
IMAGES = {user_of(service) for service in USES_IMAGES}
Resource = dict[str, Any]


@cache
def built(overlay: str) -> str:
    return check(tool("kustomize"), "build", f"k8s/overlays/{overlay}")


@cache
def parsed(overlay: str) -> list[Resource]:
    return documents(built(overlay))


def resources(overlay: str, kind: str) -> dict[str, Resource]:
    """An overlay's resources of one kind, by name."""
    return {
        document["metadata"]["name"]: document
        for document in documents(built(overlay))
        if document["kind"] == kind
    }


def pods(overlay: str) -> dict[str, Resource]:
    deployments = resources(overlay, "Deployment")
    return {
        name: deployment["spec"]["template"]["spec"] for name, deployment in deployments.items()
    }


def containers(overlay: str) -> dict[str, Resource]:
    found = {}
    for name, pod in pods(overlay).items():
        (found[name],) = pod["containers"]
    return found


def conform(*command: str, schemas: str = "schemas") -> list[str]:
    return [
        tool("kubeconform"),
        "-strict",
        "-schema-location",
        f"{tool(schemas)}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
        "-schema-location",
        "k8s/schemas/{{.ResourceKind}}{{.KindSuffix}}.json",
        *command,
    ]


def scored(manifest: Path) -> str:
    command = (tool("kube-score"), "score", "--kubernetes-version", "v1.34", "-o", "ci")
    return check(*command, str(manifest))


def built_with(component: str, folder: Path, overlay: str = "prod") -> Path:
    """The manifest of a copy of an overlay that names a component, valid."""
    copy = folder / f"{overlay}-with-{component}"
    shutil.copytree(ROOT / "k8s" / "overlays" / overlay, copy)
    k8s = os.path.relpath(ROOT / "k8s", copy)
    text = (copy / "kustomization.yaml").read_text().replace("../..", k8s)
    added = f"components: [{k8s}/components/{component}"
    named = text.replace("\ncomponents: [", f"\n{added}, ")
    (copy / "kustomization.yaml").write_text(f"{text}\n{added}]\n" if named == text else named)
    manifest = folder / f"{copy.name}.yaml"
    manifest.write_text(check(tool("kustomize"), "build", str(copy)))
    check(*conform(str(manifest)))
    return manifest


@pytest.mark.parametrize("schemas", ["schemas", "schemas-oldest"])
def test_every_resource_is_valid(schemas: str, tmp_path: Path) -> None:
    manifests = [tmp_path / f"{overlay}.yaml" for overlay in OVERLAYS]
    for manifest in manifests:
        manifest.write_text(built(manifest.stem))
    command = conform("-summary", "-output", "json", *map(str, manifests), schemas=schemas)
    document = json.loads(check(*command))
    assert document["summary"]["skipped"] == 0
    assert document["summary"]["valid"] == sum(len(parsed(overlay)) for overlay in OVERLAYS)


def test_the_oldest_kubernetes_that_is_stated_is_the_one_that_is_checked() -> None:
    tools = (ROOT / "deploy" / "tools.sh").read_text()
    (oldest,) = re.findall(r"^KUBERNETES_OLDEST=v([\d.]+)\.0$", tools, re.MULTILINE)
    assert f"| Kubernetes | {oldest} |" in (ROOT / "k8s" / "README.md").read_text()


def test_what_is_misspelt_is_found(tmp_path: Path) -> None:
    text = built("prod")
    for kind, right, wrong in (
        ("Deployment", "automountServiceAccountToken:", "automountToken:"),
        ("ScaledObject", "lagThreshold:", "lagTreshold:"),
        ("KafkaUser", "type: scram-sha-512", "type: scram-sha-521"),
        ("PodMonitor", "podMetricsEndpoints:", "podMetricEndpoints:"),
    ):
        one = next(name for name in text.split("---\n") if f"\nkind: {kind}\n" in name)
        assert right in one
        (tmp_path / f"{kind}.yaml").write_text(one.replace(right, wrong))
    done = subprocess.run(
        conform("-output", "json", str(tmp_path)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    found = {load["kind"]: load["status"] for load in json.loads(done.stdout)["resources"]}
    assert found == dict.fromkeys(
        ("Deployment", "ScaledObject", "KafkaUser", "PodMonitor"), "statusInvalid"
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_is_critical_by_common_practice(overlay: str, tmp_path: Path) -> None:
    manifest = tmp_path / "all.yaml"
    manifest.write_text(built(overlay))
    scores = scored(manifest)
    assert "[OK]" in scores
    assert "[CRITICAL]" not in scores


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_service_has_its_deployment_budget_and_account(overlay: str) -> None:
    names = {f"gazeloop-{name}" for name in SERVICES}
    assert set(resources(overlay, "Deployment")) == names
    assert set(resources(overlay, "PodDisruptionBudget")) == names
    accounts = resources(overlay, "ServiceAccount")
    assert set(accounts) == names
    assert not any(account["automountServiceAccountToken"] for account in accounts.values())
    for name, pod in pods(overlay).items():
        assert pod["serviceAccountName"] == name
        assert pod["automountServiceAccountToken"] is False
    runs = {tuple(container["args"]) for container in containers(overlay).values()}
    assert runs == {("run", service.value) for service in Service}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_restricted(overlay: str) -> None:
    (namespace,) = resources(overlay, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in pods(overlay).values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        (container,) = pod["containers"]
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]) == {"requests", "limits"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_environment_makes_valid_settings(
    overlay: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = {f"GAZELOOP_{name.upper()}" for name in Settings.model_fields}
    (shared,) = resources(overlay, "ConfigMap").values()
    for name, pod in pods(overlay).items():
        (container,) = pod["containers"]
        given = shared["data"] | {item["name"]: item["value"] for item in container["env"]}
        assert set(given) - {"GAZELOOP_SECRETS_DIR"} <= known
        with monkeypatch.context() as patch:
            for variable in known:
                patch.delenv(variable, raising=False)
            for variable, value in given.items():
                patch.setenv(variable, value)
            secrets = tmp_path / overlay / name
            secrets.mkdir(parents=True)
            for path in secret_files(pod):
                assert path in known
                (secrets / path).write_text("a secret")
            patch.setenv("GAZELOOP_SECRETS_DIR", str(secrets))
            settings = load_settings()
        assert settings.kafka_tls
        assert settings.mongodb_tls
        assert settings.kafka_user == settings.mongodb_user == name
        assert settings.kafka_password.get_secret_value() == "a secret"
        assert bool(settings.qdrant_api_key) == (name in VECTORS)
        grace = pod["terminationGracePeriodSeconds"]
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert grace > settings.drain_deadline_s + pause


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_receivers_of_webhooks_may_be_named(overlay: str, tmp_path: Path) -> None:
    (shared,) = resources(overlay, "ConfigMap").values()
    names = {"GAZELOOP_STALL_LIMIT_S", "GAZELOOP_WEBHOOK_GIVE_UP_S"} & set(shared["data"])
    given = {name.removeprefix("GAZELOOP_").lower(): shared["data"][name] for name in names}
    (tmp_path / "lab").write_text(f"whsec_{'A' * 43}=\n")
    receiver = {"webhooks": "lab=https://lab.example/", "webhook_secrets": tmp_path}
    settings = Settings.model_validate(receiver | given)
    assert [found.name for found in receivers_of(settings)] == ["lab"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_who_uses_images_reaches_the_store_and_has_its_keys(overlay: str) -> None:
    (shared,) = resources(overlay, "ConfigMap").values()
    url = urlsplit(shared["data"]["GAZELOOP_BLOBS"])
    for name, pod in pods(overlay).items():
        (container,) = pod["containers"]
        sources = {item["name"] for source in container["envFrom"] for item in source.values()}
        folders = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert shared["metadata"]["name"] in sources
        assert ("gazeloop-blobs" in sources) == (name in IMAGES and url.scheme == "s3")
        assert (url.path in folders) == (name in IMAGES and url.scheme == "file")
        if url.path in folders:
            assert bool(folders[url.path].get("readOnly")) == (name != "gazeloop-ingest")
            claims = [
                item["persistentVolumeClaim"]["claimName"]
                for item in pod["volumes"]
                if "persistentVolumeClaim" in item
            ]
            assert set(claims) == set(resources(overlay, "PersistentVolumeClaim"))


def test_images_lie_in_a_folder_in_dev_and_in_a_bucket_elsewhere() -> None:
    assert {
        overlay: urlsplit(shared["data"]["GAZELOOP_BLOBS"]).scheme
        for overlay in OVERLAYS
        for shared in resources(overlay, "ConfigMap").values()
    } == {"dev": "file", "prod": "s3", "gpu": "s3"}


def secret_files(pod: Resource) -> set[str]:
    (volume,) = [entry for entry in pod["volumes"] if entry["name"] == "secrets"]
    sources = volume["projected"]["sources"]
    return {item["path"] for source in sources for item in source["secret"]["items"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_secret_is_in_the_manifests(overlay: str) -> None:
    assert not resources(overlay, "Secret")
    for container in containers(overlay).values():
        assert not {item["name"] for item in container["env"]} & {
            "GAZELOOP_KAFKA_PASSWORD",
            "GAZELOOP_MONGODB_PASSWORD",
            "GAZELOOP_QDRANT_API_KEY",
        }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ports_agree_from_the_settings_to_the_ingress(overlay: str) -> None:
    (shared,) = resources(overlay, "ConfigMap").values()
    ports = {
        "metrics": int(shared["data"]["GAZELOOP_METRICS_PORT"]),
        "http": int(shared["data"]["GAZELOOP_HTTP_PORT"]),
    }
    for container in containers(overlay).values():
        for port in container["ports"]:
            assert port["containerPort"] == ports[port["name"]]
    for service in resources(overlay, "Service").values():
        (port,) = service["spec"]["ports"]
        assert port["port"] == ports[port["targetPort"]]
    (ingress,) = resources(overlay, "Ingress").values()
    behind = {
        path["backend"]["service"]["name"]
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
    assert behind == {"gazeloop-ingest", "gazeloop-review"} == set(resources(overlay, "Service"))
    hosts = {rule["host"] for rule in ingress["spec"]["rules"]}
    assert {host for tls in ingress["spec"]["tls"] for host in tls["hosts"]} == hosts
    (monitor,) = resources(overlay, "PodMonitor").values()
    assert [item["port"] for item in monitor["spec"]["podMetricsEndpoints"]] == ["metrics"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_service_ends_its_own_wait_before_its_startup_probe_does(overlay: str) -> None:
    for container in containers(overlay).values():
        probe = container["startupProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] > Settings().start_wait_s


def test_probes_ask_for_what_is_served() -> None:
    with HealthServer("127.0.0.1", 0, {}) as server:
        for container in containers("prod").values():
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                where = container[probe]["httpGet"]
                assert where["port"] == "metrics"
                answer = httpx.get(f"http://127.0.0.1:{server.port}{where['path']}")
                assert answer.status_code == 200
            assert container["livenessProbe"]["httpGet"]["path"] == "/livez"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_topics_are_those_of_the_contracts_as_the_settings_say(overlay: str) -> None:
    (shared,) = resources(overlay, "ConfigMap").values()
    given = {
        name.removeprefix("GAZELOOP_").lower(): value
        for name, value in shared["data"].items()
        if name.startswith("GAZELOOP_TOPIC_")
    }
    settings = Settings.model_validate(given)
    declared = resources(overlay, "KafkaTopic")
    assert set(declared) == {topic.name for topic in TOPICS}
    for topic in TOPICS:
        spec = declared[topic.name]["spec"]
        assert spec["partitions"] == settings.partitions_of(topic.name)
        assert spec["replicas"] == settings.topic_replication
        assert spec["config"]["min.insync.replicas"] == min(2, settings.topic_replication)
        computed = configuration_of(topic, settings)
        assert {name: str(spec["config"][name]) for name in computed} == computed


def test_users_are_granted_what_the_command_prints_and_no_more() -> None:
    declared = resources("prod", "KafkaUser")
    assert set(declared) == {user_of(service) for service in (*WRITES, SCALER, OPERATOR)}
    for service in (*WRITES, SCALER, OPERATOR):
        granted = [
            Grant(
                item["resource"]["type"],
                item["resource"]["name"],
                tuple(item["operations"]),
                item["resource"]["patternType"],
            )
            for item in declared[user_of(service)]["spec"]["authorization"]["acls"]
        ]
        assert granted == grants_of(service)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_replicas_follow_the_lag_of_what_a_service_reads(overlay: str) -> None:
    scaled = resources(overlay, "ScaledObject")
    topics = resources(overlay, "KafkaTopic")
    for service in CONSUMERS:
        read = READS[service]
        spec = scaled.pop(f"gazeloop-{service.replace('_', '-')}")["spec"]
        triggers = [trigger["metadata"] for trigger in spec["triggers"]]
        assert [trigger["topic"] for trigger in triggers] == [topic.name for topic in read]
        assert {trigger["consumerGroup"] for trigger in triggers} == {group_of(service)}
        partitions = min(topics[topic.name]["spec"]["partitions"] for topic in read)
        assert spec["minReplicaCount"] <= spec["maxReplicaCount"] <= partitions
    assert not scaled


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ingest_follows_its_load(overlay: str) -> None:
    scaler = resources(overlay, "HorizontalPodAutoscaler")["gazeloop-ingest"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == "gazeloop-ingest"
    assert scaler["minReplicas"] <= scaler["maxReplicas"]
    ingest = resources(overlay, "Deployment")["gazeloop-ingest"]["spec"]
    # A share is one of what is requested; a number of replicas here would undo the scaler's.
    assert "cpu" in ingest["template"]["spec"]["containers"][0]["resources"]["requests"]
    assert "replicas" not in ingest


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_retriever_has_room_for_its_caches(overlay: str) -> None:
    pod = resources(overlay, "Deployment")["gazeloop-retriever"]["spec"]["template"]["spec"]
    limit = pod["containers"][0]["resources"]["limits"]["memory"]
    assert cache_bytes("retriever") < int(limit.removesuffix("Gi")) << 30


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_next_pod_is_ready_before_one_ends(overlay: str) -> None:
    for deployment in resources(overlay, "Deployment").values():
        strategy = deployment["spec"]["strategy"]
        assert strategy["type"] == "RollingUpdate"
        assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


@pytest.mark.parametrize("overlay", ["prod", "gpu"])
def test_every_stage_has_a_second_process_that_takes_over(overlay: str) -> None:
    scaled = resources(overlay, "ScaledObject")
    assert len(scaled) == 4
    assert all(item["spec"]["minReplicaCount"] >= 2 for item in scaled.values())


OPENED = {
    "node-local-dns": {("gazeloop-fp-miner", "169.254.20.10/32", 53)},
    "object-store-in-cluster": {("gazeloop-embedder", "minio", 9000)},
    "object-store-private": {("gazeloop-ingest", "10.0.0.0/8", 443)},
    "ipv6": {("gazeloop-review", "::/0", 443), ("gazeloop-webhooks", "::/0", 443)},
    "label-studio-in-cluster": {("gazeloop-label-studio", "label-studio", 8080)},
    "bridge-kafka": {("gazeloop-bridge", "10.0.0.0/8", 9093)},
}
"""A flow or two of those that each component opens: from, to, port."""


@pytest.mark.parametrize("component", OPENED)
def test_a_component_opens_what_a_cluster_has(component: str, tmp_path: Path) -> None:
    manifest = built_with(component, tmp_path)
    check(*conform(str(manifest), schemas="schemas-oldest"))
    assert opened(documents(manifest.read_text())) - opened(parsed("prod")) >= OPENED[component]
    assert f"`{component}`" in (ROOT / "k8s" / "README.md").read_text()


def opened(found: list[Resource]) -> set[tuple[str, str, int]]:
    """Flows out of our pods: from, to a network or a namespace, port."""
    return {
        (name, peer, port["port"])
        for policy in found
        if policy["kind"] == "NetworkPolicy"
        for name in selected(policy["spec"]["podSelector"])
        for rule in policy["spec"].get("egress", [])
        for peer in map(peer_name, rule["to"])
        for port in rule["ports"]
    }


def selected(selector: Resource) -> set[str]:
    """Names of the services that a selector means."""
    every = {f"gazeloop-{name}" for name in SERVICES}
    labels = selector.get("matchLabels", {})
    if "app.kubernetes.io/name" in labels:
        every &= {labels["app.kubernetes.io/name"]}
    for wanted in selector.get("matchExpressions", []):
        every &= set(wanted["values"])
    return every


def peer_name(peer: Resource) -> str:
    """A network, or the namespace or else the name of pods."""
    if "ipBlock" in peer:
        return str(peer["ipBlock"]["cidr"])
    chosen: Resource = peer.get("namespaceSelector") or peer["podSelector"]
    return str(next(iter(chosen["matchLabels"].values())))


def flows(overlay: str, direction: str) -> dict[str, set[int | str]]:
    """The ports that each service may reach, or be reached at."""
    found: dict[str, set[int | str]] = {f"gazeloop-{name}": set() for name in SERVICES}
    for policy in resources(overlay, "NetworkPolicy").values():
        selector = policy["spec"]["podSelector"]
        chosen = set(found)
        for wanted in selector.get("matchExpressions", []):
            assert wanted["operator"] == "In"
            chosen &= set(wanted["values"])
        for rule in policy["spec"].get(direction, []):
            assert rule["from" if direction == "ingress" else "to"], policy
            for name in chosen:
                found[name] |= {port["port"] for port in rule["ports"]}
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_the_flows_of_the_design_are_open(overlay: str) -> None:
    closed = resources(overlay, "NetworkPolicy")["gazeloop-nothing"]["spec"]
    assert closed["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(closed)
    for name, ports in flows(overlay, "egress").items():
        expected: set[int | str] = {53, 9093, 27017}
        expected |= {6333} if name in VECTORS else set()
        expected |= {443} if name in {*IMAGES, "gazeloop-webhooks"} else set()
        assert ports == expected, name
    for name, ports in flows(overlay, "ingress").items():
        reached = {"gazeloop-ingest", "gazeloop-review"}
        assert ports == ({"metrics", "http"} if name in reached else {"metrics"})


def test_rules_are_installed_once_for_all_environments_of_a_prometheus(tmp_path: Path) -> None:
    installed = {overlay: len(resources(overlay, "PrometheusRule")) for overlay in OVERLAYS}
    assert installed == {"dev": 0, "prod": 1, "gpu": 1}
    manifest = built_with("rules", tmp_path, "dev")
    (own,) = [item for item in documents(manifest.read_text()) if item["kind"] == "PrometheusRule"]
    assert own["metadata"]["namespace"] == "gazeloop-dev"


def test_the_operators_rules_are_those_of_prometheus() -> None:
    generate = module("deploy.prometheus.generate")
    text = generate.FILE.read_text()
    assert text == generate.rendered(), "run: python -m deploy.prometheus.generate"
    groups = documents(text)[0]["spec"]["groups"]
    files = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"), reverse=True)
    assert groups == [group for file in files for group in documents(file.read_text())[0]["groups"]]


def test_the_embedder_has_a_gpu_where_it_should() -> None:
    limits = {
        overlay: containers(overlay)["gazeloop-embedder"]["resources"]["limits"]
        for overlay in OVERLAYS
    }
    assert [name for name, limit in limits.items() if "nvidia.com/gpu" in limit] == ["gpu"]
    images = {name: container["image"] for name, container in containers("gpu").items()}
    assert images.pop("gazeloop-embedder") == "gazeloop:0.1.0-gpu"
    assert set(images.values()) == {"gazeloop:0.1.0-cpu"}


def test_what_must_be_there_before_is_written_down() -> None:
    readme = (ROOT / "k8s" / "README.md").read_text()
    named = set(
        re.findall(
            r"name: (gazeloop-[\w-]*?(?:qdrant|blobs|tls|authorities|login))\b", built("prod")
        )
    )
    assert len(named) >= 4
    assert all(f"`{name}`" in readme for name in named)


@pytest.mark.parametrize("overlay", ["dev", "prod"])
def test_cvats_finished_jobs_are_fetched_where_that_is_asked_for(
    overlay: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manifest = built_with("cvat", tmp_path, overlay)
    text = manifest.read_text()
    assert "[CRITICAL]" not in scored(manifest)

    (job,) = [document for document in documents(text) if document["kind"] == "CronJob"]
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"] == ["cvat", "pull"]
    (keys,) = [item["secretRef"] for item in container["envFrom"] if "secretRef" in item]
    assert keys["optional"]  # `dev` has no bucket, hence no keys of one
    (shared,) = [document for document in documents(text) if document["kind"] == "ConfigMap"]
    given = shared["data"] | {item["name"]: item["value"] for item in container["env"]}
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    for path in secret_files(pod):
        (tmp_path / path).write_text("a secret")
    monkeypatch.setenv("GAZELOOP_SECRETS_DIR", str(tmp_path))
    settings = load_settings()
    assert settings.cvat_url
    assert settings.cvat_token.get_secret_value() == "a secret"
    assert settings.kafka_password.get_secret_value() == "a secret"
    assert settings.kafka_user == settings.mongodb_user == "gazeloop-ingest"
    assert "`gazeloop-cvat-login`" in (ROOT / "k8s" / "README.md").read_text()


def test_traces_may_leave_where_they_are_asked_for(tmp_path: Path) -> None:
    manifest = built_with("traces", tmp_path)
    text = manifest.read_text()
    (shared,) = [document for document in documents(text) if document["kind"] == "ConfigMap"]
    given = {
        name.removeprefix("GAZELOOP_").lower(): value
        for name, value in shared["data"].items()
        if name.startswith("GAZELOOP_TRACE")
    }
    settings = Settings.model_validate(given)
    opened = [
        port["port"]
        for document in documents(text)
        if document["kind"] == "NetworkPolicy" and document["metadata"]["name"] == "gazeloop-traces"
        for rule in document["spec"]["egress"]
        for port in rule["ports"]
    ]
    assert opened == [urlsplit(settings.traces).port]
    assert not load_settings().traces
