"""The `gazeloop` command, which every process of a deployment is.

It is imported before NumPy, whose linear algebra would otherwise keep a thread for every core. They
wait for one another in loops, so that on cores with other work, learning a kind took seven times as
long as with one.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
