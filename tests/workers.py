"""How tests are shared out among the workers of pytest-xdist."""

from xdist.scheduler import LoadScopeScheduling

_ONE_AT_A_TIME = ("tests/faults/", "tests/integration/evaluator/test_replicas.py")
"""Tests that end processes and wait for others to notice: two of them at once starve each other."""


class ModulesToWorkers(LoadScopeScheduling):
    """Gives a worker a whole module, so that what a module's fixtures start is started once."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return "one at a time" if module.startswith(_ONE_AT_A_TIME) else module
