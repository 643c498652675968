"""Checks tasks by Label Studio's own rules, and converts them to COCO by its own converter.

Run by the interpreter that has its SDK: FOLDER NEW-FOLDER.
"""

import json
import sys
from pathlib import Path

from label_studio_sdk.converter import Converter
from label_studio_sdk.label_interface import LabelInterface

folder, new_folder = map(Path, sys.argv[1:])
config = (folder / "labeling.xml").read_text()
tasks = json.loads((folder / "tasks.json").read_text())
interface = LabelInterface(config)
interface.validate()
errors = [
    error
    for task in tasks
    for given, check in (
        ("annotations", interface._validate_object),
        ("predictions", interface.validate_prediction),
    )
    for item in task[given]
    for error in check(item, return_errors=True)
]
for number, task in enumerate(tasks, 1):  # as the server's own export has them
    task["id"] = number
Path(new_folder).mkdir()
(new_folder / "export.json").write_text(json.dumps(tasks))
converter = Converter(config, project_dir=str(folder), download_resources=False)
converter.convert_to_coco(str(new_folder / "export.json"), str(new_folder), is_dir=False)
sys.stdout.write("\n" + json.dumps(errors))
