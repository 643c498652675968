"""What settings refuse."""

import traceback

import pytest

from services.contracts.errors import InvalidSettings
from services.runtime.settings import load_settings

PASSWORD = "hunter-two"


@pytest.mark.parametrize("name", ["mongodb", "qdrant", "blobs", "traces", "annotation_tool"])
def test_a_password_in_an_address_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(InvalidSettings, match=f"GAZELOOP_{name.upper()}.*password") as refused:
        load_settings(**{name: f"scheme://user:{PASSWORD}@host-a:1,host-b:2/path"})

    assert PASSWORD not in "".join(traceback.format_exception(refused.value))


def test_an_address_with_a_user_alone_is_taken() -> None:
    assert load_settings(blobs="sftp://gazeloop@host/frames").blob_url.startswith("sftp://")
