"""Options that nobody knows are refused by name, before anything is read."""

import pytest
import smalltables

from dxflow import analysis


def test_a_misspelt_option_is_named_with_what_was_meant(tmp_path):
    ev = smalltables.table()
    with pytest.raises(TypeError, match="cube: no option 'azimt'. Did you mean 'azint'"):
        ev.cube({"delay": "unique"}, images=True, azimt=3)
    with pytest.raises(TypeError, match="table: no option 'clutser'. Did you mean 'cluster'"):
        analysis.table(tmp_path / "none", tmp_path / "x.zarr", clutser="here")
    with pytest.raises(TypeError, match="read: no option 'geometri'. Did you mean 'geometry'"):
        ev.pick(1, of="xgm").read(geometri=1)
