"""The house rules of the source: small modules that say what they are, few imports at start; `make lint` has others."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def sources():
    out = subprocess.run(
        ["git", "ls-files", "dxflow", "algorithms", "recipes"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    if not out:
        pytest.skip("not a git checkout")
    return [ROOT / f for f in out if f.endswith(".py") and (ROOT / f).exists()]


def test_no_module_is_longer_than_400_lines():
    lengths = {str(f.relative_to(ROOT)): len(f.read_text().splitlines()) for f in sources()}
    assert {f: n for f, n in lengths.items() if n > 400} == {}


def test_rooms_to_come_stand_above_the_public_names_and_tables_at_the_bottom():
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0][
        "layers"
    ]
    floor = {room.strip(" ()"): n for n, layer in enumerate(layers) for room in re.split("[:|]", layer)}
    rooms = ("pages", "live", "watch", "red", "analysis", "handover")
    assert all(
        floor["dxflow.commands"] < floor[f"dxflow.{r}"] < floor["dxflow.copying"] < floor["dxflow.api"]
        for r in rooms
    )
    assert set(layers[floor["dxflow.html"] :]) == {"dxflow.html", "dxflow.sizes", "dxflow.errors"}
    found = [node for f in (ROOT / "dxflow/html").glob("*.py") for node in ast.walk(ast.parse(f.read_text()))]
    assert not [node for node in found if isinstance(node, ast.ImportFrom) and node.level > 1]


def names_of(path):
    """Return how a source file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "dxflow" else ("dxflow", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(node, path, known):
    """Yield the files that an import names, those for types and those within functions as well."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        here = names_of(path).split(".") + (["__init__"] if path.name == "__init__.py" else [])
        start = ".".join(here[: -node.level] + [node.module or ""]).rstrip(".") if node.level else node.module
        for alias in node.names:
            yield f"{start}.{alias.name}" if f"{start}.{alias.name}" in known else start


def graph():
    """Return which files each file imports, by name."""
    files = {names_of(path): path for path in sources()}
    return {
        name: {
            other
            for node in ast.walk(ast.parse(path.read_text()))
            for other in imported(node, path, files)
            if other in files and other != name
        }
        for name, path in files.items()
    }


def reached(name, imports):
    """Return all files that a file needs, directly or through others."""
    found, new = set(), set(imports[name])
    while new:
        found |= new
        new = set().union(*(imports[one] for one in new)) - found
    return found


def test_no_files_import_each_other_in_a_circle():
    imports = graph()
    assert sorted(name for name in imports if name in reached(name, imports)) == []


def test_every_module_says_in_one_line_what_it_is():
    without = [
        str(f.relative_to(ROOT))
        for f in sources()
        if not (ast.get_docstring(ast.parse(f.read_text())) or "")
        .split("\n")[0]
        .rstrip()
        .endswith((".", "!"))
    ]
    assert without == []


def test_importing_dxflow_loads_nothing_heavy():
    heavy = [
        "numba",
        "pyFAI",
        "matplotlib",
        "extra_geom",
        "extra_data",
        "distributed",
        "xarray",
        "zarr",
        "pandas",
        "h5py",
    ]
    code = f"import sys, dxflow; print(sorted(set({heavy}) & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_the_public_names_are_few_and_there():
    import dxflow

    assert len(dxflow.__all__) <= 30
    assert all(hasattr(dxflow, name) for name in dxflow.__all__)
