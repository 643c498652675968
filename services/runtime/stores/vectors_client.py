"""Vectors on a Qdrant server."""

import ssl
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import numpy as np
from grpc import StatusCode
from grpc.aio import AioRpcError
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from services.contracts.errors import Fatal, InvalidSettings
from services.contracts.identity import PointId
from services.domain.arrays import Vector, Vectors
from services.domain.ports.vectors import (
    OVERSAMPLING,
    Hit,
    Point,
    Quantization,
    Where,
    best_first,
    has_all_ties,
)
from services.runtime.stores.vectors_client_errors import NoCollectionError, translated

_SPARE = 16
"""Results requested beyond the limit, so that most ties for the last place need no second query."""
_TIMEOUT_S = 30
_INT8 = models.ScalarQuantization(
    scalar=models.ScalarQuantizationConfig(
        type=models.ScalarType.INT8, quantile=0.99, always_ram=True
    )
)
_RESCORED = models.SearchParams(
    quantization=models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
)


@dataclass(frozen=True)
class Layout:
    """How new collections are laid out on the server.

    Attributes
    ----------
    shards : of a collection; None for one per node
    replicas : of each shard
    tenant : the payload field by which points are grouped on disk; None for no such field
    """

    quantization: Quantization = Quantization.NONE
    shards: int | None = None
    replicas: int = 1
    tenant: str | None = None


class ClientVectorStore:
    """A VectorStore on a Qdrant server; writes return once they are applied."""

    def __init__(self, client: AsyncQdrantClient, layout: Layout | None = None) -> None:
        self._client = client
        self._layout = layout or Layout()

    @classmethod
    def at(
        cls,
        url: str,
        api_key: str,
        ca: Path | None = None,
        layout: Layout | None = None,
        grpc_port: int = 0,
    ) -> "ClientVectorStore":
        """The store at this URL; connects at the first use.

        Parameters
        ----------
        ca : file of the CA that signs the server's certificate; None for the usual CAs
        grpc_port : points travel by gRPC to this port; 0 for REST
        """
        try:
            verify = ssl.create_default_context(cafile=ca) if ca else True
            roots = {"root_certificates": ca.read_bytes()} if ca else {}
        except OSError as exc:  # ssl.SSLError is one
            raise InvalidSettings(f"GAZELOOP_QDRANT_CA={ca}: {exc}") from exc
        client = AsyncQdrantClient(
            url=url,
            api_key=api_key or None,
            timeout=_TIMEOUT_S,
            check_compatibility=False,
            verify=verify,
            prefer_grpc=bool(grpc_port),
            grpc_port=grpc_port,
            grpc_options=roots,
        )
        return cls(client, layout)

    async def ensure(
        self, collection: str, dimension: int, *, keywords: Sequence[str], numbers: Sequence[str]
    ) -> None:
        with translated(f"creating {collection}"):
            if not await self._client.collection_exists(collection):
                await self._create(collection, dimension)
            info = await self._client.get_collection(collection)
            held = _dimension(info)
            if held != dimension:
                raise InvalidSettings(f"{collection} holds {held} dimensions, not {dimension}")
            kinds: dict[str, models.PayloadSchemaType | models.KeywordIndexParams]
            kinds = dict.fromkeys(keywords, models.PayloadSchemaType.KEYWORD)
            kinds |= dict.fromkeys(numbers, models.PayloadSchemaType.FLOAT)
            if self._layout.tenant in kinds:
                kinds[self._layout.tenant] = models.KeywordIndexParams(
                    type=models.KeywordIndexType.KEYWORD, is_tenant=True
                )
            for name in kinds.keys() - info.payload_schema.keys():
                await self._client.create_payload_index(collection, name, kinds[name], wait=True)

    async def dimension(self, collection: str) -> int | None:
        try:
            with translated(f"looking at {collection}"):
                return _dimension(await self._client.get_collection(collection))
        except NoCollectionError:
            return None

    async def _create(self, collection: str, dimension: int) -> None:
        params = models.VectorParams(size=dimension, distance=models.Distance.COSINE)
        if self._layout.quantization is Quantization.INT8:
            params.on_disk = True
            params.quantization_config = _INT8
        try:
            await self._client.create_collection(
                collection,
                vectors_config=params,
                shard_number=self._layout.shards,
                replication_factor=self._layout.replicas,
            )
        except UnexpectedResponse as exc:
            # Another replica was faster.
            if exc.status_code != HTTPStatus.CONFLICT:
                raise
        except AioRpcError as exc:
            if exc.code() is not StatusCode.ALREADY_EXISTS:
                raise

    async def collections(self) -> list[str]:
        with translated("listing the collections"):
            found = await self._client.get_collections()
        return sorted(collection.name for collection in found.collections)

    async def alias(self, names: Mapping[str, str]) -> None:
        existing = await self.aliases()
        dropped: list[models.AliasOperations] = [
            models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name))
            for name in names
            if name in existing
        ]
        created: list[models.AliasOperations] = [
            models.CreateAliasOperation(
                create_alias=models.CreateAlias(collection_name=collection, alias_name=name)
            )
            for name, collection in names.items()
        ]
        with translated(f"moving {', '.join(names)}"):
            # One request, so that an alias exists at every moment.
            await self._client.update_collection_aliases([*dropped, *created])

    async def aliases(self) -> dict[str, str]:
        with translated("reading the aliases"):
            found = await self._client.get_aliases()
        return {alias.alias_name: alias.collection_name for alias in found.aliases}

    async def upsert(self, collection: str, points: Sequence[Point]) -> None:
        rows = [
            models.PointStruct(id=p.point_id, vector=p.vector.tolist(), payload=dict(p.payload))
            for p in points
        ]
        if not rows:
            return
        try:
            with translated(f"writing to {collection}"):
                await self._client.upsert(collection, rows, wait=True)
        except NoCollectionError as exc:
            raise Fatal(f"there is no collection {collection}: ensure it first") from exc

    async def delete(self, collection: str, point_ids: Collection[PointId]) -> None:
        if point_ids:
            await self._delete(collection, models.PointIdsList(points=[*point_ids]))

    async def delete_others(self, collection: str, where: Where, kept: Collection[PointId]) -> None:
        others = _filter(where) or models.Filter()
        others.must_not = [models.HasIdCondition(has_id=[*kept])]
        await self._delete(collection, models.FilterSelector(filter=others))

    async def _delete(self, collection: str, selected: models.PointsSelector) -> None:
        with suppress(NoCollectionError), translated(f"deleting from {collection}"):
            await self._client.delete(collection, selected, wait=True)

    async def drop(self, collections: Collection[str]) -> None:
        for collection in collections:
            with suppress(NoCollectionError), translated(f"dropping {collection}"):
                await self._client.delete_collection(collection)

    async def load(self, collection: str, point_ids: Collection[PointId]) -> dict[PointId, Vector]:
        if not point_ids:
            return {}
        try:
            with translated(f"reading {collection}"):
                records = await self._client.retrieve(
                    collection, [*point_ids], with_payload=False, with_vectors=True
                )
        except NoCollectionError:
            return {}
        return {PointId(str(r.id)): np.asarray(r.vector, np.float32) for r in records}

    async def scan(self, collection: str, at_once: int) -> AsyncIterator[list[Point]]:
        following = None
        while True:
            try:
                with translated(f"reading {collection}"):
                    records, following = await self._client.scroll(
                        collection,
                        limit=at_once,
                        offset=following,
                        with_payload=True,
                        with_vectors=True,
                    )
            except NoCollectionError:
                return
            yield [
                Point(PointId(str(r.id)), np.asarray(r.vector, np.float32), r.payload or {})
                for r in records
            ]
            if following is None:
                return

    async def nearest(self, collection: str, vector: Vector, where: Where, limit: int) -> list[Hit]:
        if limit < 1:
            return []
        requested = limit + _SPARE
        while True:
            try:
                with translated(f"searching {collection}"):
                    hits = await self._query(collection, vector, where, requested)
            except NoCollectionError:
                return []
            if has_all_ties(hits, limit, requested):
                return hits[:limit]
            requested *= 4

    async def nearest_batch(
        self, collection: str, vectors: Vectors, where: Where, limit: int
    ) -> list[list[Hit]]:
        if limit < 1 or not len(vectors):
            return [[] for _ in vectors]
        requested = limit + _SPARE
        requests = [
            models.QueryRequest(
                query=vector.tolist(),
                filter=_filter(where),
                limit=requested,
                with_payload=True,
                params=self._params,
            )
            for vector in vectors
        ]
        try:
            with translated(f"searching {collection}"):
                answers = await self._client.query_batch_points(collection, requests)
        except NoCollectionError:
            return [[] for _ in vectors]
        per_query = [_hits(answer) for answer in answers]
        return [
            hits[:limit]
            if has_all_ties(hits, limit, requested)
            else await self.nearest(collection, vector, where, limit)
            for hits, vector in zip(per_query, vectors, strict=True)
        ]

    async def _query(
        self, collection: str, vector: Vector, where: Where, requested: int
    ) -> list[Hit]:
        return _hits(
            await self._client.query_points(
                collection,
                query=vector.tolist(),
                query_filter=_filter(where),
                limit=requested,
                with_payload=True,
                search_params=self._params,
            )
        )

    @property
    def _params(self) -> models.SearchParams | None:
        return _RESCORED if self._layout.quantization is Quantization.INT8 else None

    async def count(self, collection: str, where: Where) -> int:
        try:
            with translated(f"counting in {collection}"):
                counted = await self._client.count(
                    collection, count_filter=_filter(where), exact=True
                )
        except NoCollectionError:
            return 0
        return counted.count

    async def close(self) -> None:
        with translated("closing"):
            await self._client.close()


def _hits(answer: models.QueryResponse) -> list[Hit]:
    return best_first((PointId(str(p.id)), p.score, p.payload or {}) for p in answer.points)


def _dimension(info: models.CollectionInfo) -> int:
    held = info.config.params.vectors
    assert isinstance(held, models.VectorParams)
    return held.size


def _filter(where: Where) -> models.Filter | None:
    equal: list[models.Condition] = [
        models.FieldCondition(key=name, match=models.MatchValue(value=value))
        for name, value in where.equals.items()
    ]
    reached: list[models.Condition] = [
        models.FieldCondition(key=name, range=models.Range(gte=bound))
        for name, bound in where.at_least.items()
    ]
    return models.Filter(must=[*equal, *reached]) if equal or reached else None
