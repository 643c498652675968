"""Label Studio's SDK finds nothing wrong with our tasks; its converter reads their boxes."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

from services.formats.readers.coco import read_coco
from services.formats.readers.restored import restored
from services.formats.writers.format_names import Format
from tests.integration.interop.test_datumaro import FRAMES, export, interpreter
from tests.unit.ingest.test_exporters import PROPOSAL, contents_of, truths


def test_its_sdk_accepts_our_tasks_and_its_converter_reads_their_boxes(tmp_path: Path) -> None:
    frames = [replace(frame, proposals=(PROPOSAL,)) for frame in FRAMES]
    sent = export(Format.LABEL_STUDIO, frames, tmp_path / "out")
    script = Path(__file__).with_name("through_label_studio.py")
    command = [interpreter(), str(script), str(tmp_path / "out"), str(tmp_path / "back")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
    converted = read_coco(tmp_path / "back/result.json", images=None, sent=sent)
    back = truths(restored(converted, sent, ()))
    assert {name: contents_of(item) for name, item in back.items()} == {
        frame.frame_id: contents_of(frame.annotations) for frame in frames
    }
