import importlib.metadata
import logging
import pickle
import sys
import types

import pytest

import dxflow.algorithms
import dxflow.recipes
from dxflow import Algorithm, find

ONE = """
from dxflow import Algorithm, Frames, Output

class Count(Algorithm):
    ALG_ID = "count"
    HELP = "counts"
    inputs = {"img": Frames()}

    def outputs(self, info):
        return {"frames": Output(per="run", dtype="i8")}

    def process_module_data(self, block, out):
        out.frames += len(block)
"""

TWO = ONE + "class Other(Count):\n    ALG_ID = 'other'\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder whose files count as algorithms and recipes of dxflow."""
    monkeypatch.setattr(dxflow.algorithms, "__path__", [*dxflow.algorithms.__path__, str(tmp_path)])
    monkeypatch.setattr(dxflow.recipes, "__path__", [*dxflow.recipes.__path__, str(tmp_path)])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("dxflow.algorithms.", "dxflow.recipes.")):
            del sys.modules[name]


def point(monkeypatch, name, value):
    """Pretend that another package has this entry point."""
    entry = importlib.metadata.EntryPoint(name, value, find.GROUP)
    monkeypatch.setattr(find, "entry_points", lambda group: [entry] if group == find.GROUP else [])


def test_a_new_file_is_an_algorithm_by_its_name(folder):
    (folder / "counting.py").write_text(ONE)
    assert "counting" in find.algorithm_names()
    assert find.algorithm("counting").HELP == "counts"


def test_of_several_classes_in_a_file_the_one_named_as_the_file_is_meant(folder):
    (folder / "other.py").write_text(TWO)
    assert find.algorithm("other").__name__ == "Other"


def test_a_file_with_several_classes_none_named_as_the_file_asks_which(folder):
    (folder / "third.py").write_text(TWO)
    with pytest.raises(find.NotFoundError, match=r"several algorithms: \['Count', 'Other'\]"):
        find.algorithm("third")


def test_a_helper_file_without_algorithms_is_not_listed_and_not_complained_about(folder, caplog):
    (folder / "helper.py").write_text("def kernel(): pass\n")
    assert "helper" not in find.algorithms()
    assert "helper" not in caplog.text


def test_a_broken_plug_in_is_a_warning_and_the_others_are_listed(folder, caplog):
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "counting.py").write_text(ONE)
    with caplog.at_level(logging.WARNING):
        found = find.algorithms()
    assert "counting" in found
    assert "broken" not in found
    assert "'broken' cannot be loaded: ZeroDivisionError" in caplog.text


def test_an_unknown_name_says_which_exist_and_which_was_meant(folder):
    (folder / "counting.py").write_text(ONE)
    with pytest.raises(
        find.NotFoundError, match=r"no algorithm 'countin'\. Did you mean 'counting'\?.*There are:.*"
    ):
        find.algorithm("countin")


def test_an_entry_point_of_another_package_is_an_algorithm(monkeypatch):
    module = types.ModuleType("another_package")
    module.Mine = type("Mine", (Algorithm,), {"HELP": "from elsewhere"})
    monkeypatch.setitem(sys.modules, "another_package", module)
    point(monkeypatch, "mine", "another_package:Mine")
    assert find.algorithm("mine") is module.Mine
    assert "mine" in find.algorithms()


def test_a_broken_entry_point_is_a_warning(monkeypatch, caplog):
    point(monkeypatch, "gone", "no_such_package:Mine")
    assert "gone" not in find.algorithms()
    assert "'gone' cannot be loaded: ModuleNotFoundError" in caplog.text


def test_an_entry_point_that_is_no_algorithm_is_refused(monkeypatch):
    point(monkeypatch, "odd", "os:getcwd")
    with pytest.raises(TypeError, match=r"expected a subclass of dxflow\.Algorithm"):
        find.algorithm("odd")


def test_a_class_of_a_named_file_is_found(tmp_path):
    (tmp_path / "mine.py").write_text(TWO)
    assert find.algorithm(f"{tmp_path}/mine.py:Other").ALG_ID == "other"


def test_the_only_class_of_a_named_file_needs_no_name(tmp_path):
    (tmp_path / "mine.py").write_text(ONE)
    assert find.algorithm(f"{tmp_path}/mine.py").ALG_ID == "count"


def test_a_file_or_class_that_is_not_there_is_named(tmp_path):
    (tmp_path / "mine.py").write_text(ONE)
    with pytest.raises(find.NotFoundError, match=r"no class 'Cout' in .*mine\.py\. Did you mean 'Count'"):
        find.algorithm(f"{tmp_path}/mine.py:Cout")
    with pytest.raises(find.NotFoundError, match=r"no file .*yours\.py"):
        find.algorithm(f"{tmp_path}/yours.py:Count")


def test_a_class_of_a_named_file_travels_to_a_process_that_cannot_import_it(tmp_path):
    from distributed.protocol.pickle import dumps

    (tmp_path / "mine.py").write_text(ONE)
    data = dumps(find.algorithm(f"{tmp_path}/mine.py:Count")())
    assert not any(name.startswith("_dxflow_file") for name in sys.modules)
    assert pickle.loads(data).ALG_ID == "count"


def test_a_new_file_with_main_is_a_recipe(folder):
    (folder / "mixing.py").write_text('"""Mix."""\ndef main(argv=None): return 0\n')
    assert find.recipes()["mixing"] == "Mix."
    assert find.recipe("mixing").main() == 0


def test_an_unknown_recipe_says_which_exist(folder):
    (folder / "mixing.py").write_text("def main(argv=None): return 0\n")
    with pytest.raises(find.NotFoundError, match=r"no recipe 'mixin'\. Did you mean 'mixing'"):
        find.recipe("mixin")


def test_a_recipe_without_main_is_refused(folder):
    (folder / "mixing.py").write_text("")
    with pytest.raises(find.NotFoundError, match=r"no main\(argv\)"):
        find.recipe("mixing")


def test_kinds_of_cluster_are_the_files_that_define_one():
    assert find.cluster_names() == ["local", "slurm"]
    with pytest.raises(
        find.NotFoundError, match=r"no cluster 'locl'\. Did you mean 'local'\? There are: here, local"
    ):
        find.cluster("locl")


def test_helpers_of_clusters_are_no_kinds_of_cluster():
    assert find.cluster_names() == ["local", "slurm"]
