"""The files of an algorithm are those that Python itself loads for it from its package or folder, and no others."""

import importlib
import json
import subprocess
import sys

import pytest

from dxflow.planning.digests import Digests
from dxflow.planning.sourcecode import code_of

MINE = """
from dxflow import Algorithm
{imports}

class Mine(Algorithm):
    def process_module_data(self, block=None, out=None):
        {hook}
"""


def mine(imports="", hook="pass"):
    return MINE.format(imports=imports, hook=hook)


LAYOUTS = {
    "relative": (
        "a1.alg",
        {
            "a1/__init__.py": "",
            "a1/alg.py": mine("from .kern import f\nfrom . import low"),
            "a1/kern.py": "from .far.deep import f",
            "a1/low.py": "",
            "a1/far/__init__.py": "",
            "a1/far/deep.py": "from ..up import g as f",
            "a1/up.py": "def g(): pass",
            "a1/unrelated.py": "",
            "a1/far/unrelated.py": "",
        },
    ),
    "names that a package takes from its files": (
        "a2.alg",
        {
            "a2/__init__.py": "",
            "a2/alg.py": mine("from .kern import f"),
            "a2/kern/__init__.py": "from .one import f\nfrom .two import g",
            "a2/kern/one.py": "def f(): pass",
            "a2/kern/two.py": "def g(): pass",
            "a2/kern/unrelated.py": "",
        },
    ),
    "packages that Python runs before a file of theirs": (
        "a3.sub.alg",
        {
            "a3/__init__.py": "from .always import x",
            "a3/always.py": "x = 1",
            "a3/sub/__init__.py": "from ..setup import y",
            "a3/setup.py": "y = 1",
            "a3/sub/alg.py": mine("from ..other.deep import z"),
            "a3/other/__init__.py": "from . import table",
            "a3/other/table.py": "",
            "a3/other/deep.py": "z = 1",
            "a3/unrelated.py": "",
            "a3/other/unrelated.py": "",
        },
    ),
    "absolute, in functions and in methods": (
        "a4.alg",
        {
            "a4/__init__.py": "",
            "a4/alg.py": mine(hook="import a4.lazy\n        from a4 import later\n        later.f()"),
            "a4/lazy.py": "",
            "a4/later.py": "def f():\n    from .latest import g\n    return g",
            "a4/latest.py": "g = 1",
            "a4/unrelated.py": "",
        },
    ),
    "a folder of files": (
        "a5",
        {
            "a5.py": mine("import a5_helper as h", hook="from a5_part.deep import z"),
            "a5_helper.py": "from a5_more import *",
            "a5_more.py": "",
            "a5_part/__init__.py": "from .first import y",
            "a5_part/first.py": "y = 1",
            "a5_part/deep.py": "z = 1",
            "a5_unrelated.py": "",
            "a5_part/unrelated.py": "",
        },
    ),
    "a package without __init__.py": (
        "a6.alg",
        {
            "a6/alg.py": mine("from .kern import f\nimport a6.sub.deep"),
            "a6/kern.py": "from a6.sub import more as f",
            "a6/sub/deep.py": "",
            "a6/sub/more.py": "",
            "a6/unrelated.py": "",
            "a6/sub/unrelated.py": "",
        },
    ),
    "folders without __init__.py beside a file": (
        "a7",
        {
            "a7.py": mine("from a7_space.inner import deep", hook="import a7_space.other"),
            "a7_space/inner/deep.py": "",
            "a7_space/other.py": "",
            "a7_space/unrelated.py": "",
        },
    ),
    "circles": (
        "a8.alg",
        {
            "a8/__init__.py": "from . import alg",
            "a8/alg.py": mine("from . import kern"),
            "a8/kern.py": "import a8.alg",
            "a8/unrelated.py": "",
        },
    ),
}

LOADED = """
import importlib, json, sys
root, *names = sys.argv[1:]
sys.path.insert(0, root)
found = {}
for name in names:
    importlib.import_module(name).Mine().process_module_data()
    files = [getattr(m, "__file__", None) for n, m in list(sys.modules.items()) if n.startswith(name.partition(".")[0])]
    found[name] = sorted(f[len(root) + 1:] for f in files if f)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("source")
    for _, files in LAYOUTS.values():
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    return root


@pytest.fixture(scope="module")
def loaded(root):
    """The files that Python loads for each, import and hook, in a process of its own."""
    line = [sys.executable, "-B", "-c", LOADED, str(root), *(name for name, _ in LAYOUTS.values())]
    return json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_files_of_an_algorithm_are_those_that_python_loads_for_it(layout, root, loaded, monkeypatch):
    monkeypatch.syspath_prepend(root)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    name, files = LAYOUTS[layout]
    before = set(sys.modules)
    try:
        found = code_of(importlib.import_module(name).Mine, Digests())
    finally:
        for new in set(sys.modules) - before:
            del sys.modules[new]
    assert sorted(set(found) - {"class Mine"}) == loaded[name]
    assert {file for file in files if "unrelated" in file}.isdisjoint(found)
    assert len(loaded[name]) >= 3
