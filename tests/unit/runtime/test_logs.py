import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from services.runtime.observability.logs import RepeatedWarnings, configure_logs


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


def test_a_library_that_repeats_itself_is_held_back_and_counted() -> None:
    quiet = RepeatedWarnings(quiet_s=30.0)

    def message(at_s: float, name: str = "aiokafka") -> str | None:
        record = logging.makeLogRecord(
            {"name": name, "msg": "no node %d", "args": (1,), "created": 1e9 + at_s}
        )
        return record.getMessage() if quiet.filter(record) else None

    assert message(0) == "no node 1"
    assert [message(1), message(2), message(29)] == [None, None, None]
    assert message(31) == "no node 1 (and 3 times since the last line)"
    assert message(62) == "no node 1"
    assert message(62, name="kafka") == "no node 1"


def test_a_message_that_still_repeats_is_held_back_while_many_others_come() -> None:
    quiet = RepeatedWarnings(quiet_s=30.0)

    def shown(message: str, at_s: float) -> bool:
        return quiet.filter(
            logging.makeLogRecord({"name": "kafka", "msg": message, "created": 1e9 + at_s})
        )

    assert shown("no broker", 0)
    for number in range(3000):
        assert shown(f"no node {number}", 1)
        assert not shown("no broker", 1)


def test_our_own_events_are_never_held_back(written: io.StringIO) -> None:
    log = structlog.get_logger("services.tester")
    for _ in range(3):
        log.warning("batch_retried")
    assert len(lines(written)) == 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_traceback_shows_no_values(stream: io.StringIO) -> None:
    configure_logs(stream=stream)
    password = "hunter-" + "two"
    try:
        password.index("?")
    except ValueError:
        structlog.get_logger("services.tester").exception("batch_failed")

    assert "ValueError" in stream.getvalue()
    assert "hunter-two" not in stream.getvalue()


@pytest.mark.usefixtures("written")
def test_a_log_file_is_closed_when_the_logs_go_elsewhere(tmp_path: Path) -> None:
    configure_logs(path=tmp_path / "first.log")
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.FileHandler)
    stream = handler.stream
    assert stream is not None
    configure_logs()
    assert stream.closed
