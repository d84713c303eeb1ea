"""Write the list of files in docs/architecture.md: ``python docs/files.py``."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
FOLDERS = ("dxflow", "algorithms", "recipes", "benchmarks")
BEGIN, END = "<!-- files: python docs/files.py -->", "<!-- end of files -->"


def listing() -> str:
    """Return one table per folder, one line per file."""
    files = [path for top in FOLDERS for path in sorted((ROOT / top).rglob("*.py"))]
    folders = list(dict.fromkeys(path.parent for path in files))
    # Files of a folder before its sub-folders, since that is what a reader opens first.
    return "\n\n".join(_table(folder, [p for p in files if p.parent == folder]) for folder in folders)


def _table(folder: Path, files: list[Path]) -> str:
    lines = [f"| `{path.name}` | {_first_line(path)} |" for path in files]
    return "\n".join([f"### {folder.relative_to(ROOT)}/", "", "| file | what it is |", "|---|---|", *lines])


def _first_line(path: Path) -> str:
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return doc.partition("\n")[0].replace("``", "`").replace("|", "\\|")


def page() -> str:
    """Return the page with the list as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{listing()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
