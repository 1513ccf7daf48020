"""The user's notes on the page: Markdown, and nothing that runs, styles or loads."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from reportgen.page.notes import left_out, named_pictures, notes_markup
from reportgen.report.leaves import Figure
from reportgen.report.notes import Notes

FIGURE = Figure("assets/0123456789abcdef0123.webp", 4, 3, "stored")
TAGS = re.compile(
    r"</?(?:p|h[3-6]|em|strong|del|s|ul|li|blockquote|code|pre|hr|br|thead|tbody|tr|sub|sup|kbd|dl|dt|dd|details|"
    r'summary)>|</?(?:table|div|a|ol|td|th|span)>|<a(?: href="(?:https?://|mailto:|#)[^"]*")?'
    r'(?: title="[^"]*")? rel="noopener noreferrer">|<ol(?: start="[^"]*")?>|<t[dh] class="n?">|'
    r'<table class="data">|<span class="soft">|'
    r'<div class="wide" role="region" aria-label="Table \d+ of the notes" tabindex="0">|'
    r"<picture/>"
)


def picture(*_):
    return Markup("<picture/>")


def shown(source, figures=None):
    return str(notes_markup(Notes(source, figures or {}), picture))


def test_markdown_becomes_html_below_the_headings_of_the_page():
    html = shown("# One\n\n*a* **b** `c` ~~d~~\n\n| x | y |\n|--|--:|\n| 1 | 2 |\n\n5. five\n")
    assert html.startswith("<h3>One</h3>")
    assert "<em>a</em> <strong>b</strong> <code>c</code> <s>d</s>" in html
    assert '<td>1</td>\n<td class="n">2</td>' in html
    assert '<ol start="5">' in html
    assert html.count('<div class="wide" role="region"') == html.count("</div>") == 1


@pytest.mark.parametrize(
    "source",
    [
        "<script>alert(1)</script>",
        "a <script src=//x></script> b",
        "<style>@import url(//x)</style>",
        '<p style="background:url(//x)">a</p>',
        "<img src=x onerror=alert(1)>",
        "<svg><script>alert(1)</script><style>p{}</style></svg>",
        "<svg><p><style><img title='</style><script>alert(1)</script>'>",
        "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
        "<iframe srcdoc='<script>1</script>'></iframe>",
        "<a href=javascript:alert(1)>x</a>",
        "[x](javascript:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](data:text/html,<script>1</script>)",
        "[x](vbscript:1)",
        '<https://x.y/"onmouseover=1>',
        "[x](https://x.y '\"><script>1</script>')",
        "![x](https://x.y/a.png)",
        '!["><script>](a.png)',
        '```"><script>\n</script>\n```',
        "<form action=x><input autofocus onfocus=1></form>",
        "<base href=//x><link rel=stylesheet href=//x><meta http-equiv=refresh content=0>",
        "</div></main><h1 id=summary class=x>x</h1>",
        "<details open ontoggle=alert(1)>x</details>",
        "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
        "<!--><script>1</script>-->",
        "<template><script>1</script></template>",
        "<textarea><script>1</script></textarea>",
        "[x](x.html) [y](/etc/passwd) [z](//x.y)",
        "picture-0-1- &#xE000;0",
        "{{ report }} {% include 'x' %}",
    ],
)  # fmt: skip
def test_nothing_runs_styles_or_loads(source):
    html = shown(source, {"a.png": FIGURE})
    assert "<" not in TAGS.sub("", html), html
    assert "@import" not in html or "<code>" in html


@given(st.text(alphabet="<>!/[]()'\"=`*_#&;:-|\\ \nabiknosrtux0.", max_size=80))
def test_whatever_is_written_leaves_known_elements_only(source):
    assert "<" not in TAGS.sub("", shown(source, {"a": FIGURE}))


def test_a_picture_is_shown_by_the_page_and_not_enlarged_within_a_link():
    asked = []

    def take(figure, _class, zoom):
        asked.append((figure.alt, zoom))
        return Markup("<picture/>")

    source = (
        "![mine](a.png) [![linked](a.png)](https://x.y) ![](a.png)\n\n![gone](b.png) ![](c.png)"
    )
    notes = Notes(source, {"a.png": FIGURE})
    html = str(notes_markup(notes, take))
    assert asked == [("mine", True), ("linked", False), ("stored", True)]
    assert '<span class="soft">[gone]</span> <span class="soft">[picture]</span>' in html
    assert html.count("<picture/>") == 3
    assert left_out(notes) == ("b.png", "c.png")


def test_what_stands_for_a_picture_cannot_be_written_by_hand():
    """It holds the digest of the whole source."""
    html = shown("![a](a.png)", {"a.png": FIGURE})
    assert html == "<p><picture/></p>\n"
    assert "<picture/>" not in shown("picture-0- picture-{0}-")


def test_pictures_are_named_with_their_lines():
    found = named_pictures(
        "# a\n\ntext\n![x](p/q.png 't')\n\n![y][1] <img src=no.png>\n\n[1]: r.png\n"
    )
    assert [(one.name, one.alt, one.line) for one in found] == [
        ("p/q.png", "x", 3),
        ("r.png", "y", 6),
    ]
