"""The command ``dxflow red``: plan, make and verify the volume of reduced data that remains of a proposal."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..codecs.bounds import Bound
from ..codecs.table import codec_of
from ..disk.replace import put
from ..errors import PlanError, yamls
from ..errors.near import did_you_mean, listed
from ..errors.usage import OptionParser, UsageError, text_of
from ..line.exits import FAILED, OK
from ..line.options import add_pass_options, cluster_of_pass, run_of
from ..line.runs import Run, runs_of
from ..sizes import count, show
from . import copy as copying

if TYPE_CHECKING:
    from ..red.asked import Asked, Entry
    from ..red.making import Made
    from ..red.planning import Wanted
    from ..red.verifying import Verified

Say = Callable[[str], None]
PASS = ("cluster", "workers", "quiet")
NOT_HERE = ("help", "into", "cluster", "workers", "quiet", "name", "resume", "overwrite", "dry_run")
"""Options of ``dxflow copy`` that do not say what remains."""
APART = {"metadata": ("dry_run", "again", "expect"), "new": ("save",)}
"""Options that leave nothing to do for others."""
APART_WHY = {"metadata": "it neither plans nor copies runs", "new": "it plans nothing"}
LONGEST = 200


def parser(description: str) -> argparse.ArgumentParser:
    """Return the parser of the command."""
    made = OptionParser(prog="dxflow red", description=description, allow_abbrev=False)
    kinds = made.add_subparsers(dest="what", metavar="plan|run|verify|new|techniques", required=True)

    def kind(name: str, words: str) -> argparse.ArgumentParser:
        return kinds.add_parser(name, help=words, description=words, allow_abbrev=False)

    file = {"metavar": "FILE", "help": "what remains of which run, a short YAML file: see 'dxflow red new'"}
    plan = kind("plan", "what would remain, how large it is, and what is lost; nothing is written")
    plan.add_argument("file", **file)  # type: ignore[arg-type]
    plan.add_argument("--new", action="store_true", help="write a FILE to begin with, as 'dxflow red new'")
    plan.add_argument("--save", metavar="PLAN.json", help="keep the plan, for 'dxflow red run --expect'")
    run = kind("run", "make the volume; the same again goes on with one that was interrupted")
    run.add_argument("file", **file)  # type: ignore[arg-type]
    run.add_argument("--dry-run", action="store_true", help="only what it would do, as 'dxflow red plan'")
    words = "only if runs and FILE are as they were when this plan was saved"
    run.add_argument("--expect", metavar="PLAN.json", help=words)
    words = "copy runs anew that have changed, or are asked for otherwise, since they were copied"
    run.add_argument("--again", action="store_true", help=words)
    words = "write anew what a volume says of itself, such as its DOI; neither data nor runs are touched"
    run.add_argument("--metadata", action="store_true", help=words)
    for one in (plan, run):
        add_pass_options(one, PASS)
    verify = kind("verify", "whether a volume is as it was written, wherever it lies now")
    verify.add_argument("file", metavar="FILE|VOLUME", help="the file, or the folder of the volume")
    verify.add_argument(
        "--deep", action="store_true", help="compare with the originals as well, where they are"
    )
    verify.add_argument("--quiet", action="store_true", help="show no progress")
    new = kind("new", "write a FILE to begin with, with these runs if any are given")
    new.add_argument("file", metavar="FILE", help="such as red.yaml")
    new.add_argument("runs", metavar="RUN", nargs="*", help="run directories, patterns, or 900123:34-40")
    kind("techniques", "list the techniques that are known, by identifiers of PaNET")
    for one in kinds.choices.values():
        one.add_argument("--traceback", action="store_true", help="show the whole traceback of an error")
    return made


def run(argv: Sequence[str], description: str, say: Say) -> int:
    """Do what a command line asks for; return the exit code.

    Raises
    ------
    UsageError, PlanError
        If it cannot be done.
    """
    args = parser(description).parse_args(argv)
    _refuse_apart(args)
    if args.what == "verify":
        return _verify(args, say)
    if args.what == "techniques":
        return _techniques(say)
    if args.what == "new" or getattr(args, "new", False):
        return _new(args, say)
    return _plan(args, say) if args.what == "plan" or args.dry_run else _make(args, say)


def checked(argv: Sequence[str]) -> None:
    """Read a command line and its file; raise what would end the command as soon as it begins."""
    args = parser("").parse_args(argv)
    _refuse_apart(args)
    if args.what in ("plan", "run"):
        wanted_of(_asked(args.file))
    if getattr(args, "expect", None) is not None:
        _kept_plan(args.expect)


def _refuse_apart(args: argparse.Namespace) -> None:
    """Refuse options of which one would mean nothing beside the other."""
    for one, others in APART.items():
        for other in others:
            if getattr(args, one, False) and getattr(args, other, None):
                flags = [f"--{name.replace('_', '-')}" for name in (one, other)]
                raise UsageError(f"{' and '.join(flags)} do not go together: {APART_WHY[one]}")


def _asked(path: str) -> Asked:
    from ..red.asked import asked

    return asked(path)


def _plan(args: argparse.Namespace, say: Say) -> int:
    from ..driver.progress import during
    from ..red.folder import Volume
    from ..red.making import refuse_other
    from ..red.planning import plan, survey

    asked = _asked(args.file)
    volume = Volume(asked.to)
    surveyed = survey(asked, wanted_of(asked), volume)
    if (expected := getattr(args, "expect", None)) is not None:
        refuse_other(surveyed, _kept_plan(expected))
    again = getattr(args, "again", False)
    made = during("planning", plan, surveyed, again=again, cluster=_cluster(args), quiet=args.quiet)
    if (save := getattr(args, "save", None)) is not None:
        if Path(save).exists():
            # Only an older plan is replaced.
            _kept_plan(save, "--save")
        put(Path(save), json.dumps(made.json(), indent=1))
    say(f"{made}\n(nothing was written: sizes of files that are cut are estimates)")
    return FAILED if made.failed else OK


def _make(args: argparse.Namespace, say: Say) -> int:
    from ..red.making import make

    asked = _asked(args.file)
    if args.metadata:
        from ..red.finishing import anew

        sums = anew(asked)
        say(f"volume   {asked.to}: says of itself what {asked.path} says\n{_list(sums)}")
        return OK
    made = make(
        asked,
        wanted_of(asked),
        expected=None if args.expect is None else _kept_plan(args.expect),
        again=args.again,
        cluster=_cluster(args),
        quiet=args.quiet,
        say=say,
    )
    say(report(made))
    return OK if made.complete else FAILED


def _cluster(args: argparse.Namespace) -> Any:
    return cluster_of_pass(args) if args.cluster or args.workers else None


def _kept_plan(path: str, option: str = "--expect") -> dict[str, Any]:
    try:
        found = json.loads(Path(path).read_bytes())
        if not isinstance(found["runs"], dict):
            raise ValueError("is no plan")
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UsageError(
            f"{option} {path}: expected what 'dxflow red plan --save' wrote: {text_of(e)}"
        ) from e
    return found


def report(made: Made) -> str:
    """Return how it went."""
    to = made.plan.asked.to
    if not made.complete:
        lines = [f"failed   {name}: {why}" for name, why in made.failures.items()]
        last = f"volume   {to} is not complete; the same command goes on with what is left"
        return "\n".join(
            [*lines, last, "         (of a run that will not come: write keep: nothing, and why)"]
        )
    if not made.sums:
        return f"volume   {to}: complete"
    return f"volume   {to}: complete, {count(len(made.states), 'run')}\n{_list(made.sums)}"


def _list(sums: str) -> str:
    return f"list     SHA-256 {sums} of manifest-sha256.txt"


def _verify(args: argparse.Namespace, say: Say) -> int:
    from ..red.verifying import verify

    path = Path(args.file)
    folder = path if path.is_dir() else _volume_of(args.file)
    found = verify(folder, deep=args.deep, quiet=args.quiet)
    say(verified(folder, found))
    return FAILED if found.problems else OK


def _volume_of(path: str) -> Path:
    """Return the volume that a file is about; whatever else it says may be out of date."""
    given = yamls.read(path)
    to = given.get("to")
    if not isinstance(to, str):
        raise given.wrong("'to' is missing; expected the folder of the volume")
    return Path(to).expanduser()


def verified(folder: Path, found: Verified) -> str:
    """Return what was found, as text."""
    lines = [f"wrong    {problem}" for problem in found.problems]
    lines += [f"note     {note}" for note in found.notes]
    lines += [f"read     {count(found.files, 'file')}, {show(found.bytes)}", f"list     SHA-256 {found.sums}"]
    problems = len(found.problems)
    said = count(problems, "problem") if problems else "as it was written"
    return "\n".join([*lines, f"volume   {folder}: {said}"])


def _techniques(say: Say) -> int:
    from ..red.panet import known

    say("\n".join(f"{one.code}  {'; '.join([one.label, *one.others])}" for one in known().values()))
    return OK


def _new(args: argparse.Namespace, say: Say) -> int:
    from ..red.template import write

    runs = [one.text for one in runs_of(getattr(args, "runs", []))]
    made = write(args.file, runs)
    say(f"{made}: edit it, then: dxflow red plan {made}")
    return OK


# Runs ---------------------------------------------------------------------------------------------


def wanted_of(asked: Asked) -> list[Wanted]:
    """Return the runs that a file means, and what is to remain of each.

    Raises
    ------
    UsageError
        If an option is unknown or has no fitting value, or two runs would have one folder; names the line.
    """
    found: list[Wanted] = []
    lines: dict[str, int] = {}
    for entry in asked.entries:
        try:
            runs = runs_of([entry.run])
        except UsageError as e:
            raise entry.given.wrong(str(e), "run") from None
        _refuse_wrong(entry, runs)
        for one in runs:
            made = _wanted(entry, one)
            if made.name in lines:
                raise entry.given.wrong(
                    f"{made.text}: its folder would be {made.name!r}, as that of the run in line {lines[made.name]}: "
                    "write another one with as:, such as '{name}_proc'",
                    "run",
                )
            lines[made.name] = entry.given.lines.get("run", entry.given.line)
            found.append(made)
    return found


def _wanted(entry: Entry, one: Run) -> Wanted:
    from ..red.planning import Wanted

    try:
        name = one.filled(entry.name or "{name}")
        results = tuple(Path(one.filled(path)) for path in entry.results)
    except UsageError as e:
        raise entry.given.wrong(str(e), "as" if entry.name else "results") from None
    if len({path.name for path in results}) < len(results):
        raise entry.given.wrong("two results have the same name", "results")
    wrong = name in ("", ".", "..") or "/" in name or "\0" in name or name.startswith(".")
    if wrong or name.endswith(".partial") or len(name) > LONGEST:
        raise entry.given.wrong(
            f"{name!r} is no name of a folder in the volume", "as" if entry.name else "run"
        )
    options = _filled(entry, one)
    copy = partial(_copy_options, entry, one)
    run = run_of(one.text)
    return Wanted(one.text, name, run, entry.keep, options, copy, results, entry.why, entry.given)


def _filled(entry: Entry, one: Run) -> dict[str, Any]:
    """Return the options of an entry as they are for one of its runs, without the lines that they know."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(each) for each in value]
        return one.filled(value) if isinstance(value, str) else value

    made: dict[str, Any] = {}
    for key, value in entry.options.items():
        try:
            made[key] = plain(value)
        except UsageError as e:
            raise entry.given.wrong(str(e), key) from None
    return made


def _refuse_wrong(entry: Entry, runs: Sequence[Run]) -> None:
    """Raise what is wrong with the options of an entry: with its first run and with the second."""
    for key, check in (("codec", codec_of), ("round", Bound.of)):
        try:
            if key in entry.options:
                check(entry.options[key])
        except PlanError as e:
            raise entry.given.wrong(text_of(e), key) from None
    errors = []
    for one in runs[:2]:
        try:
            _copy_options(entry, one)
        except (UsageError, ValueError, OSError, TypeError) as e:
            errors.append(e)
    if errors and len(errors) == len(runs[:2]):
        if str(errors[0]).startswith(entry.given.path):
            raise errors[0]
        raise entry.given.wrong(text_of(errors[0])) from errors[0]


def _copy_options(entry: Entry, one: Run) -> dict[str, Any]:
    """Return options as ``dxflow copy`` takes them, read by its own parser."""
    made = OptionParser(prog="copy", allow_abbrev=False)
    copying.add_arguments(made)
    args = made.parse_args([one.text, "copy", *_words(entry, made, one)])
    options = copying.options_of(args)
    return {
        key: value for key, value in options.items() if key not in ("quiet", "resume", "overwrite", "dry_run")
    }


def _words(entry: Entry, made: argparse.ArgumentParser, one: Run) -> Iterator[str]:
    """Yield the options of an entry as they are typed."""
    flags = {a.dest: a for a in made._actions if a.option_strings and a.dest not in NOT_HERE}
    for key, value in _filled(entry, one).items():
        action = flags.get(str(key).replace("-", "_"))
        if action is None:
            near = did_you_mean(str(key), flags)
            raise entry.given.wrong(
                f"there is no such option of a copy.{near} Expected: {listed(flags, 40)}", key
            )
        values = value if isinstance(value, list) else [value]
        flag = action.option_strings[0]
        if action.nargs == 0:
            if not isinstance(value, bool):
                raise entry.given.wrong("expected true or false", key)
            yield from [flag] if value else []
            continue
        if not values or any(isinstance(v, (bool, dict, list)) or v is None for v in values):
            raise entry.given.wrong("expected a text, a number, or a list of these", key)
        texts = [str(v) for v in values]
        if action.nargs == "+":
            yield from (flag, *texts)
        else:
            repeated = isinstance(action, argparse._AppendAction)
            yield from (f"{flag}={text}" for text in (texts if repeated else [",".join(texts)]))
