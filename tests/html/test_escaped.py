"""Texts of anybody: marked-up characters are escaped, controls and marks of direction are seen."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from dxflow.html.escaped import escaped, ident, plain


class Read(HTMLParser):
    """Collects what is in a page."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.said = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.said += data


@given(st.text())
def test_any_text_is_one_text_in_elements_and_attributes(text):
    read = Read()
    read.feed(f'<p title="{escaped(text)}">{escaped(text)}</p>')
    read.close()
    assert read.tags == ["p"]
    assert read.said.replace("\r", "\n") == plain(text).replace("\r", "\n")
    assert [name for name, _ in read.attributes] == ["title"]
    escaped(text).encode("utf-8")


def test_what_nobody_would_see_is_seen():
    assert plain("a\x00b\x1b[31m\u202egnp.exe\u200b\udcff") == "a\\x00b\\x1b[31m\\u202egnp.exe\\u200b\\udcff"
    # Of signs that are put together of several.
    assert plain("Å⁻¹ 👩‍🔬 שלום\n\tx") == "Å⁻¹ 👩‍🔬 שלום\n\tx"
    assert plain("x" * 5000) == f"{'x' * 1997}..."


@given(st.lists(st.text(), unique=True, max_size=20))
def test_each_name_has_an_id_of_its_own_that_needs_no_escape(names):
    ids = [ident(name, "variable") for name in names]
    assert len(set(ids)) == len(names)
    assert all(set(one) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for one in ids)
    assert ids == [ident(name, "variable") for name in names]
