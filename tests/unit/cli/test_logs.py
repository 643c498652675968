import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from services.cli.logs import log_to_file
from services.runtime.settings import Settings


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    for handler in [item for item in root.handlers if item not in before]:
        if isinstance(handler, logging.StreamHandler):
            handler.stream.close()
    root.handlers = before
    structlog.reset_defaults()


def test_a_person_is_told_of_an_error_in_one_line_and_where_the_log_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "logs" / "gazeloop.log"
    log_to_file(Settings(data=tmp_path), "gazeloop")
    log = structlog.get_logger("services.test")
    log.info("batch_mined", needles=3)
    log.error("batch_failed", service="retriever", exc_info=ValueError("no such thing"))

    logging.getLogger("kafka.net").error("connection lost")

    output = capsys.readouterr().err
    assert "retriever: batch_failed: ValueError: no such thing" in output
    assert str(path) in output
    assert "batch_mined" not in output
    assert "connection lost" not in output
    assert "batch_mined" in path.read_text()
