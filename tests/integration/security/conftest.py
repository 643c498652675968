from collections.abc import Iterator

import pytest

from tests.integration.security.certificates import Authority, Certificate
from tests.integration.security.parts import secured_kafka, secured_mongod


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="session")
def sound(authority: Authority) -> Certificate:
    return authority.sign("sound")


@pytest.fixture(scope="session")
def expired(authority: Authority) -> Certificate:
    return authority.sign("expired", days=-1)


@pytest.fixture(scope="session")
def kafka(
    tmp_path_factory: pytest.TempPathFactory, sound: Certificate, expired: Certificate
) -> Iterator[dict[str, str]]:
    with secured_kafka(tmp_path_factory.mktemp("kafka") / "secured", sound, expired) as addresses:
        yield addresses


@pytest.fixture(scope="session")
def mongodb(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, sound: Certificate
) -> Iterator[str]:
    with secured_mongod(tmp_path_factory.mktemp("mongod"), authority, sound) as url:
        yield url
