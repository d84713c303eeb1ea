"""A page in one file: it loads nothing, runs no script, and fits phones, wide screens, light, dark and paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .escaped import escaped

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""Of the browser for this page: whatever a name may smuggle in, nothing is loaded and nothing runs."""
LIGHT = "--fg:#1c1f23;--bg:#ffffff;--soft:#f3f5f7;--line:#d5dae0;--link:#005a9c;--warn:#a33c00"
DARK = "--fg:#e3e6ea;--bg:#14171a;--soft:#1e2227;--line:#3b424a;--link:#6cb8f0;--warn:#ff9d66"
STYLE = (
    f":root{{color-scheme:light dark;{LIGHT}}}"
    f"@media (prefers-color-scheme:dark){{:root{{{DARK}}}}}"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;max-width:1340px;padding:14px clamp(12px,2.5vw,32px) 40px;color:var(--fg);background:var(--bg);"
    "font:15px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif;"
    "overflow-wrap:anywhere}"
    "h1{font-size:1.5em;line-height:1.2;margin:.3em 0 .2em}h2{font-size:1.2em;margin:1.6em 0 .5em;padding-bottom:3px;"
    "border-bottom:1px solid var(--line)}h3{font-size:1em;margin:1em 0 .3em}p{margin:.4em 0}a{color:var(--link)}"
    "nav{display:flex;flex-wrap:wrap;gap:2px 16px;margin:.7em 0;font-size:.93em}"
    ".muted{opacity:.72}.warn{color:var(--warn)}"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,150px),1fr));gap:8px;margin:.8em 0}"
    ".tiles>div{background:var(--soft);border:1px solid var(--line);border-radius:6px;padding:7px 11px}"
    ".tiles b{display:block;font-size:1.25em;font-weight:600;line-height:1.3}.tiles span{font-size:.85em;opacity:.75}"
    ".wide{overflow-x:auto}"
    "table.of{border-collapse:collapse;font-size:.92em;font-variant-numeric:tabular-nums}"
    ".of th,.of td{text-align:right;padding:3px 12px 3px 0;border-bottom:1px solid var(--line);vertical-align:middle;"
    "white-space:nowrap}.of th{font-weight:600}.of .text{text-align:left;white-space:normal;min-width:6em;"
    "max-width:26em;overflow-wrap:break-word}"
    ".texts{width:max-content}.of .bar{min-width:120px;width:30%}"
    "pre{background:var(--soft);border:1px solid var(--line);border-radius:6px;padding:8px 10px;margin:.5em 0;"
    "overflow-x:auto;font-size:.85em;line-height:1.4;overflow-wrap:normal}"
    "summary{cursor:pointer;color:var(--link)}details{margin:.5em 0}"
    ".figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,340px),1fr));gap:16px 22px}"
    "figure.several{grid-column:1/-1}.pictures{display:grid;gap:10px 22px;"
    "grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr))}.pictures p{margin:.15em 0;font-size:.86em}"
    "figure{margin:0;min-width:0;border:1px solid var(--line);border-radius:8px;padding:10px 12px 8px}"
    "figure svg.plot{display:block;width:100%;height:auto;max-height:70vh;margin:4px auto}"
    "svg.plot *{stroke-linejoin:round;stroke-linecap:butt}"
    "figure h3{margin:0;font-size:.95em}figcaption{font-size:.86em}figcaption p{margin:.15em 0}"
    "footer{margin-top:2.5em;font-size:.85em}"
    "@media print{"
    f":root{{color-scheme:light;{LIGHT}}}"
    "@page{margin:14mm}body{max-width:none;padding:0 1px;font-size:10.5pt}nav,.screen{display:none}"
    "a{color:inherit;text-decoration:none}figure,.tiles>div,tr{break-inside:avoid}h2,h3{break-after:avoid}"
    ".figures,.several .pictures{grid-template-columns:1fr 1fr}figure svg.plot{max-height:8cm}pre{white-space:pre-wrap}"
    "details::details-content{content-visibility:visible;display:block;height:auto}}"
)


@dataclass(frozen=True)
class Section:
    """A part of a page that can be replaced alone: the id of its element, its heading, and what is in it as HTML."""

    id: str
    title: str
    html: str

    def __str__(self) -> str:
        heading = f"<h2>{escaped(self.title)}</h2>" if self.title else ""
        return f'<section id="{escaped(self.id)}">{heading}{self.html}</section>'


def page(title: str, sections: Sequence[Section], generator: str, foot: str = "") -> str:
    """Return a whole page.

    Parameters
    ----------
    title : str
        In the bar of the browser.
    generator : str
        What made it, by which it is known again: ``dxflow 0.1.0 report``.
    foot : str
        HTML below all sections.
    """
    named = [one for one in sections if one.title]
    links = "".join(f'<a href="#{escaped(one.id)}">{escaped(one.title)}</a>' for one in named)
    at = 1 if sections and not sections[0].title else 0
    body = [*map(str, sections[:at]), f"<nav>{links}</nav>", *map(str, sections[at:])]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="generator" content="{escaped(generator)}">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{escaped(title)}</title><style>{STYLE}</style></head>\n"
        f"<body>\n{chr(10).join(body)}\n<footer>{foot}</footer>\n</body></html>\n"
    )


def tiles(shown: Sequence[tuple[str, str]]) -> str:
    """Return numbers that are seen first: (number, what it is)."""
    made = (f"<div><b>{escaped(n)}</b><span>{escaped(what)}</span></div>" for n, what in shown)
    return f'<div class="tiles">{"".join(made)}</div>'


def grid(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1, bars: bool = False) -> str:
    """Return a table of numbers; a wide one is moved sideways alone.

    Parameters
    ----------
    texts : int
        Columns, of the first, that are texts.
    bars : bool
        Whether the last column is HTML.
    """
    last = len(head) - 1 if bars else len(head)

    def cell(tag: str, at: int, value: str) -> str:
        kind = ' class="text"' if at < texts else ' class="bar"' if at >= last else ""
        return f"<{tag}{kind}>{value if at >= last and tag == 'td' else escaped(value)}</{tag}>"

    body = "".join(f"<tr>{''.join(cell('td', n, v) for n, v in enumerate(row))}</tr>" for row in rows)
    heading = "".join(cell("th", n, v) for n, v in enumerate(head))
    kind = "of texts" if texts > 1 else "of"
    made = f'<table class="{kind}"><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="wide">{made}</div>'
