"""What a result depends on: any one change is noticed and said in words, and nothing else is."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from samples import RoiSum

import dxflow
from dxflow import Algorithm, Frames, Output
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.subtract import Subtract
from dxflow.planning import factwords
from dxflow.planning.digests import Digests
from dxflow.planning.diskdigests import content


def read(plan):
    """Return a plan that knows what it depends on now."""
    assert plan.digest
    return plan


def differences(old, new):
    return new.fingerprint.differences(old.fingerprint)


def test_equal_plans_have_equal_fingerprints(run):
    first, second = (dxflow.plan(run.path, RoiSum()).fingerprint for _ in range(2))
    assert first.facts == second.facts
    assert first.digest == second.digest
    assert not second.differences(first)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"chunk": 5_000}, "chunks"),
        ({"block": 5_000}, "block: 1048576 -> 5000"),
        ({"on_fault": "mask"}, "on_fault: none -> mask"),
        ({"frames": dxflow.FrameSelection(pulses=[0])}, "frames that are read"),
    ],
)
def test_what_decides_the_bits_is_in_the_fingerprint(run, options, said):
    usual = {"chunk": "1 GiB", "block": "1 MiB"}
    first = dxflow.plan(run.path, RoiSum(), **usual)
    other = dxflow.plan(run.path, RoiSum(), **(usual | options))
    assert said in "\n".join(differences(first, other))
    assert first.digest != other.digest


def test_the_number_of_reader_threads_and_how_the_run_is_named_are_not(run, monkeypatch):
    first = dxflow.plan(run.path, RoiSum())
    monkeypatch.chdir(Path(run.path).parent)
    for other in (dxflow.plan(run.path, RoiSum(), readers=3), dxflow.plan(Path(run.path).name, RoiSum())):
        assert other.digest == first.digest
        assert not differences(first, other)


def test_it_is_the_same_after_it_was_written_as_json(run):
    made = dxflow.plan(run.path, WithOption(what=float("nan"))).fingerprint
    assert not made.differences(json.loads(json.dumps(made.facts)))


def test_it_can_be_printed(run):
    made = dxflow.plan(run.path, RoiSum(ss=(1, 3))).fingerprint
    assert "option ss = [1, 3]" in str(made)
    assert "code samples.py" in made.text()


def test_what_is_printed_of_many_fits_a_screen_and_says_what_shows_the_rest(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    many = [RoiSum(ss=(1, 3), name=f"a{n:02d}") for n in range(20)]
    made = dxflow.plan(run.path, many).fingerprint
    said = str(made).splitlines()
    assert len(said) <= 24
    assert max(len(line) for line in said) <= 80
    assert "... and 17 more" in str(made)
    assert "plan.fingerprint.text()" in said[-1]
    assert all(f"algorithm   a{n:02d}: " in made.text() for n in range(20))


class WithOption(Algorithm):
    """Takes anything as an option."""

    ALG_ID = "with"
    inputs = {"img": Frames()}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--what", default=None)

    def outputs(self, info):
        return {"n": Output()}

    def process_module_data(self, block, out):
        out.n += len(block)


class Plain:
    """An object whose repr is its address."""

    def __init__(self, number):
        self.number = number


def scaled(factor):
    return lambda x: factor * x


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (np.arange(3), np.arange(3), np.arange(4)),
        (np.arange(6).reshape(2, 3).T, np.arange(6).reshape(2, 3).T.copy(), np.arange(6).reshape(3, 2)),
        (
            xr.Dataset({"a": ("x", [1, 2])}),
            xr.Dataset({"a": ("x", [1, 2])}),
            xr.Dataset({"a": ("x", [1, 3])}),
        ),
        (Plain(1), Plain(1), Plain(2)),
        ([1, (2.5, "a")], [1, (2.5, "a")], [1, (2.5, "b")]),
        (slice(1, 4), slice(1, 4), slice(1, 5)),
        ({"a", "b"}, {"b", "a"}, {"a", "c"}),
        (float("nan"), float("nan"), 0.0),
        (scaled(2), scaled(2), scaled(3)),
        (np.mean, np.mean, np.median),
        (np.ma.masked_equal([1, 2], 1), np.ma.masked_equal([1, 2], 1), np.ma.masked_equal([1, 2], 2)),
        ({"k": Plain([1])}, {"k": Plain([1])}, {"k": Plain([2])}),
    ],
)
def test_options_count_by_their_content(run, one, same, other):
    plans = [dxflow.plan(run.path, WithOption(what=w)) for w in (one, same, other)]
    assert not differences(plans[0], plans[1])
    assert plans[0].digest == plans[1].digest != plans[2].digest
    assert all(text.startswith("option what of with: ") for text in differences(plans[0], plans[2]))


def test_sets_functions_and_objects_have_the_same_digest_in_every_process():
    code = """
        from dxflow.planning.digests import Digests
        import numpy as np, re, pathlib, functools
        class Thing:
            def __init__(self): self.names = {"p", "q", "r"}
            def work(self, x): return x in {"a", "b", "c"}
        d = Digests()
        print(d.plain({"a", "b", "c"}), d.of({"k": {"p", "q"}}), d.of(Thing()), d.of(Thing), d.of(lambda x: np.sum(x)))
        print(d.of(re.compile("a+")), d.of(pathlib.PurePath("x")), d.of(functools.partial(max, 3)), d.of(Thing().work))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    outs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(3)]
    assert len(set(outs)) == 1
    assert outs[0].strip()


def test_what_has_no_digest_is_said(run, tmp_path):
    for what in (threading.Lock(), [open(__file__)]):  # noqa: SIM115 - it is the value
        fingerprint = dxflow.plan(run.path, WithOption(what=what)).fingerprint
        assert "option what of with (" in fingerprint.unknown[0]


def test_an_attribute_that_was_set_afterwards_counts(run):
    one, other = RoiSum(), RoiSum()
    other.ss = slice(0, 3)
    assert "attribute ss of roisum" in "\n".join(
        differences(*(dxflow.plan(run.path, a) for a in (one, other)))
    )


def test_files_count_by_their_content_and_not_by_their_name_or_date(run, tmp_path, monkeypatch):
    path = tmp_path / "values.npy"
    path.write_bytes(b"1")
    first = read(dxflow.plan(run.path, WithOption(what=str(path))))
    path.write_bytes(b"1")
    monkeypatch.chdir(tmp_path)
    assert not differences(first, dxflow.plan(run.path, WithOption(what=path)))
    assert not differences(first, dxflow.plan(run.path, WithOption(what="values.npy")))
    path.write_bytes(b"2")
    changed = dxflow.plan(run.path, WithOption(what=str(path)))
    assert differences(first, changed) == [f"option what of with: {path} has other content"]
    assert Digests().plain("no such file") == "no such file"


def test_a_folder_counts_by_its_files_unless_all_work_is_done_in_it(run, tmp_path, monkeypatch):
    folder = tmp_path / "darks"
    folder.mkdir()
    (folder / "a").write_text("1")
    digests = Digests([tmp_path / "elsewhere" / "x.zarr"])
    first = digests.plain(str(folder))
    (folder / "b").write_text("1")
    assert digests.plain(str(folder)) != first
    monkeypatch.chdir(folder)
    assert digests.plain(str(folder)) == str(folder)
    assert digests.plain(".") == "."


# Darks and geometries -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def darks(tmp_path_factory, run):
    """Return the path of a dark that is a result."""
    path = tmp_path_factory.mktemp("dark") / "dark.zarr"
    dxflow.reduce(run.path, Average(), path, cluster="here")
    return path


def forms(path):
    result = dxflow.open(path)
    return {
        "path": str(path),
        "result": result,
        "dataset": result.dataset,
        "values": result.dataset["average.mean"].values,
    }


@pytest.mark.parametrize("form", ["path", "result", "dataset", "values"])
def test_another_dark_of_the_same_name_is_noticed(run, darks, tmp_path, form):
    import shutil

    path = tmp_path / "dark.zarr"
    shutil.copytree(darks, path)
    first = dxflow.plan(
        run.path, [Subtract(dark=forms(path)[form]), Average(img=dxflow.From("subtract.img"))]
    )
    digest = read(first).digest
    dxflow.reduce(run.path, Average(), path, cluster="here", overwrite=True)
    again = dxflow.plan(
        run.path, [Subtract(dark=forms(path)[form]), Average(img=dxflow.From("subtract.img"))]
    )
    assert again.digest == digest, "the same dark, made again"
    few = dxflow.FrameSelection(trains=[int(run.train_ids[0])])
    dxflow.reduce(run.path, Average(), path, cluster="here", overwrite=True, frames=few)
    other = dxflow.plan(
        run.path, [Subtract(dark=forms(path)[form]), Average(img=dxflow.From("subtract.img"))]
    )
    assert differences(first, other)[0].startswith("option dark of subtract: ")


def test_a_shard_that_was_changed_by_hand_is_noticed(darks, tmp_path):
    import shutil

    path = tmp_path / "dark.zarr"
    shutil.copytree(darks, path)
    first = content(path)
    assert first == content(darks), "a copy holds the same"
    shard = next(p for p in (path / "average.mean").rglob("*") if p.is_file() and p.name != "zarr.json")
    data = bytearray(shard.read_bytes())
    data[10] ^= 1
    shard.write_bytes(data)
    assert content(path) != first


def test_the_geometry_beside_the_run_counts(tmp_path):
    from dxflow.simulate import make_run

    truth = make_run(tmp_path / "r1", detector="AGIPD500K", trains=2, pulses=2, module_shape=(8, 8))
    first = read(dxflow.plan(truth.path, AzimuthalIntegration(nbins=4)))
    path = tmp_path / "r1" / "geometry.npy"
    points = np.load(path)
    points[0, 0, 1, 0] += 1e-6
    np.save(path, points)
    other = dxflow.plan(truth.path, AzimuthalIntegration(nbins=4))
    assert differences(first, other) == [f"geometry of azint: {path} has other content"]


# Code ---------------------------------------------------------------------------------------------

ALGORITHM = """
from dxflow import Algorithm, Frames, Output
{imports}
class {name}({base}):
    ALG_ID = "mine"
    inputs = {{"img": Frames()}}
    def outputs(self, info):
        return {{"n": Output(per="img")}}
    def process_module_data(self, block, out):
        {lazy}
        out.n = {value}
"""


def written(path, *, imports="", name="Mine", base="Algorithm", lazy="pass", value="1"):
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(ALGORITHM.format(imports=imports, name=name, base=base, lazy=lazy, value=value))


@pytest.fixture
def planned(run, tmp_path, monkeypatch):
    """Return a function that plans with the algorithm of a module, imported afresh."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def plan(name, cls="Mine"):
        for module in set(sys.modules) - before:
            if (
                getattr(sys.modules[module], "__file__", None)
                and str(tmp_path) in sys.modules[module].__file__
            ):
                del sys.modules[module]
        importlib.invalidate_caches()
        sys.dont_write_bytecode = True
        return read(dxflow.plan(run.path, getattr(importlib.import_module(name), cls)()))

    yield plan
    for module in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]


FOLDER = {
    "helper module": ("helper_h.py", "import helper_h", "helper_h.VALUE"),
    "name of a helper": ("helper_h.py", "from helper_h import VALUE", "VALUE"),
    "helper that is imported in the hook": ("helper_h.py", "", "helper_h.VALUE"),
    "package in the folder": ("pack_h/part.py", "from pack_h.part import VALUE", "VALUE"),
    "helper of a helper": ("deep_h.py", "from helper_of_helper_h import VALUE", "VALUE"),
}


@pytest.mark.parametrize("kind", FOLDER)
def test_what_an_algorithm_imports_from_its_folder_counts(planned, tmp_path, kind):
    changed, imports, value = FOLDER[kind]
    lazy = "import helper_h" if "hook" in kind else "pass"
    written(tmp_path / "alg_h.py", imports=imports, value=value, lazy=lazy)
    (tmp_path / "helper_of_helper_h.py").write_text("from deep_h import VALUE\n")
    (tmp_path / "pack_h").mkdir()
    for values in ("VALUE = 1\n", "VALUE = 2\n"):
        for file in ("helper_h.py", "deep_h.py", "pack_h/part.py", "unrelated_h.py"):
            text = values if file == changed or file == "unrelated_h.py" else "VALUE = 0\n"
            (tmp_path / file).write_text(text)
        if values.startswith("VALUE = 1"):
            first = planned("alg_h")
    assert differences(first, planned("alg_h")) == [f"code of {changed} changed"]


def test_what_it_does_not_import_and_what_is_installed_does_not_count(planned, tmp_path):
    written(tmp_path / "alg_h.py", imports="import numpy, xarray")
    (tmp_path / "unrelated_h.py").write_text("x = 1\n")
    first = planned("alg_h")
    (tmp_path / "unrelated_h.py").write_text("x = 2\n")
    second = planned("alg_h")
    assert not differences(first, second)
    assert set(second.fingerprint["algorithms"][0]["code"]) == {"alg_h.py", "class Mine"}
    assert "xarray" in second.fingerprint["versions"]


@pytest.mark.parametrize("changed", ["base_h.py", "_kernels_h.py", "sub/far_h.py"])
def test_all_of_a_package_that_is_imported_counts(planned, tmp_path, changed):
    home = tmp_path / "own_package_h"
    (home / "sub").mkdir(parents=True)
    for folder in (home, home / "sub"):
        (folder / "__init__.py").write_text("")
    written(home / "base_h.py", name="Base", lazy="from ._kernels_h import VALUE", value="VALUE")
    written(home / "sub" / "alg_h.py", imports="from ..base_h import Base", base="Base", value="2")
    (home / "_kernels_h.py").write_text("from own_package_h.sub import far_h\nVALUE = far_h.VALUE\n")
    (home / "sub" / "far_h.py").write_text("VALUE = 1\n")
    (home / "not_used_h.py").write_text("")
    first = planned("own_package_h.sub.alg_h")
    (home / "not_used_h.py").write_text("x = 1")
    assert not differences(first, planned("own_package_h.sub.alg_h"))
    with open(home / changed, "a") as file:
        file.write("\nMORE = 1\n")
    second = planned("own_package_h.sub.alg_h")
    assert differences(first, second) == [f"code of own_package_h/{changed} changed"]


def made(value, default=0, *, base=Algorithm):
    class Local(base):
        ALG_ID = "local"
        inputs = {"img": Frames()}
        factor = 1

        def outputs(self, info):
            return {"n": Output(per="img")}

        def process_module_data(self, block, out, more=default):
            out.n = value + more

    return Local()


def test_closures_defaults_and_attributes_of_classes_count(run):
    first = dxflow.plan(run.path, made(1))
    assert not differences(first, dxflow.plan(run.path, made(1)))
    changed = made(1)
    type(changed).factor = 2
    for other in (made(2), made(1, 5), changed, made(scaled(3))):
        assert differences(first, dxflow.plan(run.path, other)) == [
            f"code of class {type(other).__qualname__} changed"
        ]


def in_notebook(text):
    """Return an algorithm as a cell of a notebook defines it: in no file."""
    names = {"__name__": "__main__", "np": np}
    exec(compile(text, "<ipython-input-1>", "exec"), names)
    return names["Mine"]()


CELL = ALGORITHM.format(
    imports="LIMIT = 3\ndef helped(x): return inner(x)\ndef inner(x): return x + 1",
    name="Mine",
    base="Algorithm",
    lazy="y = helped(LIMIT) in {'a', 'b', 'c'}",
    value="1",
)


def test_libraries_that_are_installed_elsewhere_count_by_their_version(run, tmp_path, monkeypatch):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "of_a_friend.py").write_text("def twice(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(folder)
    cell = CELL.replace(
        "def inner(x): return x + 1", "import of_a_friend\ndef inner(x): return of_a_friend.twice(x)"
    )
    plan = dxflow.plan(run.path, in_notebook(cell))
    assert set(plan.fingerprint["algorithms"][0]["code"]) == {"class Mine"}


@pytest.mark.parametrize(
    ("old", "new"),
    [("out.n = 1", "out.n = 2"), ("LIMIT = 3", "LIMIT = 4"), ("x + 1", "x + 2"), ("'c'", "'d'")],
)
def test_classes_of_notebooks_count_by_their_code_and_what_it_uses(run, old, new):
    first = dxflow.plan(run.path, in_notebook(CELL))
    # Other cells, comments and other lines do not matter.
    same = in_notebook(
        "other = 3\n# comment\n" + CELL.replace("        out.n", "        # comment\n        out.n")
    )
    assert not differences(first, dxflow.plan(run.path, same))
    other = dxflow.plan(run.path, in_notebook(CELL.replace(old, new)))
    assert differences(first, other) == ["code of class Mine changed"]


def test_a_file_that_is_named_on_the_command_line_counts(run, tmp_path):
    from dxflow import find

    file = tmp_path / "mine.py"
    written(file, imports="from beside_h import VALUE", value="VALUE")
    (tmp_path / "beside_h.py").write_text("VALUE = 1\n")
    sys.path.insert(0, str(tmp_path))
    try:
        first = read(dxflow.plan(run.path, find.algorithm(f"{file}:Mine")()))
        assert not differences(first, dxflow.plan(run.path, find.algorithm(f"{file}:Mine")()))
        (tmp_path / "beside_h.py").write_text("VALUE = 2\n")
        second = read(dxflow.plan(run.path, find.algorithm(f"{file}:Mine")()))
        assert differences(first, second) == ["code of beside_h.py changed"]
        written(file, imports="from beside_h import VALUE", value="VALUE + 1")
        third = dxflow.plan(run.path, find.algorithm(f"{file}:Mine")())
        assert "code of mine.py changed" in differences(second, third)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("beside_h", None)


def test_masks_count_by_their_content_however_they_are_named(run, tmp_path, monkeypatch):
    path, bad = tmp_path / "bad.npy", np.zeros((16, 16, 16), bool)
    bad[0, 1, 2] = True
    np.save(path, bad)

    def plan(mask):
        return read(dxflow.plan(run.path, Average(img=Frames(mask=mask))))

    first = plan(str(path))
    monkeypatch.chdir(tmp_path)
    assert not differences(first, plan("bad.npy"))
    assert not differences(plan(bad), plan(bad.copy()))
    bad[0, 1, 2] = False
    bad[0, 2, 1] = True
    np.save(path, bad)
    assert "the mask of SPB_DET_AGIPD1M-1 image.data" in differences(first, plan(str(path)))


def test_code_that_names_the_run_does_not_change_with_files_that_are_not_read(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run.path, tmp_path / "data")
    (tmp_path / "data" / "notes.txt").write_text("of somebody else")
    code = """
        from dxflow import Algorithm, Frames, Output
        class A(Algorithm):
            ALG_ID = "a"
            inputs = {"img": Frames("image.data")}
            def outputs(self, info):
                return {"data": Output("img")}
            def process_module_data(self, block, out):
                out["data"] += block["img"].sum((1, 2))
    """
    names = {"__name__": "__main__"}
    exec(textwrap.dedent(code), names)
    before = read(dxflow.plan("data", names["A"]()))
    os.utime(tmp_path / "data" / "notes.txt", (1, 1))
    assert not differences(before, dxflow.plan("data", names["A"]()))
    # A file that is read is named, and the code is not.
    os.utime(next((tmp_path / "data").glob("*AGIPD00*")), (1, 1))
    (said,) = differences(before, dxflow.plan("data", names["A"]()))
    assert "AGIPD00" in said


def test_an_output_that_several_classes_share_is_the_same_in_every_plan(run):
    shared = Output("img")

    class A(RoiSum):
        def outputs(self, info):
            return {"intensity": shared}

    first, second = (dxflow.plan(run.path, A()).fingerprint for _ in range(2))
    assert not first.unknown
    assert first.digest == second.digest


def test_inputs_that_differ_in_anything_are_told_in_words():
    """Whatever an input is known by: the options of a clock, for instance, are among its facts."""
    one = {"name": "DET", "key": "image.data", "modules": [0], "sources": ["a"], "place": "x", "mask": None}
    one |= {"parts": [], "facts": {"stride": 1}, "values": None}
    same = {"algorithms": [], "block": 1, "on_fault": None, "versions": {}}
    for key in one:
        other = one | {key: "else"}
        said = list(factwords.differences(same | {"inputs": [one]}, same | {"inputs": [other]}))
        assert len(said) == 1, key
        assert "DET" in said[0]
