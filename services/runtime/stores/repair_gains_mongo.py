"""What repairing reviewed frames gains, in MongoDB."""

from collections.abc import Mapping
from dataclasses import asdict

from services.contracts.identity import DetectorId
from services.domain.metrics.ap_recovered import RepairGain
from services.domain.ports.repair_gains import GainsByFamily
from services.runtime.stores.mongo import Database, Document, translated


class MongoRepairGains:
    """The collection `repair_gains`: one document per detector."""

    def __init__(self, database: Database) -> None:
        self._gains = database["repair_gains"]

    async def show(self, gains: Mapping[DetectorId, GainsByFamily]) -> None:
        with translated():
            for detector, families in gains.items():
                rows = [{"family": family, **asdict(gain)} for family, gain in families.items()]
                await self._gains.replace_one({"_id": detector}, {"families": rows}, upsert=True)
            await self._gains.delete_many({"_id": {"$nin": list(gains)}})

    async def all(self) -> dict[DetectorId, GainsByFamily]:
        with translated():
            found = await self._gains.find().sort("_id", 1).to_list()
        return {
            DetectorId(item["_id"]): {row["family"]: _gain(row) for row in item["families"]}
            for item in found
        }


def _gain(row: Document) -> RepairGain:
    return RepairGain(row["frames"], row["ap"], row["map"])
