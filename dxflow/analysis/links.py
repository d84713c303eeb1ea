"""Links: selections that are made of each other, what each needs, and how far that may go."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from ..declare.grammar import names as names_in

DEEPEST = 50
"""Levels of selections that are made of selections."""
Nodes = Mapping[str, list[ast.expr]]
"""The conditions of each selection."""


def needed(names: Iterable[str], every: Nodes) -> set[str]:
    """Return which of some names are selections, and the selections that these are made of."""
    found: set[str] = set()
    todo = [name for name in names if name in every]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [one for node in every[name] for one in names_in(node) if one in every]
    return found


def taken_apart(nodes: list[ast.expr], every: Nodes) -> list[ast.expr]:
    """Return conditions that must all hold with those of selections in place of their names, each selection once."""
    done: set[str] = set()
    out, todo = [], nodes[::-1]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name) and node.id in every:
            todo += [] if node.id in done else every[node.id][::-1]
            done.add(node.id)
        else:
            out.append(node)
    return out


def refuse_circle(name: str, nodes: list[ast.expr], every: Nodes) -> None:
    """Refuse conditions that lead back to the selection that is to be made of them."""
    came, todo = {}, [(one, name) for node in nodes for one in names_in(node)]
    while todo:
        one, before = todo.pop()
        if one in came or one not in every and one != name:
            continue
        came[one] = before
        if one == name:
            way = [name]
            while (before := came[way[-1]]) != name:
                way.append(before)
            raise ValueError(
                f"selection {name!r} would be made of itself: {' -> '.join([name, *reversed(way)])}"
            )
        todo += [(n, one) for node in every[one] for n in names_in(node)]


def refuse_deep(every: Nodes) -> None:
    """Refuse selections that are made of selections, these of others, and so on, too often."""
    used = {name: {n for node in nodes for n in names_in(node)} & set(every) for name, nodes in every.items()}
    level = dict.fromkeys(every, 0)
    for _ in range(DEEPEST):
        higher = {name: 1 + max((level[one] for one in used[name]), default=-1) for name in every}
        if higher == level:
            return
        level = higher
    raise ValueError(
        f"selections are made of each other more than {DEEPEST} times over; expected fewer levels"
    )
