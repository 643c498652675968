from services.contracts.identity import Category, DetectorId
from services.domain.ports.failure_models import MODELS_KEPT


class InMemoryFailureModelStore:
    def __init__(self) -> None:
        self._models: dict[tuple[DetectorId, Category], dict[str, bytes]] = {}

    async def save(
        self, detector: DetectorId, category: Category, model_id: str, content: bytes
    ) -> None:
        models = self._models.setdefault((detector, category), {})
        models.pop(model_id, None)
        models[model_id] = content
        for expired in list(models)[:-MODELS_KEPT]:
            del models[expired]

    async def load(self, detector: DetectorId, category: Category, model_id: str) -> bytes | None:
        return self._models.get((detector, category), {}).get(model_id)

    async def forget_all(self) -> None:
        self._models.clear()
