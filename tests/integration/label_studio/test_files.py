"""Files out and back through Label Studio's own import and export."""

import json
from pathlib import Path
from uuid import uuid4

from services.contracts.identity import FrameId
from services.formats.readers.label_studio import read_label_studio
from services.formats.readers.restored import restored
from services.formats.readers.returned import Manifest
from services.formats.writers.format_names import Format
from services.formats.writers.formats import EXPORTERS, manifest
from tests.integration.label_studio import server as real
from tests.unit.ingest.test_exporters import (
    FRAMES,
    PLAIN,
    PROPOSAL,
    contents_of,
    frame,
    near,
    truths,
    write,
)


def test_what_its_import_takes_its_export_gives_back_to_the_pixel(
    server: real.Server, tmp_path: Path
) -> None:
    annotated = [export_frame for export_frame in FRAMES if export_frame.annotations is not None]
    sent = [*annotated, frame("asked", annotations=PLAIN[:1], proposals=(PROPOSAL,))]
    exported = EXPORTERS[Format.LABEL_STUDIO](sent)
    write({**exported.files, "manifest.json": manifest(exported)}, tmp_path)
    known = Manifest.read(tmp_path / "manifest.json")
    facts = {"title": uuid4().hex, "label_config": (tmp_path / "labeling.xml").read_text()}
    project = server._sent("POST", "/api/projects", facts)["id"]

    tasks = json.loads((tmp_path / "tasks.json").read_text())
    imported = server._sent("POST", f"/api/projects/{project}/import", tasks)
    given_back = server.person.get(f"/api/projects/{project}/export", params={"exportType": "JSON"})

    assert imported["task_count"] == 3
    assert imported["prediction_count"] == 1
    file = tmp_path / "export.json"
    file.write_bytes(given_back.raise_for_status().content)
    bare = truths(read_label_studio(file))
    assert {name: contents_of(item) for name, item in bare.items()} == {
        export_frame.frame_id: near(export_frame.annotations or ()) for export_frame in sent
    }
    exact = restored(read_label_studio(file), known, ("crowd", "ignore"))
    assert truths(exact) == {
        FrameId(export_frame.frame_id): [*(export_frame.annotations or ())] for export_frame in sent
    }
    assert exact.left == set()
