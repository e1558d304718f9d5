"""SVG primitives: escaping, numbers, light and dark, pictures below one another."""

import re
from xml.etree import ElementTree

import pytest

from bert_jax.drawing.svg import document, element, escape, stack_pictures, text

SVG = "{http://www.w3.org/2000/svg}"


def test_attributes_are_named_as_in_svg_rounded_and_escaped():
    assert element("a", class_="b", fill_opacity=1 / 3, x=2, y=3.0) == (
        '<a class="b" fill-opacity="0.333" x="2" y="3"/>'
    )
    assert element("a", "<b/>", x='"<') == '<a x="&quot;&lt;"><b/></a>'


def test_text_is_escaped_and_rotates_around_its_position():
    assert text(1, 2.5, "<a&b>") == '<text x="1" y="2.5">&lt;a&amp;b&gt;</text>'
    assert 'transform="rotate(-90 1 2.5)"' in text(1, 2.5, "a", rotate=-90)


@pytest.mark.parametrize("bad", ["\0", "\x01", "\x1b[31m", "\x0b", "\ud83d", "\ufffe", "\uffff"])
def test_a_character_that_xml_forbids_does_not_make_a_file_ill_formed(bad):
    picture = document([text(0, 0, f"a{bad}b"), element("g", escape(bad), id=f"c{bad}")])
    root = ElementTree.fromstring(picture.encode("utf-8"))
    (shown,), (group,) = root.iter(f"{SVG}text"), root.iter(f"{SVG}g")
    assert shown.text == f"a\ufffd{bad[1:]}b"
    assert group.get("id") == f"c{group.text}" == f"c\ufffd{bad[1:]}"


def test_characters_that_xml_allows_stay():
    allowed = "a\tb\n한\u0085\ue000\ufffd\U0001f600"
    assert escape(allowed) == allowed


def test_it_is_readable_in_light_and_dark():
    light, dark = document([]).split("prefers-color-scheme: dark")
    page = [re.search(r"\.page { fill: (#\w+)", part)[1] for part in (light, dark)]
    ink = [re.search(r"text {[^}]*fill: (#\w+)", part)[1] for part in (light, dark)]
    for paper, letters in zip(page, ink, strict=True):
        assert abs(int(paper[1:3], 16) - int(letters[1:3], 16)) > 150


def test_stacked_pictures_are_below_one_another():
    pictures = [document([text(0, 0, str(n))], width=10 * n, height=7 * n) for n in (1, 3, 2)]
    stack = ElementTree.fromstring(stack_pictures(pictures))
    assert [float(svg.get("y")) for svg in stack.findall(f"{SVG}svg")] == [0, 7, 28]
    assert (float(stack.get("width")), float(stack.get("height"))) == (30, 42)
    assert [text.text for text in stack.iter(f"{SVG}text")] == ["1", "3", "2"]
