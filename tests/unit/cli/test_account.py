import pytest

from services.cli.account import account


def test_an_account_without_a_name_is_named_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_001)
    assert account() == "uid 4000000001"
    monkeypatch.setenv("LOGNAME", "ada")
    assert account() == "ada"
