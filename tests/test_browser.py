"""The page in a real browser: headless Chromium, from strict and plain hosts and from disk."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import models
import pages
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from reportgen import build_report
from reportgen.page.render import anchor
from reportgen.wording import short_text

JENKINS = "sandbox allow-same-origin; default-src 'none'; img-src 'self'; style-src 'self'"
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (1440, 390)]
KINDS = (
    "classifier",
    "binary",
    "multilabel",
    "vector",
    "two_outputs",
    "segmentation",
    "autoencoder",
    "two_inputs",
    "nan",
)
LOAD_ALL = """async () => {
  const seen = [];
  for (const image of document.images) {
    image.loading = "eager";
    if (!image.complete) await new Promise(done => { image.onload = image.onerror = done; });
    seen.push([image.getAttribute("src"), image.naturalWidth]);
  }
  return seen;
}"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A report with names that break pages: of the model, its layers, files, classes and run."""
    place = tmp_path_factory.mktemp("hostile")
    probes = place / "probes"
    probes.mkdir()
    names = ["a b.png", "q\"uote's.png", "<b>&amp;.png", "new\nline.png", "naïve-猫.png"]
    for name, picture in zip(names, models.images(5), strict=True):
        Image.fromarray(picture).save(probes / name)
    (probes / "broken<i>.png").write_bytes(b"")
    return build_report(
        models.saved("hostile"),
        probes=probes,
        output=place / "re port",
        title=f"Title {models.HOSTILE} " + "long" * 40,
        meta={models.HOSTILE: "<i>" + "x" * 200},
        classes=["<b>" + "wide" * 30, "&amp;", "'"],
        labels={"a b.png": "&amp;"},
    ).path


@functools.cache
def report_of(name):
    """Build a report of each kind of result once."""
    size = 16 if name in {"segmentation", "mask", "autoencoder"} else 12
    probes = models.images(2, size)
    if name == "two_inputs":
        probes = {"left": probes, "right": probes}
    skip = () if name in {"classifier", "segmentation"} else ("features",)  # it looks alike in all
    folder = build_report(
        models.saved(name), probes=probes, output=models.place() / name, skip=skip, feature_steps=8
    )
    return folder.path


@contextlib.contextmanager
def served(folder, policy=None):
    """Serve ``folder`` on this machine; with a Content-Security-Policy where given."""

    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self):
            if policy:
                self.send_header("Content-Security-Policy", policy)
            super().end_headers()

        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/index.html"
        finally:
            server.shutdown()
            thread.join()


class Visit:
    """A page with everything that it said and asked for."""

    def __init__(self, page, url):
        self.page, self.said, self.asked, self.failed = page, [], [], []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("requestfailed", lambda request: self.failed.append(request.url))
        page.on("response", lambda r: self.failed.append(r.url) if r.status >= 400 else None)
        page.goto(url)

    def assert_images_load(self, folder):
        loaded = self.page.evaluate(LOAD_ALL)
        assert len(loaded) >= len(set(report_images(folder))) > 0
        assert all(width > 0 for _, width in loaded), loaded

    def assert_styled(self):
        border = "e => getComputedStyle(e).borderLeftWidth"
        assert self.page.eval_on_selector(".verdict", border) == "4px"
        weight = "e => getComputedStyle(e).fontWeight"
        assert self.page.eval_on_selector(".verdict .headline", weight) == "600"
        assert self.page.eval_on_selector("body", "e => getComputedStyle(e).fontSize") == "15px"

    def assert_fits(self):
        sizes = (
            "() => [document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]"
        )
        whole, window = self.page.evaluate(sizes)
        assert whole <= window

    def assert_quiet(self, base):
        assert self.said == []
        assert self.failed == []
        assert all(url.startswith(base) for url in self.asked), self.asked

    def assert_accessible(self):
        """Come last: on disk, axe itself asks for the style sheet and is refused."""
        result = Axe().run(self.page)
        assert result.violations_count == 0, result.generate_report()


def report_images(folder):
    return [a["src"] for tag, a in pages.read_page(folder).elements if tag == "img"]


@contextlib.contextmanager
def visited(browser, url, scheme="light", width=1440, **options):
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 900}, **options
    )
    try:
        yield Visit(context.new_page(), url)
    finally:
        context.close()


def words(text):
    return " ".join(text.split())


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
@pytest.mark.parametrize("host", ["http", "file"])
def test_hostile_names_on_plain_hosts(browser, hostile, host, scheme, width):
    pages.check_page(hostile)
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(served(hostile)) if host == "http" else page_uri(hostile)
        visit = stack.enter_context(visited(browser, url, scheme, width))
        visit.assert_images_load(hostile)
        visit.assert_styled()
        visit.assert_fits()
        visit.assert_quiet(url.rpartition("/")[0])
        visit.assert_accessible()
        assert len(visit.asked) >= 3 + len(set(report_images(hostile)))


def page_uri(folder):
    return (folder / "index.html").as_uri()


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_jenkins_shows_everything(browser, hostile, scheme, width):
    """The strictest host that we know: no script runs, so what is left must say it all."""
    with served(hostile, JENKINS) as url, visited(browser, url, scheme, width) as visit:
        visit.assert_images_load(hostile)
        visit.assert_styled()
        visit.assert_fits()
        assert visit.failed == []
        assert visit.said
        assert all("Blocked script execution" in text for text in visit.said)
        text = words(visit.page.inner_text("body"))
        assert f"Title {models.HOSTILE}" in text
        assert "Conv2D" in text
        assert "naïve-猫.png" in text


def test_text_is_the_same_without_javascript(browser, hostile):
    texts = []
    for enabled in (True, False):
        with visited(browser, page_uri(hostile), java_script_enabled=enabled) as visit:
            text = words(visit.page.inner_text("main"))
            texts.append(
                text.replace("Filter by name or class ", "").replace("Filter by name ", "")
            )
            texts.append(words(visit.page.inner_text(".side .contents")))
    assert texts[:2] == texts[2:]
    assert models.HOSTILE in texts[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_result(browser, name, scheme):
    folder = report_of(name)
    pages.check_page(folder)
    for width in (1440, 390):
        with visited(browser, page_uri(folder), scheme, width) as visit:
            visit.assert_images_load(folder)
            visit.assert_fits()
            visit.assert_quiet("file://")
            visit.assert_accessible()


def test_schemes_differ_and_both_can_be_read(browser, hostile):
    colours = "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    seen = []
    for scheme in ("light", "dark"):
        with visited(browser, page_uri(hostile), scheme) as visit:
            seen.append([luminance(c) for c in visit.page.eval_on_selector("body", colours)])
    (ink, paper), (light_ink, dark_paper) = seen
    assert (paper + 0.05) / (ink + 0.05) > 7  # WCAG's enhanced contrast
    assert (light_ink + 0.05) / (dark_paper + 0.05) > 7


def luminance(colour):
    parts = [int(n) / 255 for n in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_links_of_the_contents_lead_to_their_sections(browser, hostile):
    with visited(browser, page_uri(hostile)) as visit:
        for link in visit.page.query_selector_all(".side .contents a"):
            link.click()
            target = link.get_attribute("href")[1:]
            assert in_view(visit.page, target, 0)


def in_view(page, target, bar):
    """Return whether an element stands below the bar, near the top, or as far up as the page allows."""
    place = f"() => document.getElementById('{target}').getBoundingClientRect().top"
    bottom = "() => innerHeight + scrollY >= document.scrollingElement.scrollHeight - 1"
    return bar <= page.evaluate(place) < bar + 80 or page.evaluate(bottom)


def test_on_a_phone_the_menu_leads_and_closes_and_the_bar_covers_nothing(browser, hostile):
    with visited(browser, page_uri(hostile), width=390) as visit:
        page = visit.page
        bar = page.locator(".topbar").bounding_box()["height"]
        for target in ("predictions", "network", "details"):
            page.locator(".menu > summary").click()
            page.locator(f".menu a[href='#{target}']").click()
            assert not page.locator(".menu").get_attribute("open")
            assert in_view(page, target, bar - 1)


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("width", [1440, 390])
def test_every_old_anchor_lands_in_view(browser, hostile, width, enabled):
    """Links into reports are for ever: also to what is folded away, with and without a script."""
    report = json.loads((hostile / "report.json").read_bytes())
    layer = pages.content(report, "architecture")["layers"][-1]["path"]
    shown = pages.content(report, "activations")["shown"][-1]["id"]
    names = [
        f"layer/{layer}",
        f"weights/{layer}",
        f"maps/{shown}",
        "probe/1",
        "relevance/1",
        "group-1",
    ]
    names += [section["kind"] for section in report["sections"]] + ["findings"]
    for name in names:
        url = f"{page_uri(hostile)}#{anchor(name)}"
        with visited(browser, url, width=width, java_script_enabled=enabled) as visit:
            page = visit.page
            bar = page.locator(".topbar").bounding_box()
            target = page.locator(f"[id='{anchor(name)}']")
            assert target.is_visible(), name
            place = target.bounding_box()
            bottom = "() => innerHeight + scrollY >= document.scrollingElement.scrollHeight - 1"
            assert place["y"] >= (bar["height"] if bar else 0) - 1, name
            assert place["y"] < 400 or (not enabled) or page.evaluate(bottom), name


def test_pictures_are_large_enough_and_pixels_stay_pixels(browser, hostile):
    smooth = "e => getComputedStyle(e).imageRendering"
    with visited(browser, page_uri(hostile), width=390) as visit:
        visit.assert_images_load(hostile)
        assert visit.page.eval_on_selector("img.kernels", smooth) == "pixelated"
        visit.page.eval_on_selector_all(
            "#weights details", "all => all.forEach(d => { d.open = true; })"
        )
        assert visit.page.locator("#weights img.plot").bounding_box()["width"] >= 560
        row = visit.page.locator(".layer > summary").first.bounding_box()
        assert row["x"] + row["width"] <= 390
    folder = report_of("autoencoder")
    with visited(browser, page_uri(folder)) as visit:
        visit.assert_images_load(folder)
        image = visit.page.locator(".results img").first
        assert image.bounding_box()["width"] >= 96
        assert image.evaluate(smooth) == "pixelated"


def test_paper_leaves_out_what_is_folded_away_and_shows_what_is_open(browser, hostile):
    with visited(browser, page_uri(hostile)) as visit:
        page, name = visit.page, visit.page.locator("ol.classes li").first
        page.emulate_media(media="print")
        assert not name.is_visible()
        assert not page.get_by_text("class names").first.is_visible()  # nor its empty heading
        assert page.locator(".layer > summary").first.is_visible()
        page.emulate_media(media="screen")
        page.eval_on_selector_all("#details details", "all => all.forEach(d => { d.open = true; })")
        page.emulate_media(media="print")
        assert name.is_visible()


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_paper_cuts_nothing_off(browser, hostile, paper):
    """At the width between the margins of a sheet nothing sticks out, open cards of layers included."""
    millimetres = {"A4": 210, "Letter": 216}[paper] - 2 * 14
    with visited(browser, page_uri(hostile), width=int(millimetres * 96 / 25.4)) as visit:
        page = visit.page
        page.eval_on_selector_all("details", "all => all.forEach(d => { d.open = true; })")
        page.emulate_media(media="print")
        sticking = """() => [...document.querySelectorAll('main *')].filter(e => {
          const r = e.getBoundingClientRect();
          return r.width > 0 && !e.closest('svg') && r.right > innerWidth + 1;
        }).map(e => e.tagName + '.' + e.className)"""
        assert page.evaluate(sticking) == []


def column(page, place, number):
    """Return the texts of one column of the list of layers, from the top."""
    return page.eval_on_selector_all(
        f"{place} > .layer:not([hidden]) > summary",
        f"rows => rows.map(r => r.children[{number}].textContent.trim())",
    )


def test_click_on_a_heading_sorts(browser):
    """Down, up, and back to the order of the page."""
    with visited(browser, page_uri(report_of("two_outputs"))) as visit:
        page, place = visit.page, ".layers"
        heading = page.locator(f"{place} .head > span").nth(3)
        numbers = [int(text.replace(",", "")) for text in column(page, place, 3)]
        seen = []
        for _ in range(3):
            heading.locator("button").click()
            texts = column(page, place, 3)
            seen.append(
                (heading.get_attribute("aria-sort"), [int(t.replace(",", "")) for t in texts])
            )
        assert numbers not in (sorted(numbers), sorted(numbers, reverse=True))
        assert seen == [
            ("descending", sorted(numbers, reverse=True)),
            ("ascending", sorted(numbers)),
            (None, numbers),
        ]
        names = page.locator(f"{place} .head > span").nth(0)
        heading.locator("button").click()
        names.locator("button").press("Enter")
        assert heading.get_attribute("aria-sort") is None
        assert names.get_attribute("aria-sort") == "descending"
        assert column(page, place, 0) == sorted(column(page, place, 0), reverse=True)
        visit.assert_quiet("file://")


def test_sorting_by_a_measured_column(browser):
    with visited(browser, page_uri(report_of("classifier"))) as visit:
        page = visit.page
        page.locator(".layers .head > span").nth(6).locator("button").click()
        exact = page.eval_on_selector_all(
            ".layers > .layer > summary", "rows => rows.map(r => r.children[6].dataset.value)"
        )
        known = [float(value) for value in exact if value != "None"]
        assert known == sorted(known, reverse=True)
        assert len(set(known)) > 2
        assert exact[len(known) :] == ["None"] * (len(exact) - len(known))


def test_filter_keeps_the_rows_that_match(browser):
    with visited(browser, page_uri(report_of("deep"))) as visit:
        page = visit.page
        names = column(page, ".layers", 0)
        field = page.get_by_label("Filter by name or class").first
        field.fill("conv_3")
        assert column(page, ".layers", 0) == ["conv_3"]
        field.fill("  MAXpool ")
        assert set(column(page, ".layers", 1)) == {"MaxPooling2D"}
        field.fill("no such layer")
        assert column(page, ".layers", 0) == []
        field.fill("")
        assert column(page, ".layers", 0) == names


def visible_layers(page):
    return page.eval_on_selector_all(
        ".layers > .layer", "rows => rows.filter(r => r.offsetParent).length"
    )


@pytest.mark.parametrize("enabled", [True, False])
def test_a_long_list_shows_what_matters_and_all_of_it_when_asked(browser, enabled):
    with visited(browser, page_uri(report_of("deep")), java_script_enabled=enabled) as visit:
        page = visit.page
        total = page.locator(".layers > .layer").count()
        assert total > 16
        assert visible_layers(page) == 12
        page.get_by_label(f"Show all {total} layers").check()
        assert visible_layers(page) == total


def test_block_of_the_flow_opens_what_it_holds_and_leads_to_the_layers_card(browser):
    with visited(browser, page_uri(report_of("deep"))) as visit:
        page = visit.page
        for number in range(page.locator("svg.flow a").count()):
            held = page.locator(f"#group-{number}")
            assert held.get_attribute("open") is None
            page.locator(f"svg.flow a[href='#group-{number}']").click()
            held.locator("ul").wait_for(state="visible")
            assert held.get_attribute("open") is not None
        layer = page.locator("#group-1 li a").first
        layer.click()
        target = page.locator(f"[id='{layer.get_attribute('href')[1:]}']")
        assert target.is_visible()
        assert target.evaluate("card => card.matches(':target')")


def test_a_picture_is_enlarged_and_the_arrows_go_on(browser, hostile):
    with visited(browser, page_uri(hostile)) as visit:
        page = visit.page
        links = page.locator("#predictions a.zoom")
        sources = links.evaluate_all("all => all.map(a => a.href)")
        links.first.click()
        large = page.locator("dialog.viewer img")
        assert large.evaluate("i => i.src") == sources[0]
        page.keyboard.press("ArrowRight")
        assert large.evaluate("i => i.src") == sources[1]
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        assert large.evaluate("i => i.src") == sources[-1]
        page.keyboard.press("c")
        page.keyboard.press("ArrowRight")
        assert large.evaluate_all("all => all.map(i => i.src)") == [sources[-1], sources[0]]
        page.keyboard.press("Escape")
        assert not page.locator("dialog.viewer").is_visible()
        visit.assert_quiet("file://")


def test_in_a_row_of_maps_the_arrows_show_one_channel_after_the_other_with_its_range(browser):
    folder = report_of("classifier")
    content = pages.content(json.loads((folder / "report.json").read_bytes()), "activations")
    call = next(one for one in content["shown"] if one["kind"] == "maps")
    with visited(browser, page_uri(folder)) as visit:
        page = visit.page
        sheet = page.locator(f"[id='maps/{call['id']}']")
        sheet.evaluate(
            "it => { for (let at = it; at; at = at.parentElement) if ('open' in at) at.open = true; }"
        )
        width, height = (call["rows"][0]["figure"][key] for key in ("width", "height"))
        each = (width - 1) / len(call["channels"])
        sheet.locator("a.zoom").first.click()
        viewer, map_ = (
            page.locator("dialog.viewer"),
            page.locator("dialog.viewer svg.picture > svg"),
        )
        assert map_.count() == 0  # the whole row first
        for at in range(2):
            page.keyboard.press("ArrowDown")
            assert map_.get_attribute("viewBox") == f"{1 + at * each:g} 1 {each - 1:g} {height - 2}"
            low, high = (short_text(value) for value in call["rows"][0]["ranges"][at])
            said = viewer.locator("figcaption").text_content()
            assert f"channel {call['channels'][at]}: {low} to {high}" in said
        page.keyboard.press("ArrowRight")  # the same channel of the next image
        low, high = (short_text(value) for value in call["rows"][1]["ranges"][1])
        assert (
            f"channel {call['channels'][1]}: {low} to {high}"
            in viewer.locator("figcaption").text_content()
        )
        for _ in range(2):
            page.keyboard.press("ArrowUp")
        assert map_.count() == 0
        page.keyboard.press("ArrowUp")  # from the whole row back to the last
        assert f"channel {call['channels'][-1]}:" in viewer.locator("figcaption").text_content()
        visit.assert_quiet("file://")


def test_keys_search_move_and_change_the_theme(browser, hostile):
    with visited(browser, page_uri(hostile)) as visit:
        page = visit.page
        page.keyboard.press("/")
        page.keyboard.type("naïve")
        page.keyboard.press("Enter")
        number = page.locator("article.probe", has_text="naïve-猫.png").get_attribute("id")
        assert page.evaluate("decodeURIComponent(location.hash)") == f"#{number}"
        page.keyboard.press("Escape")
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        seen = []
        for key in "]]][":
            before = page.evaluate("scrollY")
            page.keyboard.press(key)
            seen.append(page.evaluate("scrollY") - before)
        assert [step > 0 for step in seen] == [True, True, True, False]
        paper = "() => getComputedStyle(document.body).backgroundColor"
        papers = [page.evaluate(paper)]
        for _ in range(2):
            page.keyboard.press("t")
            papers.append(page.evaluate(paper))
        assert papers[0] == papers[1] != papers[2]
        page.keyboard.press("?")
        assert page.get_by_text("search layers, images").is_visible()
        visit.assert_quiet("file://")


def test_nothing_moves_for_those_who_ask_for_it(browser, hostile):
    animation = "e => getComputedStyle(e).animationName"
    for wish, expected in (("no-preference", "lit"), ("reduce", "none")):
        with visited(browser, page_uri(hostile) + "#probe/1", reduced_motion=wish) as visit:
            assert visit.page.locator("[id='probe/1']").evaluate(animation) == expected


@pytest.mark.parametrize("name", ["deep", "hostile", "two_inputs"])
def test_text_of_a_diagram_fits_its_boxes(browser, name):
    spill = """() => [...document.querySelectorAll('svg.diagram .node')].flatMap(node => {
      const box = node.querySelector('rect').getBBox();
      return [...node.querySelectorAll('text')].filter(text => {
        const t = text.getBBox();
        return t.x < box.x || t.x + t.width > box.x + box.width
          || t.y < box.y || t.y + t.height > box.y + box.height;
      }).map(text => text.textContent);
    })"""
    with visited(browser, page_uri(report_of(name))) as visit:
        visit.page.eval_on_selector_all("details", "all => all.forEach(d => { d.open = true; })")
        assert visit.page.locator("svg.diagram .node").count() > 4
        assert visit.page.evaluate(spill) == []
