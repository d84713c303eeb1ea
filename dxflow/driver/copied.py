"""What a copy keeps: bytes of each file, frames of each detector, trains, sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..sizes import show


@dataclass(frozen=True)
class FileReport:
    """A file of the run: bytes of the original and of the copy, and what is done to it.

    `how` is "whole" (copied byte by byte), "cut" or "left out" (0 bytes).
    """

    name: str
    before: int
    after: int
    how: str


@dataclass(frozen=True)
class CopyReport:
    """What a copy is or, of a dry run, would be.

    Parameters
    ----------
    path : str
        Of the copy.
    files : tuple of FileReport
        All files of the run. In a dry run, the bytes of files that are cut are estimates.
    frames : mapping of str to (int, int)
        By detector, frames before and after; only those that frames were selected of.
    trains : (int, int)
        Before and after.
    sources : tuple of str
        Those that are left out.
    notes : tuple of str
        What else is to be known.
    seconds : float
        That it took; 0 of a dry run.
    name : str
        What it is called.
    patterns : tuple of str
        Of lit frames: the patterns of trains, and how timing and intensity agree.
    groups : mapping of str to (int, int)
        By detector and aggregator, bytes before and after.
    codec : str
        How pixels are stored, in words; "" if as they were.
    largest_error : float
        Of a pixel.
    frames_without_loss : int
        Frames whose values are as they were, since the bound would have been broken.
    pixels : mapping of str to (int, int)
        By detector, pixels of its modules, and those of them that are inside a region; others were replaced.
    """

    path: str
    files: tuple[FileReport, ...]
    frames: Mapping[str, tuple[int, int]]
    trains: tuple[int, int]
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)
    name: str = ""
    patterns: tuple[str, ...] = ()
    groups: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    codec: str = ""
    largest_error: float = 0.0
    frames_without_loss: int = 0
    pixels: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def before(self) -> int:
        """Bytes of all originals."""
        return sum(f.before for f in self.files)

    @property
    def after(self) -> int:
        """Bytes of all copies."""
        return sum(f.after for f in self.files)

    @property
    def ratio(self) -> float:
        """Bytes after / before."""
        return self.after / self.before if self.before else 1.0

    def json(self) -> dict[str, Any]:
        """Return it as JSON values, for the manifest."""
        return {**asdict(self), "before": self.before, "after": self.after, "ratio": self.ratio}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CopyReport:
        """Return the report that `json` was made of."""
        files = tuple(FileReport(**f) for f in values["files"])
        frames = {name: (before, after) for name, (before, after) in values["frames"].items()}
        before, after = values["trains"]
        sources, notes = tuple(values["sources"]), tuple(values["notes"])
        seconds, name = values["seconds"], values.get("name", "")
        patterns = tuple(values.get("patterns", ()))
        groups, pixels = (
            {k: (a, b) for k, (a, b) in values.get(f, {}).items()} for f in ("groups", "pixels")
        )
        whole = ((before, after), sources, notes, seconds, name, patterns, groups)
        stored = {f: values[f] for f in ("codec", "largest_error", "frames_without_loss") if f in values}
        return cls(values["path"], files, frames, *whole, pixels=pixels, **stored)

    def __str__(self) -> str:
        return "\n".join([*map(_line, self.files), *self._summary()])

    def brief(self) -> str:
        """Return it with how many files there are, rather than each."""
        ways = Counter(f.how for f in self.files)
        said = ", ".join(f"{n} {how}" for how, n in sorted(ways.items()))
        lines = [f"files    {len(self.files)}: {said}", *self._summary()]
        return "\n".join([*lines, "more     --all: every file"])

    def _summary(self) -> list[str]:
        """Return the lines below the table of files."""
        lines = [*self.patterns, *([f"name     {self.name}"] if self.name else [])]
        lines += [f"bytes    {label}: {show(b)} -> {show(a)}" for label, (b, a) in self.groups.items()]
        lines += [f"total    {show(self.before)} -> {show(self.after)}, {self.ratio:.1%}"]
        lines += [f"frames   {name}: {a} of {b}" for name, (b, a) in self.frames.items()]
        lines += [f"pixels   {name}: {a} of {b} are inside" for name, (b, a) in self.pixels.items()]
        lines += [f"trains   {self.trains[1]} of {self.trains[0]}"]
        lines += [f"without  {len(self.sources)} sources"] if self.sources else []
        lines += [f"pixels   {self.codec}{self._changed()}"] if self.codec else []
        lines += [f"note     {note}" for note in self.notes]
        if self.seconds:
            lines.append(f"time     {self.seconds:.1f} s, {show(self.after / self.seconds)}/s")
        return [*lines, f"copy     {self.path}"]

    def _changed(self) -> str:
        """Return what came of a bound."""
        if not self.seconds or not (self.largest_error or self.frames_without_loss):
            return ""
        without = f"; {self.frames_without_loss} frames without loss, as they would have broken it"
        return f"; largest change {self.largest_error:.3g}{without if self.frames_without_loss else ''}"


def _line(file: FileReport) -> str:
    return f"{file.name:<32} {show(file.before):>8} -> {show(file.after):>8}  {file.how}"
