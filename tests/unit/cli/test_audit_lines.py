"""`gazeloop audit` prints an act in one line."""

from services.cli.work.audit import line_of
from services.domain.ports.audit import AuditAct, AuditRecord
from tests.samples import CAPTURED_AT


def test_a_reason_forges_no_act_and_commands_no_terminal() -> None:
    reason = "x\n2026-05-04 12:00:00  ada  erased  frames\x1b[2J"
    record = AuditRecord(CAPTURED_AT, AuditAct.ERASED, "eve", "frames", {"reason": reason})
    line = line_of(record)
    assert line.isprintable()
    assert line.endswith(r"reason x\u000a2026-05-04 12:00:00  ada  erased  frames\u001b[2J")
