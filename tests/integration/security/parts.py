"""Kafka and MongoDB with users, grants and TLS, started as their owners would."""

import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from pymongo import MongoClient

from services.app.topic_access import OPERATOR, SCALER, grants_of, user_of
from services.contracts.flow import WRITES
from services.runtime.embedded.child import Child, is_listening
from services.runtime.embedded.kafka import find_java
from services.runtime.embedded.kafka_jars import find_jars
from services.runtime.embedded.mongod import find_mongod
from services.runtime.embedded.ports import steady_port
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.topic_admin import create_topics
from services.runtime.settings import Settings
from tests.integration.security.certificates import Authority, Certificate

PASSWORD = "correct-horse-battery"
_CLUSTER = "Z2F6ZWxvb3AtdGVzdHMxMg"
_READY_S = 240.0
_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"
_USERS = (*WRITES, SCALER, OPERATOR)
_PATTERNS = {
    "literal": ACLResourcePatternType.LITERAL,
    "prefix": ACLResourcePatternType.PREFIXED,
}
_RESOURCES = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP}


def _properties(folder: Path, ports: dict[str, int], sound: Certificate, old: Certificate) -> str:
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    advertised = ",".join(
        f"{name}://localhost:{port}" for name, port in ports.items() if name != "CONTROLLER"
    )
    protocols = "OWNER:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENTS:SASL_SSL,EXPIRED:SASL_SSL"
    lines = [
        "process.roles=broker,controller",
        "node.id=1",
        f"controller.quorum.voters=1@127.0.0.1:{ports['CONTROLLER']}",
        f"listeners={listeners}",
        f"advertised.listeners={advertised}",
        f"listener.security.protocol.map={protocols}",
        "controller.listener.names=CONTROLLER",
        "inter.broker.listener.name=OWNER",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users=User:ANONYMOUS",
        f"log.dirs={folder / 'data'}",
        "offsets.topic.replication.factor=1",
        "offsets.topic.num.partitions=2",
        "group.initial.rebalance.delay.ms=0",
        "message.max.bytes=13631488",
    ]
    for name, certificate in (("clients", sound), ("expired", old)):
        prefix = f"listener.name.{name}"
        lines += [
            f"{prefix}.sasl.enabled.mechanisms=SCRAM-SHA-512",
            f"{prefix}.scram-sha-512.sasl.jaas.config={_LOGIN} required;",
            f"{prefix}.ssl.keystore.type=PEM",
            f"{prefix}.ssl.keystore.location={certificate.both}",
        ]
    return "\n".join(lines) + "\n"


@contextmanager
def secured_kafka(folder: Path, sound: Certificate, old: Certificate) -> Iterator[dict[str, str]]:
    """A broker on which each service's user has its grants; addresses by listener.

    The listener CLIENTS has the sound certificate, EXPIRED the old one.
    """
    folder.mkdir()
    names = ("OWNER", "CONTROLLER", "CLIENTS", "EXPIRED")
    ports = {name: steady_port(folder, name) for name in names}
    configuration = folder / "server.properties"
    configuration.write_text(_properties(folder, ports, sound, old))
    java = [str(find_java()), "-Xmx384m", "-XX:+UseSerialGC", "-cp", f"{find_jars()}/*"]
    users = [
        argument
        for service in _USERS
        for argument in (
            "--add-scram",
            f"SCRAM-SHA-512=[name={user_of(service)},password={PASSWORD}]",
        )
    ]
    formatting = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(configuration)]
    subprocess.run([*java, *formatting, *users], check=True, capture_output=True, timeout=240)
    broker = Child("kafka", [*java, "kafka.Kafka", str(configuration)], folder)
    try:
        for port in ports.values():
            broker.wait_until(partial(is_listening, port), deadline_s=_READY_S)
        owner = f"127.0.0.1:{ports['OWNER']}"
        create_topics(BrokerAddress.parse(owner), Settings(topic_partitions=2))
        _grant(owner)
        yield {name: f"localhost:{port}" for name, port in ports.items()}
    finally:
        broker.stop()


def _operation(name: str) -> ACLOperation:
    """`DescribeConfigs` is DESCRIBE_CONFIGS."""
    return ACLOperation[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()]


def _grant(owner: str) -> None:
    """What `gazeloop topics acls` prints, done."""
    admin = KafkaAdminClient(bootstrap_servers=[owner])
    acls = [
        ACL(
            principal=f"User:{user_of(service)}",
            host="*",
            operation=_operation(operation),
            permission_type=ACLPermissionType.ALLOW,
            resource_pattern=ResourcePattern(
                _RESOURCES[grant.resource], grant.name, _PATTERNS[grant.pattern]
            ),
        )
        for service in _USERS
        for grant in grants_of(service)
        for operation in grant.operations
    ]
    admin.create_acls(acls)
    every = ACLFilter(
        principal=None,
        host=None,
        operation=ACLOperation.ANY,
        permission_type=ACLPermissionType.ANY,
        resource_pattern=ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
    )
    deadline = time.monotonic() + _READY_S
    # The controller has them at once, the broker a moment later.
    while len(admin.describe_acls(every)[0]) < len(acls):
        assert time.monotonic() < deadline
    admin.close()


@contextmanager
def secured_mongod(folder: Path, authority: Authority, certificate: Certificate) -> Iterator[str]:
    """A mongod with TLS and two users: the evaluator's, and one of another database."""
    (folder / "db").mkdir(parents=True)
    port = steady_port(folder, "mongod")
    command = [
        *(str(find_mongod()), "--dbpath", str(folder / "db"), "--port", str(port)),
        *("--bind_ip", "127.0.0.1", "--nounixsocket", "--auth", "--tlsMode", "requireTLS"),
        *("--tlsCertificateKeyFile", str(certificate.both), "--tlsCAFile", str(authority.file)),
        *("--tlsAllowConnectionsWithoutCertificates", "--wiredTigerCacheSizeGB", "0.25"),
    ]
    mongod = Child("mongod", command, folder)
    try:
        mongod.wait_until(lambda: is_listening(port), deadline_s=_READY_S)
        _create_users(port)
        yield f"mongodb://localhost:{port}/?w=majority&journal=true"
    finally:
        mongod.stop()


def _create_users(port: int) -> None:
    trusting: dict[str, Any] = {"tls": True, "tlsAllowInvalidCertificates": True}
    with MongoClient[dict[str, Any]]("localhost", port, **trusting) as first:
        # Allowed from this machine while there is no user yet.
        roles = [{"role": "root", "db": "admin"}]
        first.admin.command("createUser", "root", pwd=PASSWORD, roles=roles)
    signed_in = trusting | {"username": "root", "password": PASSWORD}
    with MongoClient[dict[str, Any]]("localhost", port, **signed_in) as owner:
        for user, database in (("gazeloop-evaluator", "gazeloop"), ("stranger", "elsewhere")):
            roles = [{"role": "readWrite", "db": database}]
            owner.admin.command("createUser", user, pwd=PASSWORD, roles=roles)


@contextmanager
def tls_server(handler: type[BaseHTTPRequestHandler], certificate: Certificate) -> Iterator[int]:
    """A small server with this certificate; its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.both)
    # The handshake is the handler thread's: in the one that accepts, a silent client stops us all.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
