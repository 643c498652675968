"""Compiles kernels with Numba, which needs no compiler on the user's machine.

Only modules named `*_kernels` use this, and callers import those inside functions: importing Numba
takes most of a second, which would delay `gazeloop --help`.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function, and cache the result on disk if a cache folder is writable.

    Compiled functions release the GIL, so that kernels run in threads.
    """
    try:
        return cast(F, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # Numba's "no locator available": nowhere to write
        return cast(F, numba.njit(nogil=True)(function))
