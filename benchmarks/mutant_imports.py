"""The files of a repository, and which of them import which."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path


class Repository:
    """Python files by their paths in the repository."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._trees: dict[str, ast.Module] = {}
        self._ranks: dict[str, dict[str, int]] = {}

    def files(self, folder: str) -> list[str]:
        """All files in a folder."""
        found = Path(self._root, folder).rglob("*.py")
        return sorted(str(file.relative_to(self._root)) for file in found)

    def tree(self, path: str) -> ast.Module:
        """A file, parsed."""
        if path not in self._trees:
            self._trees[path] = ast.parse(Path(self._root, path).read_text())
        return self._trees[path]

    @cached_property
    def importers(self) -> defaultdict[str, set[str]]:
        """The files that import each file."""
        found = defaultdict[str, set[str]](set)
        for folder in ("services", "tests"):
            for file in self.files(folder):
                for other in self._imported(file):
                    found[other].add(file)
        return found

    def _imported(self, path: str) -> Iterator[str]:
        for node in ast.walk(self.tree(path)):
            if isinstance(node, ast.ImportFrom) and node.module:
                parts = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
                yield from (part.replace(".", "/") + ".py" for part in parts)

    def ranks(self, path: str) -> dict[str, int]:
        """How far the files are that import a file; a test that is named after it is nearest."""
        if path not in self._ranks:
            found, ring, rank = {path: 1}, {path}, 1
            while ring:
                rank += 1
                ring = {other for file in ring for other in self.importers[file]} - found.keys()
                found |= dict.fromkeys(ring, rank)
            named = f"test_{Path(path).name}"
            self._ranks[path] = {
                file: 0 if Path(file).name == named else rank for file, rank in found.items()
            }
        return self._ranks[path]

    def dependents(self, path: str) -> set[str]:
        """The files that import a file, directly or by others, and itself."""
        return set(self.ranks(path))
