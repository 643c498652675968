"""Kernels in machine code, through Numba: no compiler on the user's machine, and compiled once.

Only modules named `*_kernels` use this, and they are imported inside the functions that call
them: importing Numba takes most of a second, which `gazeloop --help` must not pay.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """The function in machine code, kept on disk where a folder for it can be written.

    It lets go of Python's lock while it runs, so that kernels run in threads.
    """
    try:
        return cast(F, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # Numba's "no locator available": nowhere to write
        return cast(F, numba.njit(nogil=True)(function))
