"""Added: what is known of a variable that was added to a table, and its expression without names that may change."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Added:
    """A variable that was added: how it was made, of what, and whether it still holds."""

    name: str
    rate: str
    unit: str = ""
    doc: str = ""
    expression: str = ""
    """Text of it, "" of data."""
    rows: str = ""
    """Digest of the ids of the rows, or trains, that it was made for."""
    inputs: Mapping[str, str] | None = None
    """Digests of the variables of the expression, by name."""
    digest: str = ""
    """Of its own values, once it is kept."""
    stamp: str = ""
    """What told the table, as it was then, from others."""
    saved: str = ""
    """Where it is kept, "" if it is in memory only."""
    stale: str = ""
    """Why it is not used, "" if it is."""

    def __str__(self) -> str:
        made = self.expression or "data"
        state = (
            f"out of date: {self.stale}" if self.stale else f"in {self.saved}" if self.saved else "in memory"
        )
        return f"{self.name} = {made}{f' [{self.unit}]' if self.unit else ''} ({state})"

    def told(self) -> dict[str, Any]:
        """Return what is kept of it beside its values, as JSON values."""
        return {k: v for k, v in asdict(self).items() if k not in ("name", "saved", "stale")}

    def again(self) -> str:
        """Say what to do with one that is out of date."""
        anew = f"ev.add({self.name!r}, {repr(self.expression) if self.expression else 'values'})"
        made = "makes it anew" if self.expression else "gives it anew, of these rows"
        return f"{anew} {made}, ev.drop({self.name!r}) removes it"


def plain(node: ast.expr, selections: Any) -> ast.expr:
    """Return an expression with conditions in place of the names of selections, which may change."""
    return _Plain(selections).visit(deepcopy(node))


class _Plain(ast.NodeTransformer):
    """Puts conditions in place of the names of selections."""

    def __init__(self, selections: Any) -> None:
        self._selections = selections

    def visit_Call(self, node: ast.Call) -> ast.expr:  # noqa: N802 - as ast calls it
        """Return a call with other arguments; its function is no selection, whatever it is called."""
        return ast.Call(node.func, [self.visit(one) for one in node.args], [])

    def visit_Name(self, node: ast.Name) -> ast.expr:  # noqa: N802 - as ast calls it
        """Return what a name stands for."""
        if node.id not in self._selections:
            return node
        cuts = [self.visit(deepcopy(one)) for one in self._selections.nodes(node.id)]
        return cuts[0] if len(cuts) == 1 else ast.BoolOp(ast.And(), cuts)
