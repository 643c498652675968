from pathlib import Path

import pytest

from services.embedder.models.exporting import exported
from services.runtime.settings import Settings


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported network, which the image `cpu` has at /opt/gazeloop/network.zip."""
    file = tmp_path_factory.mktemp("image") / "network.zip"
    file.write_bytes(exported(Settings(embedder="squeezenet1_0")).content())
    return file
