# The one package that is not empty, because this must happen before torch loads OpenMP: its idle
# threads would otherwise spin, and beside a broker and a database on two cores that costs the
# model five times its own time (measured).
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
