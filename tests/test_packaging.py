"""What is installed: all packages, from wheel and sdist alike."""

import importlib.util
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = ("numba", "pyFAI", "matplotlib", "extra_geom")


def packages():
    """The packages that the tree holds, as they are imported."""
    tops = {"dxflow": "dxflow", "algorithms": "dxflow.algorithms", "recipes": "dxflow.recipes"}
    found = []
    for folder, name in tops.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            found.append(".".join([name, *init.parent.relative_to(ROOT / folder).parts]))
    return sorted(found)


def in_a_fresh_process(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_all_packages_of_the_tree_are_named_in_pyproject():
    assert sorted(SETTINGS["tool"]["setuptools"]["packages"]) == packages()


def test_every_folder_with_modules_is_a_package():
    for folder in ("dxflow", "algorithms", "recipes"):
        for file in (ROOT / folder).rglob("*.py"):
            assert (file.parent / "__init__.py").exists(), f"{file.parent} would not be installed"


def test_importing_every_algorithm_and_recipe_loads_nothing_heavy():
    code = "import sys; from dxflow import find; find.algorithms(); find.recipes(); print(*sys.modules)"
    assert not [name for name in HEAVY if name in in_a_fresh_process(code)]


def test_the_version_is_that_of_the_citation():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {version('dxflow')}\n" in citation


def test_the_list_of_files_in_the_architecture_is_that_of_the_tree():
    spec = importlib.util.spec_from_file_location("files", ROOT / "docs" / "files.py")
    files = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(files)
    assert files.PAGE.read_text() == files.page(), "run: python docs/files.py"


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Names of the files in the sdist and in the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        source = [name.partition("/")[2] for name in archive.getnames()]
    return source, zipfile.ZipFile(wheel).namelist()


def test_wheel_and_sdist_hold_every_file_of_the_packages(built):
    source, wheel = built
    for folder in ("dxflow", "algorithms", "recipes"):
        for file in [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.yaml")]:
            path = file.relative_to(ROOT).as_posix()
            assert path in source
            assert (path if folder == "dxflow" else f"dxflow/{path}") in wheel


def test_the_wheel_has_types_licence_and_command_and_no_stray_top_level_package(built):
    _, wheel = built
    assert "dxflow/py.typed" in wheel
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    assert any(name.endswith("entry_points.txt") for name in wheel)
    assert {name.partition("/")[0] for name in wheel} == {"dxflow", f"dxflow-{version('dxflow')}.dist-info"}
