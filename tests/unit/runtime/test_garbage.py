import subprocess
import sys

_PROCESS = """
import atexit
import gc

from services.runtime.garbage import spare_long_lived_objects

atexit.register(lambda: print(gc.get_freeze_count()))
spare_long_lived_objects()
print(gc.get_freeze_count() > 0)
"""


def test_an_ending_process_frees_what_was_exempt() -> None:
    result = subprocess.run(
        [sys.executable, "-c", _PROCESS], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["True", "0"]
