"""Fail when an import runs up: a module imports only from the floors below its own.

All imports are read from the syntax tree, those inside functions and those under
`TYPE_CHECKING` too. Within one floor modules may use one another, except where the
floor keeps its modules independent, and never in a circle. `os.environ` is for
`settings.py` alone.

    python tools/floors.py [PACKAGE_FOLDER]
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FRONT = "__init__"
ENVIRONMENT_MODULE = "settings"
ENVIRONMENT_NAMES = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}


@dataclass(frozen=True)
class Floor:
    """Modules of one height.

    Attributes:
        name: what messages call it.
        modules: the modules and packages directly under the root package.
        independent: whether these may not import one another.
    """

    name: str
    modules: tuple[str, ...]
    independent: bool = False


FLOORS = (
    Floor("F0", ("errors", "settings", "version"), independent=True),
    Floor("F1", ("ir",)),
    Floor("F2", ("ops",)),
    Floor("F3", ("autodiff", "compiler"), independent=True),
    Floor(
        "F4",
        (
            "tensor",
            "symbolic",
            "operators",
            "functional",
            "random",
            "variable",
            "jit",
            "loops",
            "tracing",
            # What the siblings of F5 have in common, and may not ask of one another.
            "configurable",
            "precision",
            "likeness",
            "activations",
            "initializers",
            "regularizers",
            "constraints",
            # Reads files into arrays; layers take tables.
            "data",
            "boxes",
            "text",
        ),
    ),
    Floor(
        "F5",
        (
            "layers",
            "losses",
            "metrics",
            "optimizers",
        ),
        independent=True,
    ),
    Floor("F6", ("training",)),
    Floor("F7", ("models",)),
    Floor(
        "F8",
        (
            "applications",
            "datasets",
            "diagnose",
            "explain",
            "generation",
            "interop",
        ),
        independent=True,
    ),
    # The package itself shows what F0 to F8 make; nothing there may lean on it.
    Floor("front", (FRONT, "callbacks", "keras", "mixed_precision", "utils")),
    Floor("F9", ("recipes",)),
    Floor("F10", ("cli", "__main__")),
)
HEIGHTS = {
    module: height for height, floor in enumerate(FLOORS) for module in floor.modules
}


@dataclass(frozen=True)
class Import:
    """One import of a module of the package by another.

    Attributes:
        path: the file.
        line: its line.
        source: dotted name of the importing module.
        target: dotted name of the imported module.
    """

    path: Path
    line: int
    source: str
    target: str


def find_modules(root: Path) -> dict[str, Path]:
    """The dotted name of every module under `root`, with its file."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = [root.name, *path.relative_to(root).with_suffix("").parts]
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def _absolute(node: ast.ImportFrom, source: str, is_package: bool) -> str:
    """The dotted name that a `from ... import` names, relative ones resolved."""
    if not node.level:
        return node.module or ""
    base = source.split(".")
    base = base[: len(base) - node.level + is_package]
    return ".".join([*base, node.module] if node.module else base)


def _named_in_call(node: ast.Call) -> list[str]:
    """The module in `import_module("...")` or `__import__("...")`."""
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else ""
    name = function.id if isinstance(function, ast.Name) else name
    if name not in {"import_module", "__import__"} or not node.args:
        return []
    first = node.args[0]
    return [str(first.value)] if isinstance(first, ast.Constant) else []


def _named(node: ast.AST, source: str, is_package: bool) -> list[str]:
    """Dotted names that `node` imports, the longest form each might have."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = _absolute(node, source, is_package)
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call):
        return _named_in_call(node)
    return []


def read_imports(modules: dict[str, Path], root: str) -> Iterator[Import]:
    """Every import of one module of `root` by another."""
    for source, path in modules.items():
        is_package = path.name == "__init__.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
            for name in _named(node, source, is_package):
                if name != root and not name.startswith(f"{root}."):
                    continue
                if name not in modules:  # the last part is a function or a class
                    name = name.rpartition(".")[0] or name
                line = getattr(node, "lineno", 1)
                yield Import(path, line, source, name)


def _top(module: str) -> str:
    """The part of a dotted name that the table of floors lists."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else FRONT


def _describe(module: str) -> str:
    return f"{module} ({FLOORS[HEIGHTS[_top(module)]].name})"


def check_placed(modules: dict[str, Path]) -> list[str]:
    """Complaints about modules that the table does not list."""
    return [
        f"{path}:1: {name} stands on no floor: add it to FLOORS in tools/floors.py"
        for name, path in modules.items()
        if _top(name) not in HEIGHTS
    ]


def check_arrow(arrow: Import) -> str | None:
    """A complaint about an import that runs up or sideways, or None."""
    source, target = _top(arrow.source), _top(arrow.target)
    if source == target or source not in HEIGHTS:
        return None
    if target not in HEIGHTS:
        return f"{arrow.path}:{arrow.line}: there is no module {arrow.target}"
    place = (
        f"{arrow.path}:{arrow.line}: {_describe(arrow.source)} imports "
        f"{_describe(arrow.target)}"
    )
    if HEIGHTS[source] < HEIGHTS[target]:
        return f"{place}: imports run down only"
    if HEIGHTS[source] == HEIGHTS[target] and FLOORS[HEIGHTS[source]].independent:
        return f"{place}: modules of this floor do not import one another"
    return None


def check_circles(arrows: Sequence[Import]) -> list[str]:
    """A complaint that spells out the first circle of imports, if there is one."""
    graph: dict[str, set[str]] = {}
    for arrow in arrows:
        if arrow.source != arrow.target:
            graph.setdefault(arrow.source, set()).add(arrow.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle: list[str] = list(reversed(error.args[1]))
        pairs = set(pairwise(circle))
        steps = [a for a in arrows if (a.source, a.target) in pairs]
        chain = " -> ".join(circle)
        first = min(steps, key=lambda step: (str(step.path), step.line))
        return [f"{first.path}:{first.line}: imports in a circle: {chain}"]
    return []


def check_environment(modules: dict[str, Path]) -> list[str]:
    """Complaints about modules other than `settings.py` that read the environment."""
    complaints = []
    for name, path in modules.items():
        if _top(name) == ENVIRONMENT_MODULE:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
            if _touches_environment(node):
                line = getattr(node, "lineno", 1)
                complaints.append(
                    f"{path}:{line}: {name} touches the environment: "
                    f"only {ENVIRONMENT_MODULE}.py does"
                )
    return complaints


def _touches_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        names = {alias.name for alias in node.names}
        return node.module == "os" and bool(names & ENVIRONMENT_NAMES)
    return isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT_NAMES


def check(root: Path) -> tuple[list[str], str]:
    """All complaints about the package in folder `root`, and a one-line summary."""
    modules = find_modules(root)
    arrows = list(read_imports(modules, root.name))
    complaints = check_placed(modules)
    complaints += [text for arrow in arrows if (text := check_arrow(arrow))]
    complaints += check_circles(arrows)
    complaints += check_environment(modules)
    return complaints, f"{len(modules)} modules, {len(arrows)} imports"


def main(arguments: Sequence[str]) -> int:
    """Check the package in the folder given; return the exit status."""
    root = Path(arguments[0]) if arguments else REPOSITORY / "src" / "chainrule"
    complaints, summary = check(root)
    for complaint in complaints:
        print(complaint)
    verdict = f"{len(complaints)} wrong" if complaints else "all run down"
    print(f"floors: {summary}, {verdict}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
