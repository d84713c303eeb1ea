"""What small proposals of tests are made of."""

SMALL = {"trains": 4, "pulses": 3, "modules": 2, "sequences": 1, "module_shape": (8, 8), "devices": ("xgm",)}
FACTS = """\
title: "Water"
description: "Scattering of water."
creators:
  - {name: "Doe, Jane", orcid: 0000-0002-1825-0097, affiliation: DESY, ror: https://ror.org/01js2sh04}
publisher: European XFEL
license: CC-BY-4.0
instrument: {name: SPB/SFX, facility: European XFEL}
samples: [water]
techniques: [SAXS]
embargo: 2999-11-22
"""
