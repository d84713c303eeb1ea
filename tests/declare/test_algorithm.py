"""Algorithm: options through the parser, hooks found, messages that say what there is."""

import pickle

import pytest
from samples import Bright, Failing, RoiSum, ScaleTrains, Stats

import dxflow
from dxflow import Algorithm, From
from dxflow.algorithms.average import Average
from dxflow.algorithms.subtract import Subtract
from dxflow.declare.algorithm import SelfChanged
from dxflow.declare.outputs import Partial


def test_options_given_and_defaults_are_those_of_the_parser():
    assert RoiSum().ss == slice(0, 512)
    assert RoiSum(ss=(3, 7)).ss == slice(3, 7)
    assert Bright(above=2.5).options == {"above": 2.5}


def test_without_configure_options_are_kept_under_their_names():
    assert Bright(above=3).above == 3


def test_an_unknown_option_is_refused_with_those_there_are():
    with pytest.raises(
        TypeError, match=r"RoiSum: unknown option 'sss'. Did you mean 'ss'\? Options: ss; inputs: img$"
    ):
        RoiSum(sss=1)


def test_a_value_without_a_name_is_refused_with_the_option_that_was_meant():
    with pytest.raises(
        TypeError, match=r"^Average\('cell'\): options are given by name, Average\(per='cell'\)\. Opt"
    ):
        Average("cell")
    with pytest.raises(TypeError, match=r"RoiSum\(3\): options are given by name, RoiSum\(OPTION=3\)"):
        RoiSum(3)


def test_the_signature_has_options_inputs_and_name():
    import inspect

    shown = inspect.signature(Average)
    assert list(shown.parameters) == ["per", "groups", "ddof", "img", "by", "name"]
    assert shown.parameters["per"].default == "run"
    assert all(p.kind == p.KEYWORD_ONLY for p in shown.parameters.values())
    assert inspect.signature(RoiSum).parameters["ss"].default == RoiSum().options["ss"]


def test_the_signature_of_a_constructor_of_ones_own_is_that():
    import inspect

    class Own(Algorithm):
        def __init__(self, width):
            super().__init__()

    assert list(inspect.signature(Own).parameters) == ["width"]


def test_an_option_without_a_default_has_none_in_the_signature():
    import inspect

    assert inspect.signature(Subtract).parameters["dark"].default is inspect.Parameter.empty


def test_a_value_that_is_no_choice_is_refused():
    class Chosen(Algorithm):
        @classmethod
        def add_arguments(cls, parser):
            parser.add_argument("--per", choices=("run", "cell"), default="run")

    assert Chosen(per="cell").per == "cell"
    with pytest.raises(TypeError, match=r"per='train'; expected one of \['run', 'cell'\]"):
        Chosen(per="train")


def test_a_missing_required_option_is_a_type_error_and_not_the_end_of_the_process():
    class Needs(Algorithm):
        @classmethod
        def add_arguments(cls, parser):
            parser.add_argument("--geometry", required=True)

    with pytest.raises(TypeError, match="^Needs: geometry= is needed$"):
        Needs()
    assert Needs(geometry="x").geometry == "x"


def test_the_name_is_given_or_the_id_or_the_class():
    class Plain(Algorithm):
        pass

    assert [RoiSum(name="low").name, RoiSum().name, Plain().name] == ["low", "roisum", "plain"]


def test_an_input_is_rebound_for_one_instance_only():
    rebound = RoiSum(img=From("subtract.img"))
    assert rebound.inputs["img"] == From("subtract.img")
    assert RoiSum().inputs["img"] != rebound.inputs["img"]
    assert rebound.options == {"ss": (0, 512)}


def test_whether_a_hook_is_implemented_follows_from_the_class():
    assert RoiSum().by_module
    assert not Bright().by_module
    assert not ScaleTrains().by_module
    assert Stats.overrides("finalize")
    assert not RoiSum.overrides("finalize")


def test_hooks_that_are_not_implemented_say_so():
    with pytest.raises(TypeError, match="RoiSum does not implement process_train_data"):
        RoiSum().process_train_data(None, Partial({}))


def test_the_default_merge_follows_the_rules_and_leaves_custom_alone():
    algorithm = Algorithm()
    algorithm.rules = {"a": "sum", "b": "max", "c": "custom"}
    import numpy as np

    into, other = (Partial({k: np.array([n]) for k in "abc"}) for n in (2, 5))
    algorithm.merge(into, other)
    assert [into[k].tolist() for k in "abc"] == [[7], [5], [2]]


def test_a_configured_algorithm_survives_pickling():
    algorithm = pickle.loads(pickle.dumps(Failing(trains=(3,), ss=(0, 4), name="f")))
    assert (algorithm.trains, algorithm.ss, algorithm.name) == ((3,), slice(0, 4), "f")


def test_the_repr_shows_options_and_shortens_large_ones():
    assert repr(RoiSum(ss=(0, 8))) == "RoiSum(ss=(0, 8))"
    assert repr(Bright(above=list(range(100)))) == "Bright(above=<list>)"


def test_an_option_of_several_values_is_checked_value_by_value():
    class Chosen(Algorithm):
        @classmethod
        def add_arguments(cls, parser):
            parser.add_argument("--modes", nargs="+", choices=["x", "y"], default=["x"])

    assert Chosen(modes=["x", "y"]).modes == ["x", "y"]
    with pytest.raises(TypeError, match=r"modes='z'"):
        Chosen(modes=["x", "z"])


class Remembers(RoiSum):
    """Keeps a cache on self, which is fine, and something new, which is not."""

    new = False

    def initialize(self, info):
        self.cache, self.scratch = {}, None

    def process_module_data(self, block, out):
        self.cache[block.module] = len(block)
        if self.new:
            self.last = block.module


def test_after_initialize_self_takes_no_attributes_but_caches_can_be_filled(run):
    remembers = Remembers()
    dxflow.reduce(run.path, remembers, cluster="here")
    remembers.new = True
    with pytest.raises(SelfChanged, match=r"self.last is set after initialize\(\)"):
        dxflow.reduce(run.path, remembers, cluster="here")
    assert pickle.loads(pickle.dumps(SelfChanged("words", "last"))).attribute == "last"
    remembers.free = "the client's own object is never frozen"


@pytest.mark.parametrize("taken", ["merge", "memory", "inputs", "options", "by_module"])
def test_an_option_with_a_name_of_the_framework_is_refused(taken):
    class Taken(Algorithm):
        @classmethod
        def add_arguments(cls, parser):
            parser.add_argument(f"--{taken.replace('_', '-')}", default=3)

    with pytest.raises(
        TypeError, match=f"an option cannot be kept as '{taken}', which is a name of Algorithm"
    ):
        Taken()


def test_an_algorithm_is_shown_with_options_and_inputs_of_its_own():
    assert repr(Average(per="cell", img=From("subtract.img"))) == (
        "Average(per='cell', groups=None, ddof=1, img=From(output='subtract.img'))"
    )
