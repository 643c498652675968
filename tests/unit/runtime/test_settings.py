"""What settings refuse."""

import traceback

import pytest

from services.contracts.errors import InvalidSettings
from services.runtime.settings_reading import load_settings

PASSWORD = "hunter-two"


@pytest.mark.parametrize("name", ["mongodb", "qdrant", "blobs", "traces", "annotation_tool"])
def test_a_password_in_an_address_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(InvalidSettings, match=f"GAZELOOP_{name.upper()}.*password") as refused:
        load_settings(**{name: f"scheme://user:{PASSWORD}@host-a:1,host-b:2/path"})

    assert PASSWORD not in "".join(traceback.format_exception(refused.value))


def test_an_address_with_a_user_alone_is_taken() -> None:
    assert load_settings(blobs="sftp://gazeloop@host/frames").blob_url.startswith("sftp://")


def test_a_session_that_faust_would_refuse_is_refused_by_the_settings_name() -> None:
    with pytest.raises(InvalidSettings, match="GAZELOOP_SESSION_TIMEOUT_S"):
        load_settings(session_timeout_s=91)
    assert load_settings(session_timeout_s=90).session_timeout_s == 90


def test_single_topics_have_their_own_partitions_and_retention() -> None:
    settings = load_settings(
        topic_partitions=8,
        topic_partitions_of="gaze.matches=24, gaze.frames=48",
        topic_retention_days_of="gaze.dead-letters=0.5",
    )

    assert [settings.partitions_of(name) for name in ("gaze.matches", "gaze.needles")] == [24, 8]
    assert settings.retention_days_of("gaze.dead-letters") == 0.5
    assert settings.retention_days_of("gaze.frames") == settings.topic_retention_days


@pytest.mark.parametrize("version", ["1", "2"])
def test_the_version_of_events_is_read_from_the_environment(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAZELOOP_EVENT_VERSION", version)
    assert load_settings().event_version == int(version)


@pytest.mark.parametrize("version", ["0", "3", "two"])
def test_a_version_of_events_that_does_not_exist_is_refused(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAZELOOP_EVENT_VERSION", version)
    with pytest.raises(InvalidSettings, match="GAZELOOP_EVENT_VERSION"):
        load_settings()


@pytest.mark.parametrize("limit", ["0/minute", " 00 per 2 hours"])
def test_a_rate_limit_of_no_request_is_refused(limit: str) -> None:
    with pytest.raises(InvalidSettings, match=r"GAZELOOP_RATE_LIMIT.*1000000/second"):
        load_settings(rate_limit=limit)
    assert load_settings(rate_limit="010/minute").rate_limit == "010/minute"


def test_misses_are_refused_where_version_1_of_the_events_would_drop_them() -> None:
    assert load_settings(mine_misses=True, event_version=2).mine_misses
    with pytest.raises(InvalidSettings, match="GAZELOOP_EVENT_VERSION=2"):
        load_settings(mine_misses=True, event_version=1)


def test_shortlists_of_misses_are_refused_where_none_are_mined() -> None:
    misses = {"shortlist_strategy": "missed-objects", "event_version": 2}
    assert load_settings(mine_misses=True, **misses).lists_misses
    with pytest.raises(InvalidSettings, match="GAZELOOP_MINE_MISSES"):
        load_settings(**misses)


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("operating_score_of", "stop sign"),
        ("operating_score_of", "stop sign=1.5"),
        ("topic_partitions_of", "gaze.marches=24"),
        ("topic_partitions_of", "gaze.matches=0"),
        ("topic_partitions_of", "gaze.matches=1.5"),
        ("topic_partitions_of", "gaze.matches"),
        ("topic_retention_days_of", "gaze.frames=-1"),
        ("topic_retention_days_of", "gaze.frames=inf"),
        ("topic_retention_days_of", "gaze.frames=7,gaze.frames=90"),
        ("epoch_s", "inf"),
        ("retain_images_days", "nan"),
        ("redact", " , "),
        ("redact", '"face'),
    ],
)
def test_names_that_are_unknown_or_missing_and_numbers_that_none_can_have_are_refused(
    name: str, listed: str
) -> None:
    with pytest.raises(InvalidSettings, match=f"GAZELOOP_{name.upper()}"):
        load_settings(**{name: listed})


def test_categories_that_no_detector_finds_cannot_be_redacted() -> None:
    with pytest.raises(InvalidSettings, match=r"GAZELOOP_REDACT_DETECTOR: .*needs the detector"):
        load_settings(redact="face")
    assert load_settings(redact=" face, plate", redact_detector="privacy").redacted_categories == [
        "face",
        "plate",
    ]
    quoted = load_settings(redact='"sign, round",face', redact_detector="privacy")
    assert quoted.redacted_categories == ["sign, round", "face"]
    with pytest.raises(InvalidSettings, match=r"GAZELOOP_REDACT_DETECTOR needs GAZELOOP_REDACT"):
        load_settings(redact_detector="privacy")
