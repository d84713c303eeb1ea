"""Errors show the user's own lines: the call, and the line of the hook, whoever ran it; and nothing in between."""

import operator
import traceback

import pytest
from samples import Failing

import dxflow
from dxflow.driver.tracebacks import is_users


class Chained(Failing):
    """Raises one exception from another."""

    ALG_ID = "chained"

    def process_module_data(self, block, out):
        try:
            super().process_module_data(block, out)
        except ZeroDivisionError as e:
            raise LookupError("chained") from e


def files(error):
    return [frame.filename.rpartition("/")[2] for frame in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize("where", ["here", "client"])
@pytest.mark.parametrize("cls", [Failing, Chained])
def test_an_error_of_a_hook_shows_the_call_and_the_hook(run, client, where, cls):
    failing = cls(trains=run.train_ids.tolist())
    with pytest.raises(Exception, match=r"chained|planted") as caught:
        dxflow.reduce(run.path, failing, cluster=client if where == "client" else where)
    error = caught.value
    hook = "test_tracebacks.py" if cls is Chained else "samples.py"
    assert files(error) == ["test_tracebacks.py", "api.py", hook]
    if cls is Chained:
        assert files(error.__cause__) == ["test_tracebacks.py", "samples.py"]
    assert f"in {failing.ALG_ID}.process_module_data()" in error.__notes__[0]
    assert len("".join(traceback.format_exception(error)).splitlines()) < 30


def test_what_cannot_work_is_said_without_lines_of_dxflow(run):
    with pytest.raises(dxflow.PlanError) as caught:
        dxflow.reduce(run.path, Failing(img=dxflow.Frames("image.dat")))
    # `plan` limits open files, by a decorator of the standard library, and another looks at what it is given.
    decorators = ("contextlib.py", "kinds.py")
    assert [f for f in files(caught.value) if f not in decorators] == ["test_tracebacks.py", "api.py"]
    assert "The above exception" not in "".join(traceback.format_exception(caught.value))


def test_an_error_of_dxflow_itself_keeps_its_lines(run, monkeypatch):
    from dxflow.worker import chunk

    monkeypatch.setattr(chunk, "_summary", operator.truediv)
    with pytest.raises(TypeError) as caught:
        dxflow.reduce(run.path, Failing(), cluster="here")
    assert "chunk.py" in files(caught.value)


def test_whose_a_file_is():
    import numpy

    own = [
        dxflow.execute.__globals__["__file__"],
        numpy.__file__,
        traceback.__file__,
        "<frozen importlib>",
    ]
    own.append("/opt/conda/lib/python3.12/site-packages/distributed/client.py")
    users = [__file__, "/tmp/ipykernel_1/2.py", "<ipython-input-3-abc>", "/home/me/hooks.py"]
    users.append(dxflow.__file__.replace("__init__", "algorithms/average"))
    assert [is_users(f) for f in own] == [False] * 5
    assert [is_users(f) for f in users] == [True] * 5
