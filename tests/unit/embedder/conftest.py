"""One thread for torch: these tests' tensors are small, and others use the cores too."""

from collections.abc import Iterator

import pytest

import services.embedder  # noqa: F401  # before torch, for which it chooses how threads wait


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch  # noqa: PLC0415  # after the above

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
