"""The module docs/examples.py, which is in no package; and what tests do with pages."""

import sys
from pathlib import Path

import programs

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))
import examples  # noqa: E402, F401

SESSIONS = """
import sys
from pathlib import Path

sys.path.insert(0, {docs!r})
import examples

examples.stay_here()
for page in {pages!r}:
    examples.session(Path(page))
"""


def run(pages, folder):
    """Run the blocks of pages in a folder, in one process."""
    code = SESSIONS.format(docs=str(DOCS), pages=[str(page) for page in pages])
    return programs.run(code, folder=folder, environment={"MPLBACKEND": "Agg"})
