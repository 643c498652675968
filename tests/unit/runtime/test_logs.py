import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from services.runtime.logs import configure_logs


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers, root.level)
    stream = io.StringIO()
    configure_logs(stream=stream)
    yield stream
    root.handlers, level = before[0], before[1]
    root.setLevel(level)
    structlog.reset_defaults()


def lines(written: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_our_events_are_one_json_object_a_line(written: io.StringIO) -> None:
    structlog.get_logger("services.tester").info("batch_mined", events=64)
    (line,) = lines(written)
    assert (line["event"], line["events"], line["level"]) == ("batch_mined", 64, "info")
    assert line["logger"] == "services.tester"


def test_libraries_are_heard_from_their_warnings_on(written: io.StringIO) -> None:
    logging.getLogger("kafka").info("chatter")
    logging.getLogger("kafka").warning("broker away")
    assert [line["event"] for line in lines(written)] == ["broker away"]


def test_an_error_keeps_its_traceback_on_its_line(written: io.StringIO) -> None:
    try:
        raise RuntimeError("boom")  # noqa: TRY301  # it is what the test is about
    except RuntimeError:
        structlog.get_logger("services.tester").exception("batch_failed")
    (line,) = lines(written)
    assert "RuntimeError: boom" in str(line["exception"])
