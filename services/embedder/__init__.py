# The only __init__ that is not empty, because this must happen before torch loads OpenMP: otherwise
# its idle threads spin. On two cores shared with a broker and a database, the model then took five
# times as long (measured).
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
