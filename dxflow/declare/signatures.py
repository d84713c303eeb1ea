"""What the constructor of an algorithm takes: for help, completion and messages about what it was given."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from inspect import Parameter, Signature
from typing import Any

from ..errors.near import did_you_mean, listed


class Options:
    """The signature of an algorithm's class: ``name``, its options and its inputs, made when somebody asks."""

    def __set_name__(self, owner: Any, name: str) -> None:
        self._of = owner

    def __get__(self, instance: object, cls: Any) -> Signature:
        if cls.__init__ is not self._of.__init__:
            raise AttributeError(f"{cls.__name__} has a constructor of its own")
        options = [_parameter(action) for action in actions(cls).values()]
        inputs = [_keyword(alias, default=what) for alias, what in cls.inputs.items()]
        return Signature([*options, *inputs, _keyword("name", default=None)])


def actions(cls: Any) -> dict[str, argparse.Action]:
    """Return the options that an algorithm declares, by name."""
    parser = argparse.ArgumentParser(add_help=False)
    cls.add_arguments(parser)
    return {action.dest: action for action in parser._actions}


def _parameter(action: argparse.Action) -> Parameter:
    default = Parameter.empty if action.required and action.option_strings else action.default
    kind = action.type if isinstance(action.type, type) else Parameter.empty
    return _keyword(action.dest, default=default, annotation=kind)


def _keyword(name: str, **given: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, **given)


def refuse_positional(cls: Any, given: tuple[Any, ...]) -> None:
    """Raise a TypeError that says which option was perhaps meant by a value without a name."""
    if not given:
        return
    options = actions(cls)
    fits = [name for name, action in options.items() if action.choices and given[0] in action.choices]
    name = fits[0] if len(fits) == 1 else "OPTION"
    raise TypeError(
        f"{cls.__name__}({given[0]!r}): options are given by name, {cls.__name__}({name}={given[0]!r}). "
        f"Options: {listed(options)}; inputs: {listed(cls.inputs)}"
    )


def refuse_unknown(cls: Any, given: Mapping[str, Any], options: Iterable[str]) -> None:
    """Raise a TypeError that says which options there are if one is unknown."""
    known = [*options, *cls.inputs, "name"]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise TypeError(
            f"{cls.__name__}: unknown option {unknown[0]!r}.{did_you_mean(unknown[0], known)} "
            f"Options: {listed(options)}; inputs: {listed(cls.inputs)}"
        )


def refuse_without(cls: Any, given: Mapping[str, Any], options: Mapping[str, argparse.Action]) -> None:
    """Raise a TypeError that names an option without which the algorithm cannot be made."""
    for name, action in options.items():
        if action.required and name not in given:
            what = f" ({action.help})" if action.help else ""
            raise TypeError(f"{cls.__name__}: {name}= is needed{what}")
