"""Every service, with the environment that each overlay and the compose file give it, gets ready.

The addresses are those of the embedded parts, and moto's server is the object store; what is not
an address stays as it is deployed.
"""

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec
import httpx
import pytest
import structlog

from services.app.assembly import deployed
from services.app.parts import App
from services.cli.serve_command import Service
from services.contracts.flow import USES_IMAGES
from services.runtime.clock import SystemClock
from services.runtime.http.tokens import issue
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.settings import Settings
from services.runtime.settings_reading import load_settings
from tests.deadline import until
from tests.deploy.checking import ROOT, check, documents, tool
from tests.unit.ingest.datasets import jpeg

OVERLAYS = ("dev", "prod", "gpu", "compose")
NETWORK_IN_IMAGE = "/opt/gazeloop/network.zip"
"""Where compose.yaml finds it."""
Environment = dict[str, str]

pytestmark = pytest.mark.usefixtures("own_logs")


@pytest.fixture
def own_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@dataclass(frozen=True)
class Parts:
    """Where the embedded parts are."""

    kafka: BrokerAddress
    mongodb: str
    bucket: str
    folder: Path
    network: Path

    def settings(self, service: str, given: Environment, patch: pytest.MonkeyPatch) -> Settings:
        """What the service reads from its environment, on these parts."""
        for variable, value in given.items():
            patch.setenv(variable, value)
        patch.delenv("GAZELOOP_SECRETS_DIR", raising=False)
        asked = load_settings()
        blobs = urlsplit(asked.blobs)
        in_folder = (self.folder / "blobs").as_uri()
        embedded = {
            "data": self.folder / service,  # Qdrant Edge has one owner
            "kafka": str(self.kafka),
            "mongodb": self.mongodb,
            "mongodb_database": self.folder.name,
            "qdrant": "",
            "host": "127.0.0.1",
            "http_port": 0,
            "metrics_port": 0,
            "blobs": f"{self.bucket}{blobs.path}" if blobs.scheme == "s3" else in_folder,
        }
        if asked.embedder == NETWORK_IN_IMAGE:
            embedded["embedder"] = str(self.network)
        off = {"kafka_tls": False, "kafka_ca": None, "kafka_user": ""}
        off |= {"mongodb_tls": False, "mongodb_ca": None, "mongodb_user": "", "qdrant_ca": None}
        return asked.model_copy(update=embedded | off)


@pytest.fixture
def parts(
    kafka: BrokerAddress, mongodb_url: str, s3_bucket: str, tmp_path: Path, network: Path
) -> Parts:
    return Parts(kafka, mongodb_url, s3_bucket, tmp_path, network)


def of_kubernetes(overlay: str) -> dict[str, Environment]:
    found = documents(check(tool("kustomize"), "build", f"k8s/overlays/{overlay}"))
    (shared,) = [document["data"] for document in found if document["kind"] == "ConfigMap"]
    environments = {}
    for document in found:
        if document["kind"] == "Deployment":
            (container,) = document["spec"]["template"]["spec"]["containers"]
            own = {variable["name"]: variable["value"] for variable in container["env"]}
            environments[container["args"][1]] = shared | own
    return environments


def of_compose(folder: Path) -> dict[str, Environment]:
    for name in ("compose.yaml", ".env.example"):
        copy = folder / name.replace(".example", "")
        copy.write_text((ROOT / "deploy" / name).read_text())
    output = check(tool("compose-go"), "-format", "json", "compose.yaml", cwd=folder)
    services: dict[str, Any] = json.loads(output)["services"]
    return {
        service["command"][1]: {name: str(value) for name, value in service["environment"].items()}
        for service in services.values()
        if (service.get("command") or [""])[0] == "run"
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
async def test_every_service_of_an_overlay_gets_ready(
    overlay: str, parts: Parts, tmp_path: Path
) -> None:
    asked = of_compose(tmp_path) if overlay == "compose" else of_kubernetes(overlay)
    assert set(asked) == {service.value for service in Service}
    running: dict[str, App] = {}
    async with AsyncExitStack() as closing:
        for service, given in asked.items():
            with pytest.MonkeyPatch.context() as patch:
                settings = parts.settings(service, given, patch)
            running[service] = await closing.enter_async_context(deployed(settings, service))
        for app in running.values():
            await until(lambda app=app: is_ready(app))  # type: ignore[misc]
        await a_frame_is_stored(running["ingest"])


def is_ready(app: App) -> bool:
    """What its probe asks, on the metrics port."""
    url = app.addresses["metrics"].replace("/metrics", "/healthz")
    return httpx.get(url).is_success


async def a_frame_is_stored(app: App) -> None:
    """Ingest writes to the store that the overlay names."""
    token, record = issue("vehicle:v1", SystemClock().now())
    await app.stores.tokens.add(record)
    metadata = {"frame_id": "v1:overlay", "captured_at": "2026-05-04T10:00:00Z"}
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        answer = await client.post(
            f"{app.addresses['ingest']}/frames",
            data={"metadata": json.dumps(metadata)},
            files={"image": ("frame.jpg", jpeg(1), "image/jpeg")},
        )
    assert answer.status_code == 202, answer.text
    files, root = fsspec.url_to_fs(app.settings.blob_url, use_listings_cache=False)
    assert files.find(root)


@pytest.mark.parametrize("service", sorted({item.value for item in Service} - USES_IMAGES))
async def test_a_service_without_images_starts_where_the_store_cannot_be_opened(
    service: str, parts: Parts
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        settings = parts.settings(service, {}, patch)
    settings = settings.model_copy(update={"blobs": "oci://not-installed/blobs"})
    async with deployed(settings, service) as app:
        await until(lambda: is_ready(app))
