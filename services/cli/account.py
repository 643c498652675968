"""The account that runs a command, as the audit log names it."""

import os
from getpass import getuser


def account() -> str:
    """The account's name; its number where it has none, as with a container's arbitrary user."""
    try:
        return getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        return f"uid {os.getuid()}"
