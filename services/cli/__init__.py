"""The `gazeloop` command; every process of a deployment runs it.

This package is imported before NumPy, to limit OpenBLAS to one thread. By default it starts one
per core, and they busy-wait for one another: on busy cores, fitting a failure model took seven
times as long as with one thread.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
