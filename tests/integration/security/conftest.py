import pytest

from tests.integration.security.certificates import Authority, Certificate


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="session")
def sound(authority: Authority) -> Certificate:
    return authority.sign("sound")


@pytest.fixture(scope="session")
def expired(authority: Authority) -> Certificate:
    return authority.sign("expired", days=-1)
