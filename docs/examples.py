"""Run the examples of the documentation as they are printed, and keep their pictures: ``python docs/examples.py``.

The blocks of a page are one session, from top to bottom, in one folder; the pages of the tutorial are one, too.

- ``python`` is executed. With ``title="name.py"`` it is saved under this name, and a later line uses it; so are
  ``yaml`` and ``toml``.
- ``sh`` is typed: ``dxflow ...`` in the process of the page, others by a shell.
- ``text`` is what comes out, or a drawing.
- ``<!-- not run: REASON -->`` before a block says why it is not run, with one of `REASONS`;
  ``<!-- run by: tests/test_x.py -->`` which test does it instead.
- ``<!-- first: dxflow simulate ... -->`` is typed before all others, and not shown.

What would start workers of this machine runs in the process of the page, but for scripts that are typed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
BUILD = ROOT / "build" / "examples"
TUTORIAL = "tutorial"
LIBRARIES = (
    *("dask.array", "distributed", "extra_data", "extra_geom", "h5netcdf", "matplotlib.pyplot"),
    *("matplotlib.backends.backend_agg", "numba", "pandas", "xarray", "zarr"),
    *("dxflow.driver.execute", "dxflow.run.detectors.agipd", "dxflow.clusters.kinds.local"),
    *("dxflow.commands.main", "dxflow.simulate.run", "dxflow.stores.formats.zarr", "warmed"),
)
LONGEST = (
    *("reduce", "cli", TUTORIAL, "sfx", "algorithms", "dark", "howto-cluster", "spi"),
    *("howto-tuning", "results", "pumpprobe", "xpcs", "spectroscopy", "copying", "cubes", "reports"),
    *("picks", "plots", "tables", "compression"),
)
"""Jobs that begin first, the longest before the others, so that all cores end together."""
REASONS = {
    "installs": "installs packages, which CI does before it runs anything",
    "another program": "is of a program that CI does not have",
}
PATH = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
"""Where `python` is this one."""
RUN, SAVED, OUTPUT = ("python", "sh"), ("python", "yaml", "toml"), ("text",)
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>not run|run by): (?P<why>[^\n]*?) -->\n+)?"
    r"^(?P<indent> *)```(?P<language>\w*)(?P<options>[^\n]*)\n(?P<code>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)
FIRST = re.compile(r"^<!-- first: (.*?) -->$", re.MULTILINE)
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+\.(?:png|svg))\)")
SITE = " until the last picture"
"""What is behind the key of pages that were not run to their ends."""
log = logging.getLogger("mkdocs.dxflow")


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: Path
    line: int
    language: str
    options: str
    code: str
    indent: int = 0
    mark: str = ""
    why: str = ""

    @property
    def title(self) -> str:
        """The name of the file that it is saved as, or nothing."""
        found = re.search(r'title="([^"]+)"', self.options)
        return found[1] if found else ""

    @property
    def where(self) -> str:
        """Where it is, for messages."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Return the pages, the tutorial in its order."""
    return sorted(DOCS.rglob("*.md"))


def blocks(page: Path) -> list[Block]:
    """Return the blocks of code of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, found.start("indent")) + 1,
            found["language"],
            found["options"],
            found["code"],
            len(found["indent"]),
            found["mark"] or "",
            found["why"] or "",
        )
        for found in FENCE.finditer(text)
    ]


def problems(page: Path) -> list[str]:
    """Return what keeps blocks of a page from being run, in words."""
    found, typed = [], ""
    for block in reversed(blocks(page)):
        if problem := _problem(block, typed):
            found.append(f"{block.where}: {problem}")
        typed += block.code if block.language in RUN else ""
    return found[::-1]


def _problem(block: Block, later: str) -> str:
    if block.indent:
        return "a block that is indented is not found: begin it at the start of a line"
    if block.mark == "not run":
        return "" if block.why in REASONS else f"not run: {block.why!r} is none of {', '.join(REASONS)}"
    if block.mark:
        return _by_test(block)
    if block.title:
        names = {block.title, Path(block.title).stem, *Path(block.title).parts[:-1]}
        known = block.language in SAVED and any(re.search(rf"\b{re.escape(name)}\b", later) for name in names)
        return "" if known else f"saved as {block.title}, which no line after it uses"
    if block.language not in (*RUN, *OUTPUT):
        return f"```{block.language} is neither run ({', '.join(RUN)}) nor output (text), and has no title"
    return ""


def _by_test(block: Block) -> str:
    test, name = ROOT / block.why, block.page.relative_to(DOCS).as_posix()
    if not test.is_file():
        return f"run by {block.why}, which does not exist"
    return "" if name in test.read_text() else f"{block.why} does not name {name}"


def lines(code: str) -> list[str]:
    """Return what is typed in a block of shell, without comments; lines that end with \\ are one."""
    joined = re.sub(r"\\\n\s*", " ", code)
    return [line for line in (re.sub(r"(^|\s)#.*", "", text).strip() for text in joined.splitlines()) if line]


def session(page: Path, enough: Callable[[], bool] = lambda: False) -> None:
    """Run the blocks of a page in this process, where it is, until it is enough."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    # The working directory, whichever it is then.
    sys.path.insert(0, "")
    for line in FIRST.findall(page.read_text(encoding="utf-8")):
        type_in(line)
    for block in blocks(page):
        if enough():
            return
        if block.mark or block.language in OUTPUT:
            continue
        if block.title:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.code, encoding="utf-8")
        elif block.language == "sh":
            for line in lines(block.code):
                with _named(f"{block.where}: {line}"):
                    type_in(line)
        else:
            # Tracebacks have the lines of the page.
            code = compile("\n" * block.line + block.code, str(page), "exec")
            with _named(block.where):
                exec(code, vars(main))


@contextlib.contextmanager
def _named(where: str) -> Iterator[None]:
    try:
        yield
    except BaseException as e:
        e.add_note(f"in {where}")
        raise


def type_in(line: str) -> None:
    """Do what a line of a shell says."""
    sys.stdout.write(f"$ {line}\n")
    words = shlex.split(line)
    words, to = (words[:-2], words[-1]) if ">" in words[-2:-1] else (words, "")
    with open(to, "w") if to else contextlib.nullcontext() as file, contextlib.ExitStack() as stack:
        if file:
            stack.enter_context(contextlib.redirect_stdout(file))
        if words[0] == "dxflow":
            from dxflow.commands.main import main

            code = main(_expanded(words[1:]))
        elif words[0] == "cd":
            code = 0
            os.chdir(words[1])
        else:
            code = subprocess.run(line, shell=True, check=False, env=os.environ | {"PATH": PATH}).returncode
    if code:
        raise RuntimeError(f"exit code {code}: {line}")


def _expanded(words: Sequence[str]) -> list[str]:
    return [os.path.expanduser(word) for word in words]


def stay_here() -> None:
    """Have what asks for workers of this machine, by saying nothing, work in this process."""
    from dxflow.clusters import named
    from dxflow.copying import copy
    from dxflow.driver import execute

    def here(connect: Callable) -> Callable:
        return lambda cluster, work: connect("here" if cluster is None else cluster, work)

    of = named.cluster_of
    named.cluster_of = lambda text, workers=None: "here" if text == "local" else of(text, workers)
    for module in (execute, copy):
        module.connect = here(module.connect)


def _process(several: Sequence[Path], folder: Path, out: Path, until: Set[str]) -> None:
    """Run pages one after the other, in a process of their own, which prints into a file.

    If there are any names of pictures, it ends as soon as there are these.
    """
    with out.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, closefd=False) for n in (1, 2))
    # What is made for the time being goes with the folder, as this process ends without tidying up.
    own = folder / ".own"
    own.mkdir()
    os.environ.update(MPLBACKEND="Agg", DXFLOW_QUIET="1", COLUMNS="110", HOME=str(own), TMPDIR=str(own))
    # No browser is opened.
    os.environ["BROWSER"] = "true"
    tempfile.tempdir = None
    stay_here()
    os.chdir(folder)

    def enough() -> bool:
        return bool(until) and until <= {made.name for made in folder.rglob("*.png")}

    for page in several:
        session(page, enough)
    spent = os.times()
    out.with_suffix(".cpu").write_text(str(sum(spent[:4])))


@dataclass
class Job:
    """Pages that are run together, and where their pictures are kept."""

    name: str
    pages: list[Path]

    @property
    def kept(self) -> Path:
        """Folder of the pictures, with the key of what made them."""
        return BUILD / self.name

    @functools.cached_property
    def key(self) -> str:
        """Digest of the pages and of all code that they may use."""
        own = hashlib.sha256(_code().encode())
        for page in self.pages:
            own.update(page.read_bytes())
        return own.hexdigest()

    @property
    def shown(self) -> set[str]:
        """Names of the pictures that they make and show."""
        return {made.name for page in self.pages for made in pictures(page).values()}

    def done(self, site: bool) -> bool:
        """Whether they were run with this code already, as far as a site needs or to their ends."""
        file = self.kept / "key"
        return file.is_file() and file.read_text() in {self.key, f"{self.key}{SITE}" if site else self.key}

    def keep(self, folder: Path, site: bool) -> None:
        """Keep the pictures of a folder."""
        shutil.rmtree(self.kept, ignore_errors=True)
        self.kept.mkdir(parents=True)
        for picture in sorted(folder.rglob("*.png")):
            shutil.copy(picture, self.kept)
        (self.kept / "key").write_text(self.key + SITE * site)


@functools.cache
def _code() -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for top in ("dxflow", "algorithms", "recipes"):
        for path in sorted((ROOT / top).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def jobs(chosen: Iterable[Path]) -> list[Job]:
    """Return what is run together: each page alone, those of the tutorial in their order."""
    made: dict[str, Job] = {}
    for page in chosen:
        if any(not block.mark and block.language not in OUTPUT for block in blocks(page)):
            parts = page.relative_to(DOCS).with_suffix("").parts
            name = TUTORIAL if parts[0] == TUTORIAL else "-".join(parts)
            made.setdefault(name, Job(name, [])).pages.append(page)
    return list(made.values())


def longest_first(several: Iterable[Job]) -> list[Job]:
    """Return jobs in the order in which they begin."""
    order = {name: number for number, name in enumerate(LONGEST)}
    return sorted(several, key=lambda job: order.get(job.name, len(order)))


def with_pictures(chosen: Iterable[Path]) -> list[Path]:
    """Return the pages that are run for a picture that one of them shows."""
    several = (job.pages for job in jobs(chosen))
    return [one for pages in several if any(PICTURE.search(p.read_text()) for p in pages) for one in pages]


class Failed(Exception):
    """Blocks of pages did not run; the message has the end of what they printed."""


def run(chosen: Sequence[Path], *, again: bool = False, site: bool = False) -> dict[str, tuple[float, float]]:
    """Run pages, several at a time; return the seconds that each took, and those of a processor.

    Parameters
    ----------
    chosen : sequence of Path
        The pages.
    again : bool
        Those, too, that were run already as they are.
    site : bool
        Each only until the pictures that it shows are there.

    Raises
    ------
    Failed
        If any did not run to its end, with what it printed last.
    """
    # The processes import this module by its name.
    if str(DOCS) not in sys.path:
        sys.path.insert(0, str(DOCS))
    begin = get_context("forkserver")
    begin.set_forkserver_preload([*LIBRARIES])
    waiting = longest_first(job for job in jobs(chosen) if again or not job.done(site))
    running: list[tuple] = []
    took, failed = {}, []
    with tempfile.TemporaryDirectory(prefix="dxflow-docs-") as scratch:
        while waiting or running:
            # One more than there are cores: pages also wait, for the programs that they begin.
            while waiting and len(running) <= len(os.sched_getaffinity(0)):
                job = waiting.pop(0)
                folder, out = Path(scratch, job.name), Path(scratch, f"{job.name}.out")
                folder.mkdir()
                process = begin.Process(
                    target=_process, args=(job.pages, folder, out, job.shown if site else set())
                )
                process.start()
                running.append((job, process, folder, out, time.perf_counter()))
            for one in [one for one in running if one[1].exitcode is not None]:
                running.remove(one)
                job, process, folder, out, since = one
                spent = out.with_suffix(".cpu")
                took[job.name] = (
                    time.perf_counter() - since,
                    float(spent.read_text()) if spent.exists() else 0,
                )
                if process.exitcode:
                    failed.append(f"{job.name}: exit code {process.exitcode}\n{_end(out)}")
                    log.error(
                        "examples of %s failed; the others go on, what it printed comes after them", job.name
                    )
                else:
                    job.keep(folder, site)
                shutil.rmtree(folder)
            time.sleep(0.05)
    if failed:
        raise Failed("\n\n".join(failed))
    return took


def _end(out: Path) -> str:
    return out.read_text()[-4000:] if out.exists() else "it did not begin"


def pictures(page: Path) -> dict[str, Path]:
    """Return the pictures that a page shows and its blocks make: by the path on the page, and where they will be."""
    shown = [one for one in PICTURE.findall(page.read_text("utf-8")) if not (page.parent / one).exists()]
    return {one: job.kept / Path(one).name for job in jobs([page]) for one in shown}


def main(argv: Sequence[str]) -> int:
    """Run the pages that are named, or all."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    chosen = [Path(name).resolve() for name in argv] or pages()
    wrong = [problem for page in chosen for problem in problems(page)]
    for problem in wrong:
        log.error(problem)
    try:
        took = run(chosen, again=bool(argv))
    except Failed as e:
        log.error("%s", e)
        return 1
    for name, (seconds, spent) in sorted(took.items(), key=lambda item: item[1][1]):
        log.info("%6.1f s, %5.1f s of a processor  %s", seconds, spent, name)
    log.info("%.1f s of a processor for all", sum(spent for _, spent in took.values()))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
