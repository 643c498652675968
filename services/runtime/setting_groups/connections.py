"""Where the parts are, and where HTTP is served."""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator

from services.runtime.setting_groups.group import (
    Count,
    Port,
    SettingGroup,
    Url,
    parts_of,
)


class StoreSettings(SettingGroup):
    """Where the broker and the stores are; where none is named, embedded in the data folder."""

    title: ClassVar = "Broker and stores"

    data: Path = Field(Path("gazeloop-data"), description="Data folder of the embedded parts.")
    kafka: str = Field("", description="Bootstrap servers `host:port,…`; empty: embedded.")
    kafka_tls: bool = Field(False, description="Whether connections to Kafka use TLS.")
    kafka_ca: Path | None = Field(
        None, description="CA certificate file for Kafka; turns TLS on. Empty: the system's."
    )
    kafka_user: str = Field("", description="User for SCRAM-SHA-512; empty: no authentication.")
    kafka_password: SecretStr = Field(SecretStr(""), description="Kafka user's password.")
    mongodb: Url = Field("", description="MongoDB URL, without password; empty: embedded mongod.")
    mongodb_database: str = Field("gazeloop", description="MongoDB database.")
    mongodb_user: str = Field("", description="MongoDB user; empty: no authentication.")
    mongodb_password: SecretStr = Field(SecretStr(""), description="MongoDB user's password.")
    mongodb_tls: bool = Field(False, description="Whether connections to MongoDB use TLS.")
    mongodb_ca: Path | None = Field(None, description="CA certificate file for MongoDB.")
    qdrant: Url = Field("", description="Qdrant URL; empty: Qdrant Edge in this process.")
    qdrant_api_key: SecretStr = Field(SecretStr(""), description="Qdrant API key.")
    qdrant_ca: Path | None = Field(None, description="CA certificate file for Qdrant.")
    qdrant_grpc_port: Port = Field(
        0, description="Port of Qdrant's gRPC, usually 6334; 0: points go by REST."
    )
    qdrant_tenant: Literal["", "detector", "category"] = Field(
        "",
        description="Field by which points of new collections lie together on Qdrant's disks"
        " (`is_tenant`), as searches ask for one value of it; empty: none.",
    )
    qdrant_shards: int = Field(
        0, ge=0, description="Shards of new collections in Qdrant; 0: one per node."
    )
    qdrant_replicas: Count = Field(1, description="Replicas of each shard of new collections.")
    blobs: Url = Field("", description="fsspec URL for images; empty: `blobs` in the data folder.")

    @property
    def blob_url(self) -> str:
        """The blob store's URL; by default, a folder in the data folder."""
        return self.blobs or (self.data.resolve() / "blobs").as_uri()


class HttpSettings(SettingGroup):
    """The servers of ingest, of the review page and of metrics."""

    title: ClassVar = "HTTP"

    host: str = Field("127.0.0.1", description="Address that HTTP servers listen on.")
    http_port: Port = Field(
        8000,
        description="Port of ingest and of the review page; 0: any free one.",
    )
    metrics_port: Port = Field(
        9400, description="Port of `/metrics` and `/healthz`; 0: any free one."
    )
    tls_certificate: Path | None = Field(
        None, description="Ingest's and the review page's certificate (PEM); empty: plain HTTP."
    )
    tls_key: Path | None = Field(None, description="The certificate's private key (PEM).")
    allowed_hosts: str = Field(
        "",
        description="Accepted `Host` names, `name,…`, beside loopback, the server's address and"
        " those of GAZELOOP_PUBLIC_URL and GAZELOOP_REVIEW_URL.",
    )
    trusted_proxies: str = Field(
        "",
        description="Proxies whose `X-Forwarded-*` headers are trusted, `address,network/bits,…`.",
    )
    max_body_bytes: Count = Field(33_554_432, description="Largest HTTP request body, in bytes.")
    rate_limit: str = Field(
        "600/minute",
        description="Rate limit per token, in `limits` notation; `1000000/second` is in effect"
        " none.",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, listed: str) -> str:
        """Refuse host names, which never match, and `*`, which trusts every client."""
        for address in parts_of(listed):
            ip_network(address)
        return listed

    @field_validator("rate_limit")
    @classmethod
    def _allows_requests(cls, limit: str) -> str:
        """Refuse the amount 0: some read it as no request, others as no limit."""
        if re.match(r"\s*0+(?!\d)", limit):
            raise ValueError("it allows no request; 1000000/second is in effect no limit")
        return limit

    @property
    def proxies(self) -> list[str]:
        """Addresses and networks of the trusted proxies."""
        return parts_of(self.trusted_proxies)
