"""The rows of the catalogue that tests elsewhere show, and those that nobody can answer."""

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from campaign.work import Row

ROOT = Path(__file__).parents[2]

IMPOSSIBLE = {
    "D5": "a bit flip in an uncompressed chunk: the files have no checksum, nothing tells it from data; a file that "
    "changes between planning and reading, or before resuming, is found",
    "R4": "shared memory that counts as unmanaged: dxflow has none",
    "R5": "shared memory that another process unlinks: dxflow has none",
    "S12": "icechunk as a store: no fault, and dxflow writes plain Zarr",
}

EXECUTE, LOST, DEATHS = "tests/test_execute.py", "tests/clusters/test_lost.py", "tests/test_deaths.py"
FORMATS = "tests/stores/test_round_trips.py"

SHOWN: dict[str, tuple[str, list[str]]] = {}
"""Row -> what it is, and the tests that show that it is answered as it must be."""


def outcomes(processes, pattern=lambda row: True):
    """Run the tests of all rows once; yield a `Row` each."""
    wanted = {row: shown for row, shown in SHOWN.items() if pattern(f"{row} {shown[0]}")}
    nodes = sorted({node for _, tests in wanted.values() for node in tests})
    if not nodes:
        return
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", str(processes), "--dist", "worksteal"]
        done = subprocess.run(
            [*command, f"--junitxml={report}", *nodes], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if not report.exists():
            yield Row(
                "tests", "of other rows", "", f"CANNOT RUN: {done.stdout[-500:]}{done.stderr[-500:]}", False
            )
            return
        found = list(ElementTree.parse(report).iter("testcase"))
    for row, (text, tests) in wanted.items():
        yield _row(row, text, [case for node in tests for case in _of(node, found)], tests)


def _of(node, cases):
    """Return the test cases of a node: all parameters of a test, all tests of a file."""
    path, _, name = node.partition("::")
    module = path.removesuffix(".py").replace("/", ".")
    return [
        case
        for case in cases
        if case.get("classname", "").endswith(module.removeprefix("tests."))
        and (not name or case.get("name", "").split("[")[0] == name.split("[")[0])
    ]


def _row(row, text, cases, tests):
    bad = [
        c.get("name") for c in cases if any(c.find(x) is not None for x in ("failure", "error", "skipped"))
    ]
    if not cases:
        return Row(row, text, "tests", f"NO SUCH TESTS: {tests}", False)
    if bad:
        return Row(row, text, "tests", f"FAILED: {bad}", False)
    return Row(
        row, text, "tests", "shown by tests", True, seconds=max(float(c.get("time", 0)) for c in cases)
    )
