"""What mkdocs does beside showing pages: pictures are made by the code of pages, cards and drawings put in."""

from __future__ import annotations

import posixpath
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

DOCS = Path(__file__).resolve().parent
# Pages are run by processes that import this module by its name.
sys.path.insert(0, str(DOCS))
import examples  # noqa: E402

CARDS = re.compile(r"^<!-- cards: (.*?) -->$", re.MULTILINE | re.DOTALL)
DRAWING = re.compile(r'<img alt="([^"]*)" src="([^"]*?)([\w-]+\.svg)"[^>]*>')


def on_files(files: Any, config: Any) -> Any:
    """Begin to run the pages that show pictures, and say where these will be."""
    pages = examples.pages()
    if wrong := [problem for page in pages for problem in examples.problems(page)]:
        raise PluginError("\n".join(wrong))
    # Texts are made of pages meanwhile.
    running, own = ThreadPoolExecutor(1).submit(examples.run, examples.with_pictures(pages), site=True), []
    config.extra["examples"] = (running, own)
    for page in pages:
        folder = page.relative_to(DOCS).parent.as_posix()
        for shown, made in examples.pictures(page).items():
            uri = posixpath.normpath(posixpath.join(folder, shown))
            if files.get_file_from_path(uri) is None:
                files.append(File.generated(config, uri, abs_src_path=str(made)))
                own.append(made)
    return files


def on_env(env: Any, config: Any, files: Any) -> None:
    """Wait until the pictures are there, before files are copied."""
    running, own = config.extra.pop("examples")
    try:
        running.result()
    except examples.Failed as e:
        raise PluginError(str(e)) from e
    if missing := [f"{made.parent.name}: {made.name}" for made in own if not made.is_file()]:
        raise PluginError(f"pictures that the code of their pages has not made: {', '.join(missing)}")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Put cards, with picture, title and first sentence, in place of the names of pages."""
    here = (DOCS / page.file.src_uri).parent
    return CARDS.sub(lambda found: _cards(found[1].split(), here), markdown)


def _cards(names: list[str], here: Path) -> str:
    return (
        '<div class="grid cards gallery" markdown>\n\n'
        + "\n".join(_card(n, here) for n in names)
        + "\n</div>"
    )


def _card(name: str, here: Path) -> str:
    text = (here / name).read_text(encoding="utf-8")
    title = re.search(r"^# (.*)$", text, re.MULTILINE)[1]
    first = re.search(r"^# .*\n\n((?:.+\n)+)", text, re.MULTILINE)[1].replace("\n", " ")
    first = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.split(r"(?<=[.]) ", first)[0])
    shown = examples.PICTURE.search(text)
    picture = posixpath.normpath(posixpath.join(posixpath.dirname(name), shown[1])) if shown else ""
    image = f"    [![{title}]({picture})]({name})\n\n" if shown else ""
    return f"-   __[{title}]({name})__\n\n{image}    {first}\n"


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Put drawings into the page itself, so that they have the colours of its text, light and dark."""
    return DRAWING.sub(_drawn, html)


def _drawn(found: re.Match) -> str:
    file = DOCS / "assets" / found[3]
    if not file.is_file():
        return found[0]
    svg = re.sub(r"<\?xml.*?\?>|<style>.*?</style>", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{found[1]}" class="drawing" ', 1)
