"""Codecs by name: refused where they cannot work, and known to HDF5."""

import h5py
import numpy as np
import pytest

from dxflow import PlanError
from dxflow.codecs import table
from dxflow.codecs.bounds import Bound
from dxflow.codecs.table import CODECS, codec_of


def test_a_name_that_is_none_is_refused_with_those_there_are():
    with pytest.raises(PlanError, match=r"codec='lzma'.*bitshuffle\+lz4.*zfp"):
        codec_of("lzma")


def test_without_the_plugin_it_is_said_what_to_do_before_anything_is_done(monkeypatch):
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    with pytest.raises(PlanError, match=r"needs hdf5plugin.*pip install .*installed are deflate, quantised"):
        CODECS["bitshuffle+zstd"].check(None)
    CODECS["deflate"].check(None)


@pytest.mark.parametrize("name", ["sz3", "zfp", "quantised"])
@pytest.mark.parametrize("bound", [None, Bound(relative=1e-3), Bound(0.1, 1e-3)])
def test_those_with_an_absolute_bound_take_no_other(name, bound):
    with pytest.raises(PlanError, match="keeps an absolute bound"):
        CODECS[name].check(bound)
    CODECS[name].check(Bound(0.1))


@pytest.mark.parametrize("name", CODECS)
def test_only_hdf5plugin_is_needed_to_read(name):
    needs_plugin = any(code > 255 for code, _ in CODECS[name].filters(Bound(0.5)))
    assert needs_plugin == ("hdf5plugin" in CODECS[name].note) == (CODECS[name].plugin is not None)
    assert all(h5py.h5z.filter_avail(code) for code, _ in CODECS[name].filters(Bound(0.5)))
    assert np.isscalar(CODECS[name].doc)
