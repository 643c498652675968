"""Runs the embedded stack on a data folder until it is killed; prints its addresses.

Usage: owner.py DATA
"""

import sys
from pathlib import Path

from services.runtime.embedded.stack import EmbeddedStack
from services.runtime.settings_reading import load_settings

if __name__ == "__main__":
    with EmbeddedStack(load_settings(data=Path(sys.argv[1]))) as addresses:
        print(addresses.model_dump_json(), flush=True)  # noqa: T201  # to whoever started us
        sys.stdin.read()
