"""Facts about detectors against EXtra-data."""

import re

import pytest
from extra_data import components

from dxflow.simulate.detectors import KINDS, kind


@pytest.mark.parametrize("name", sorted(k for k in KINDS if not KINDS[k].strips))
def test_names_and_shapes_are_those_that_extra_data_knows(name):
    facts = kind(name)
    reader = getattr(components, "JUNGFRAU" if "JUNGFRAU" in name else name)
    assert facts.shape == reader.module_shape
    assert facts.key == reader._main_data_key
    if facts.xtdf:
        assert facts.modules == reader.n_modules
    assert facts.first == reader._modnos_start_at
    detector = facts.detector("HED")
    for source, pattern in (
        (facts.raw_source(detector, facts.first), reader._source_raw_pat),
        (facts.corrected_source(detector, facts.first), reader._source_corr_pat),
    ):
        found = re.match(f"(?P<name>{reader._det_name_pat}){pattern}", source)
        assert found is not None
        assert int(found["modno"]) == facts.first


def test_gain_stages_have_a_ceiling_between_them():
    for facts in KINDS.values():
        assert len(facts.ceiling) == len(facts.adu_per_photon) - 1, facts.name


def test_unknown_detector_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"no detector 'EIGER' to simulate; known: AGIPD1M, .*LPD1M"):
        kind("EIGER")
