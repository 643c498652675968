import subprocess
import sys

_PROCESS = """
import atexit
import gc
import sys
from types import ModuleType

from services.runtime.garbage import spare_long_lived_objects

if sys.argv[1] == "with torch":
    sys.modules["torch"] = ModuleType("torch")
atexit.register(lambda: print(gc.get_freeze_count() > 0))
spare_long_lived_objects()
print(gc.get_freeze_count() > 0)
"""


def frozen(libraries: str) -> list[str]:
    """Whether objects are exempt while such a process runs, and at its end."""
    command = [sys.executable, "-c", _PROCESS, libraries]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_an_ending_process_with_torch_frees_what_was_exempt() -> None:
    assert frozen("with torch") == ["True", "False"]


def test_an_ending_process_without_torch_examines_nothing() -> None:
    assert frozen("without torch") == ["True", "True"]
