"""Runs Apache Kafka in KRaft mode from its jars, with one or several nodes, on data folders."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from services.contracts.errors import MissingPart
from services.runtime.durability import sync
from services.runtime.embedded.child import Child, is_listening
from services.runtime.embedded.kafka_jars import find_jars
from services.runtime.embedded.ports import steady_port
from services.runtime.kafka.limits import MAX_DEAD_LETTER_BYTES

CLASS_ARCHIVE = "kafka.jsa"
"""File beside the jars with Kafka's classes in the JVM's own form; `kafka_classes.py` writes it.

A broker starts with 1.5 s of CPU time instead of 2.6 s (OpenJDK 17). A JVM that cannot use the
file, because it or a jar is of another version, logs that and reads the jars.
"""
_OLDEST_JAVA = 17
_READY_S = 240.0
_FORMAT_S = 240.0
_RECORD_OVERHEAD = 64 * 1024
_MEMORY = ("-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"


@dataclass(frozen=True)
class Node:
    """One node of a cluster, which is both broker and controller."""

    number: int
    folder: Path
    port: int
    controller_port: int

    @classmethod
    def in_folder(cls, number: int, folder: Path) -> "Node":
        """A node on a folder, with its previous ports if they are free."""
        folder.mkdir(parents=True, exist_ok=True)
        port = steady_port(folder, "kafka")
        return cls(number, folder, port, steady_port(folder, "kafka-controller"))

    @property
    def data(self) -> Path:
        """The folder of its topics and metadata."""
        return self.folder / "data"

    @property
    def address(self) -> str:
        """The address for clients."""
        return f"127.0.0.1:{self.port}"


def find_java() -> Path:
    """Find a Java that is new enough.

    Raises
    ------
    MissingPart
        JAVA_HOME and the PATH have no Java, or only an older one.
    """
    home = os.environ.get("JAVA_HOME", "")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    java = java or shutil.which("java")
    if java is None:
        named = f"in JAVA_HOME ({home})" if home else "in JAVA_HOME"
        raise MissingPart(f"no java, neither {named} nor on the PATH")
    printed = subprocess.run(  # noqa: S603  # the user's own java
        [java, "-version"], capture_output=True, text=True, check=False, timeout=30
    ).stderr
    version = re.search(r'version "(\d+)', printed)
    if version is None or int(version[1]) < _OLDEST_JAVA:
        first = printed.partition("\n")[0][:80]
        raise MissingPart(f"no Java {_OLDEST_JAVA} or newer: {java} says {first!r}")
    return Path(java)


def lacks() -> str:
    """What Apache Kafka needs and this machine lacks; empty if it can be started."""
    try:
        find_java()
        find_jars()
    except MissingPart as exc:
        return str(exc)
    return ""


def has_events(folder: Path) -> bool:
    """Whether the folder contains a cluster's data."""
    return next(folder.glob("node-*/**/meta.properties"), None) is not None


class EmbeddedKafka:
    """A running Kafka cluster on this machine.

    Parameters
    ----------
    folder : data folder; an existing cluster continues with its ports
    nodes : number of brokers, which limits the replicas of a topic
    options : of each broker's JVM; by default, that it uses the archive of classes if there is one
    grace_s : how long a broker may take to end before it is killed
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 1,
        options: Sequence[str] | None = None,
        grace_s: float = 10.0,
    ) -> None:
        jars = find_jars()
        archive = jars / CLASS_ARCHIVE
        archived = (f"-XX:SharedArchiveFile={archive}",) if archive.exists() else ()
        self._options = archived if options is None else options
        self._grace_s = grace_s
        self._java = find_java()
        self._classpath = f"{jars}/*"
        # Derived from the folder, so that a crash before the first start does not change it.
        self._cluster_id = _cluster_id(folder)
        self._nodes = [
            Node.in_folder(number, folder / f"node-{number}") for number in range(1, nodes + 1)
        ]
        self._children: dict[int, Child] = {}
        for node in self._nodes:
            _write_properties(node, self._nodes)
        try:
            for node in self._nodes:
                self._format(node)
                self._children[node.number] = self._start(node)
            for node in self._nodes:
                self._wait(node)
        except BaseException:
            self.stop()
            raise

    @property
    def bootstrap(self) -> str:
        """Bootstrap servers, comma separated."""
        return ",".join(node.address for node in self._nodes)

    @property
    def pids(self) -> Sequence[int]:
        """The process ids of the running nodes."""
        return [child.pid for child in self._children.values()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Shut all nodes down cleanly."""
        for child in self._children.values():
            child.stop()
        self._children.clear()

    def check(self) -> None:
        """Raise PartEnded if a node has ended by itself."""
        for child in self._children.values():
            child.check()

    def kill(self, number: int = 1) -> None:
        """Kill one node without warning, like a power failure."""
        self._children.pop(number).kill()

    def restart(self, number: int = 1) -> None:
        """Restart a killed node on its folder and ports, and wait until it is ready."""
        node = self._nodes[number - 1]
        # As a new start of the cluster does: the file may be empty since the power failed.
        _write_properties(node, self._nodes)
        self._children[number] = self._start(node)
        self._wait(node)

    def _format(self, node: Node) -> None:
        done = node.folder / "formatted"
        if done.exists():
            return
        if not any(path.is_dir() for path in node.data.glob("*")):
            # A node that has run has a folder per partition. These are files that an interrupted
            # formatting left, maybe empty since the power failed.
            shutil.rmtree(node.data, ignore_errors=True)
        formatting = subprocess.run(  # noqa: S603  # Kafka's own tool
            [
                *(str(self._java), "-XX:TieredStopAtLevel=1", *self._options),
                *("-cp", self._classpath, _QUIET),
                *("kafka.tools.StorageTool", "format", "--ignore-formatted"),
                *("-t", self._cluster_id, "-c", str(node.folder / "server.properties")),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=_FORMAT_S,
        )
        if formatting.returncode:
            printed = (formatting.stderr or formatting.stdout)[-1500:]
            raise MissingPart(f"Kafka cannot use {node.folder}: {printed}")
        for path in (*node.data.iterdir(), node.data, node.folder):
            sync(path)
        done.touch()

    def _start(self, node: Node) -> Child:
        command = [str(self._java), *_MEMORY, *self._options, "-cp", self._classpath, _QUIET]
        command += ["kafka.Kafka", str(node.folder / "server.properties")]
        return Child("kafka", command, node.folder, grace_s=self._grace_s)

    def _wait(self, node: Node) -> None:
        # A node listens only after it has registered with the controller and read its logs.
        child = self._children[node.number]
        child.wait_until(lambda: is_listening(node.port), deadline_s=_READY_S)


def _cluster_id(folder: Path) -> str:
    digest = hashlib.sha256(str(folder.resolve()).encode()).digest()
    remembered = folder / "cluster-id"
    # It is empty if the power failed while it was written.
    if not remembered.exists() or not remembered.read_text():
        folder.mkdir(parents=True, exist_ok=True)
        remembered.write_text(base64.urlsafe_b64encode(b"\x01" + digest[:15]).decode()[:22])
        sync(remembered)
    return remembered.read_text()


def _write_properties(node: Node, nodes: Sequence[Node]) -> None:
    voters = ",".join(f"{item.number}@127.0.0.1:{item.controller_port}" for item in nodes)
    replicas = min(3, len(nodes))
    in_sync = max(1, replicas - 1)
    properties = {
        "process.roles": "broker,controller",
        "node.id": node.number,
        "controller.quorum.voters": voters,
        "listeners": f"PLAINTEXT://{node.address},CONTROLLER://127.0.0.1:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{node.address}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": node.data,
        "auto.create.topics.enable": "false",
        "min.insync.replicas": in_sync,
        "message.max.bytes": MAX_DEAD_LETTER_BYTES + _RECORD_OVERHEAD,
        "replica.fetch.max.bytes": MAX_DEAD_LETTER_BYTES + _RECORD_OVERHEAD,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        # A killed node can rejoin only after its session has expired, by default after 9 s.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        # Sized for a few services on one machine; the defaults are for hundreds of groups.
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.num.partitions": 1,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
    }
    lines = [f"{name}={value}" for name, value in properties.items()]
    (node.folder / "server.properties").write_text("\n".join(lines) + "\n")
