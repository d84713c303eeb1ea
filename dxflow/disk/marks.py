"""Names by which dxflow knows what it, or a facility, wrote."""

from __future__ import annotations

import re

GROUP = "dxflow"
"""Where a file has what is about the result as a whole: ``manifest``, ``pieces`` and ``crc32`` of the file itself."""


REST = "truth.json"


PATTERN = re.compile(r"([A-Z]+)-R(\d+)-(\w{2,}\d{2})-S(\d{5})\.h5")
