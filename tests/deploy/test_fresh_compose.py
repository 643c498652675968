"""A compose deployment just after `up`: its operator's commands work, and the doctor is content.

The container's own environment, on the embedded parts: a broker whose topics its `setup` made, and
a mongod that is a replica set with the users that `deploy/mongodb/setup.js` names.
"""

import asyncio
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog
from pymongo.errors import OperationFailure
from typer.testing import CliRunner

from services.annotation.stores.opening import open_annotation_stores
from services.cli.main import app as command_line
from services.contracts.flow import LABEL_STUDIO, REVIEW
from services.runtime.embedded.child import Child, is_listening
from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.embedded.mongod import find_mongod
from services.runtime.embedded.ports import steady_port
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.topic_admin import create_topics
from services.runtime.settings import Settings
from services.runtime.stores.opening import open_stores
from tests.deploy.checking import ROOT, check, tool
from tests.integration.security.qdrant import KEY, Qdrant
from tests.mongodb_users import OPERATOR, USERS, WRITERS, Client, make_users, password_of, user_of

# A command's log is open until its process ends, and qdrant-client warns of a key without TLS.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection:UserWarning"),
]

DEPLOY = ROOT / "deploy"
TMPFS_BYTES = 512 << 20
UNAUTHORIZED = 13


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("compose")
    for name in ("compose.yaml", ".env.example"):
        (folder / name.replace(".example", "")).write_text((DEPLOY / name).read_text())
    output = check(tool("compose-go"), "-format", "json", "compose.yaml", cwd=folder)
    services: dict[str, Any] = json.loads(output)["services"]
    return services


@pytest.fixture(scope="module")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mongod")
    (folder / "db").mkdir()
    key = folder / "keyfile"
    key.write_text("a" * 64)
    key.chmod(0o400)
    port = steady_port(folder, "mongod")
    command = [
        *(str(find_mongod()), "--dbpath", str(folder / "db"), "--port", str(port)),
        *("--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"),
        *("--replSet", "gazeloop", "--keyFile", str(key)),
    ]
    mongod = Child("mongod", command, folder)
    mongod.wait_until(lambda: is_listening(port), deadline_s=240)
    _set_up(port)
    yield f"mongodb://127.0.0.1:{port}/?replicaSet=gazeloop"
    mongod.stop()


def _set_up(port: int) -> None:
    """What `setup.js` does, in the words of another client."""
    member = {"_id": 0, "host": f"127.0.0.1:{port}"}
    with Client("127.0.0.1", port, directConnection=True) as first:
        first.admin.command("replSetInitiate", {"_id": "gazeloop", "members": [member]})
        while not first.admin.command("hello")["isWritablePrimary"]:
            pass
    make_users(port)


@pytest.fixture(scope="module")
def qdrant() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Qdrant) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Deployment(NamedTuple):
    """Where the parts are, as the containers' environment would say it."""

    addresses: dict[str, str]
    folder: Path


@pytest.fixture(scope="module")
def deployment(
    mongodb: str,
    qdrant: str,
    compose: dict[str, Any],
    network: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    (folder / "blobs").mkdir()  # the volume
    with EmbeddedKafka(folder / "kafka") as kafka:
        made = compose["setup"]["environment"]
        asked = Settings(
            topic_partitions=int(made["GAZELOOP_TOPIC_PARTITIONS"]),
            topic_replication=int(made["GAZELOOP_TOPIC_REPLICATION"]),
        )
        create_topics(BrokerAddress.parse(kafka.bootstrap), asked)
        any_service = Settings.model_validate(
            {
                "mongodb": mongodb,
                "mongodb_user": "gazeloop-ingest",
                "mongodb_password": password_of("gazeloop-ingest"),
                "data": folder / "data",
            }
        )
        asyncio.run(_start(any_service))
        yield Deployment(
            {
                "GAZELOOP_KAFKA": kafka.bootstrap,
                "GAZELOOP_MONGODB": mongodb,
                "GAZELOOP_QDRANT": qdrant,
                "GAZELOOP_BLOBS": (folder / "blobs").as_uri(),
                "GAZELOOP_EMBEDDER": str(network),
            },
            folder,
        )


async def _start(settings: Settings) -> None:
    """Make the indexes, as the services do when they start."""
    async with open_stores(settings, "the broker") as stores:
        await open_annotation_stores(stores)


@pytest.fixture
def container(
    request: pytest.FixtureRequest,
    deployment: Deployment,
    compose: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[None]:
    """The environment, the secrets and the small /tmp of one container."""
    described = compose[getattr(request, "param", "cli")]
    for variable, value in described["environment"].items():
        monkeypatch.setenv(variable, str(value))
    for variable, value in deployment.addresses.items():
        monkeypatch.setenv(variable, value)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    values = {
        f"mongodb_password_{user.removeprefix('gazeloop-')}": password_of(user) for user in USERS
    }
    values["qdrant_api_key"] = KEY
    for secret in described["secrets"]:
        (secrets / secret["target"]).write_text(values.get(secret["source"], ""))
    monkeypatch.setenv("GAZELOOP_SECRETS_DIR", str(secrets))
    data = tmp_path / "data"
    monkeypatch.setenv("GAZELOOP_DATA", str(data))
    real = shutil.disk_usage

    def usage(path: Path | str) -> Any:
        """Of the tmpfs for what is kept in it."""
        found = real(path)
        return found._replace(free=TMPFS_BYTES) if Path(path) == data else found

    monkeypatch.setattr("services.runtime.embedded.room.shutil.disk_usage", usage)
    # The parts keep their data on this machine's disk, and how full that is, is no finding here.
    monkeypatch.setattr("services.app.doctor.finding.LITTLE_SPACE", 0.0)
    yield
    structlog.reset_defaults()


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(command_line, list(words))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


@pytest.mark.usefixtures("container")
def test_the_doctor_is_content_with_a_fresh_deployment() -> None:
    code, output = run("doctor", "--strict", "--json")
    found = json.loads(output)
    assert {item["part"] for item in found} == {"kafka", "mongodb", "blobs", "vectors"}
    assert [item for item in found if item["level"] != "ok"] == []
    assert code == 0


@pytest.mark.parametrize("container", ["ingest", "fp-miner", "retriever", "review"], indirect=True)
@pytest.mark.usefixtures("container")
def test_the_doctor_is_content_in_a_services_own_container() -> None:
    code, output = run("doctor", "--strict", "--no-model")
    assert code == 0, output


@pytest.mark.usefixtures("container")
@pytest.mark.parametrize(
    "words", [("tokens", "create", "vehicle:v1"), ("status",), ("dead-letters", "list")]
)
def test_an_operators_command_needs_no_room_for_parts_that_run_elsewhere(
    words: tuple[str, ...],
) -> None:
    code, output = run(*words)
    assert code == 0, output


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        pytest.param("review", "GAZELOOP_DATA", id="the page's cache"),
        pytest.param("cli", "TMPDIR", id="a backup that goes to a bucket"),
    ],
)
def test_what_is_large_counts_toward_no_containers_memory(
    compose: dict[str, Any], name: str, variable: str
) -> None:
    folder = compose[name]["environment"][variable]
    mounted = {mount["target"]: mount["type"] for mount in compose[name]["volumes"]}
    assert mounted[folder] == "volume"
    made = re.findall(r"install -d -o 10001 -g 10001 (.*)", (DEPLOY / "Dockerfile").read_text())
    assert folder in made[0].split()


@pytest.mark.parametrize("user", USERS)
async def test_every_service_may_start(user: str, deployment: Deployment) -> None:
    settings = Settings.model_validate(
        {
            "mongodb": deployment.addresses["GAZELOOP_MONGODB"],
            "mongodb_user": user,
            "mongodb_password": password_of(user),
        }
    )
    async with open_stores(settings, "the broker") as stores:
        # As ingest's user, CVAT's job does.
        if user in map(user_of, (REVIEW, LABEL_STUDIO, "ingest")):
            await open_annotation_stores(stores)


def test_a_service_writes_its_own_collections_and_reads_no_others_secrets(mongodb: str) -> None:
    for user in set(USERS) - {OPERATOR}:
        with Client(mongodb, username=user, password=password_of(user)) as client:
            for collection, writers in WRITERS["writers"].items():
                own = client.gazeloop[collection]
                writes = writers == "all" or user.removeprefix("gazeloop-") in writers
                # It matches nothing.
                update = partial(own.update_one, {"_id": "nobody"}, {"$set": {"at": 0}})
                assert is_allowed(update) == writes, (user, collection)
                reads = writes or collection not in WRITERS["secret"]
                assert is_allowed(own.find_one) == reads, (user, collection)
                assert not is_allowed(own.drop), (user, collection)


def is_allowed(act: Callable[[], object]) -> bool:
    try:
        act()
    except OperationFailure as exc:
        if exc.code != UNAUTHORIZED:
            raise
        return False
    return True


def test_a_service_cannot_become_another(mongodb: str) -> None:
    user = user_of("embedder")
    with Client(mongodb, username=user, password=password_of(user)) as client:
        review = user_of(REVIEW)
        assert not is_allowed(lambda: client.admin.command("updateUser", review, pwd="another"))
        assert not is_allowed(lambda: client.gazeloop.command("dropDatabase"))
    with (
        Client(mongodb, username=review, password=password_of(user)) as client,
        pytest.raises(OperationFailure, match="Authentication failed"),
    ):
        client.gazeloop.tokens.find_one()


def test_the_set_up_script_makes_these_users() -> None:
    script = (DEPLOY / "mongodb" / "setup.js").read_text()
    (found,) = re.findall(r"for \(const service of (\[.*\])\)", script)
    assert {*map(user_of, json.loads(found)), OPERATOR} == set(USERS)
    known = {name for names in WRITERS["writers"].values() if names != "all" for name in names}
    assert {*map(user_of, known), OPERATOR} == set(USERS)


def test_commands_have_a_container_with_all_that_they_may_need(compose: dict[str, Any]) -> None:
    cli = compose["cli"]
    assert cli["profiles"] == ["cli"]  # `up` does not start it
    assert cli["environment"]["GAZELOOP_MONGODB_USER"] == OPERATOR
    given = {secret["target"] for secret in cli["secrets"]}
    asked = {secret["target"] for item in compose.values() for secret in item.get("secrets", [])}
    assert given == {name for name in asked if str(name).startswith("GAZELOOP_")}
    made = compose["setup"]["environment"]
    for variable in ("GAZELOOP_TOPIC_PARTITIONS", "GAZELOOP_TOPIC_REPLICATION"):
        assert cli["environment"][variable] == made[variable]
