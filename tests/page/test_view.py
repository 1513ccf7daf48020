"""The page's view of a report: what is joined, what counts in the verdict, what stands first."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from msgspec.structs import replace
from pages import Reader

from reportgen.findings.judge import RULES, Judged, verdict
from reportgen.page.concerns import SECTION_OF, concerns
from reportgen.page.flow import HEIGHT, WIDTH, flow
from reportgen.page.joined import ROWS, layer_cards, probe_cards
from reportgen.page.render import render
from reportgen.page.view import CHAPTERS, answer, given_differs, make_view
from reportgen.report.content.activations import ActivationsContent, CallRow, MapRow, ShownCall
from reportgen.report.content.architecture import ArchitectureContent, Group, LayerRow
from reportgen.report.content.probes import (
    ClassificationResult,
    Preprocessing,
    ProbeResult,
    ProbesContent,
    ReceivedInput,
    RegressionResult,
    Score,
)
from reportgen.report.content.relevance import (
    Evidence,
    MethodFacts,
    RelevanceContent,
    RelevanceMap,
    TargetFacts,
)
from reportgen.report.findings import Check, Finding, Where
from reportgen.report.leaves import Figure, Notice
from reportgen.report.model import Report, Section, Summary
from reportgen.values import SECTIONS

SUMMARY = Summary("net", "2026-01-01T00:00:00Z", "", "", "complete", {}, ())


def figure(mark="0"):
    return Figure(f"assets/{mark * 20}.png", 8, 8, "a picture")


def evidence(advantage):
    return Evidence(0, 0, 0, 0, 0, 0.1, advantage, 0.2, None, (1.0,), (0.0,), (1.0,), (0.0,))


def a_map(probe, method, verdict, advantage=0.5, role="predicted", name="cat", mark="1"):
    target = TargetFacts(
        "class", 0 if role == "predicted" else 1, name, role, 0.9, probability=True
    )
    return RelevanceMap(
        probe, f"{probe}.png", target, method, verdict, None, 1.0, 0.0, (7, 7),
        overlay=figure(mark), evidence=evidence(advantage),
    )  # fmt: skip


def relevance(*maps):
    names = dict.fromkeys(one.method for one in maps)
    methods = tuple(MethodFacts(name, name, "", False, None, None, 1) for name in names)
    content = RelevanceContent("class", methods, maps, (), (), (), "black", quick=False, seed=0)
    return Section("relevance", "Relevance", content=content)


def a_probe(index, correct=None, **changes):
    result = ClassificationResult("class", (Score(0, "cat", 0.9),), 0.1, 2, correct, None, False)
    received = (ReceivedInput("image", figure(), (8, 8, 3), 0, 255, None),)
    fields = {
        "index": index, "name": f"{index}.png", "size": (16, 16), "kind": "PNG, RGB", "label": None,
        "given": figure("2"), "received": received, "outputs": (result,),
    }  # fmt: skip
    return ProbeResult(**{**fields, **changes})


def probes(*shown):
    how = Preprocessing("none", "", "given", "")
    content = ProbesContent(shown, len(shown), how, None)
    return Section("probes", "Probes", content=content)


def layer(path, depth=0, parameters=0, sources=(), group=0):
    return LayerRow(
        path, path.rpartition("/")[2], "Conv2D", depth, ((8, 8, 4),), ("float32",), parameters, parameters, 0,
        None, 1, sources, group,
    )  # fmt: skip


def architecture(*rows, groups=()):
    content = ArchitectureContent(len(rows), 0, rows, groups, (), None, None, 0, 0, None)
    return Section("architecture", "Architecture", content=content)


def finding(rule="zero-filters", severity="warning", where=None, accepted=""):
    where = where or Where(layer="conv")
    return Finding(rule, severity, "Title", where, "seen", "limit", "why", "do", "source", accepted)


def report(*sections, findings=(), not_applicable=()):
    return Report(
        (1, 3), "0", SUMMARY, sections, findings=tuple(findings), not_applicable=not_applicable
    )


def test_every_section_stands_in_one_chapter_and_every_rule_leads_to_a_section():
    kinds = [kind for _, held in CHAPTERS.values() for kind in held]
    assert sorted(kinds) == sorted(SECTIONS)
    assert SECTION_OF.keys() == {rule.id for rule in RULES}
    assert set(SECTION_OF.values()) <= set(SECTIONS)


def test_a_probes_prediction_and_maps_stand_on_one_card_in_the_order_of_the_probes():
    """Relevance puts the probes that are hardest to explain first; the cards keep the probes' own order."""
    true = a_map(0, "gradcam", "weak", role="true", name="dog")
    made = report(
        probes(a_probe(0), a_probe(1)),
        relevance(
            a_map(1, "gradcam", "weak"),
            true,
            a_map(0, "gradcam", "flat"),
            a_map(0, "ig", "supported"),
        ),
    )
    first, second = probe_cards(made)
    assert [first.number, second.number] == [0, 1]
    assert [e.target.name for e in first.explained] == ["cat", "dog"]
    assert [one.method for one in first.explained[0].maps] == ["gradcam", "ig"]
    assert [e.target.role for e in second.explained] == ["predicted"]


def test_the_best_map_is_a_supported_one_before_a_weak_one_with_the_largest_advantage():
    def best(*maps):
        (card,) = probe_cards(report(probes(a_probe(0)), relevance(*maps)))
        return card.best and card.best.method, card.picture

    chosen, picture = best(
        a_map(0, "a", "supported", 0.4), a_map(0, "b", "supported", 0.6, mark="5"),
        a_map(0, "c", "weak", 0.9),
    )  # fmt: skip
    assert (chosen, picture) == ("b", figure("5"))
    weak = a_map(0, "a", "weak", mark="6")
    assert best(weak, a_map(0, "b", "no better than chance", 0.9)) == ("a", figure("6"))
    assert best(a_map(0, "b", "no better than chance", 0.9)) == (None, figure())
    other = a_map(0, "a", "supported", role="true")  # not what the network says
    assert best(other) == (None, figure())


def test_a_tile_shows_the_cam_family_where_it_is_supported_and_says_what_else_it_shows():
    fine = a_map(0, "integrated-gradients", "supported", advantage=0.9, mark="3")
    coarse = a_map(0, "hirescam", "supported", advantage=0.1, mark="4")
    none = a_map(1, "hirescam", "no better than chance")
    weak = a_map(3, "hirescam", "weak", mark="6")
    quick = replace(a_map(2, "gradcam", None), evidence=None)
    made = report(
        probes(*(a_probe(k) for k in range(4))), relevance(fine, coarse, none, quick, weak)
    )
    cards = probe_cards(made)
    assert cards[0].picture == coarse.overlay
    said = ["", "no supported map", "maps not tested", "weak map"]
    assert [card.reservation for card in cards] == said
    assert cards[3].picture == weak.overlay
    page = render(made, "0").html
    assert "A weak map is not clearly better than the middle of the picture." in page
    assert page.count('<span class="soft">no supported map</span>') == 1


def test_the_curves_of_the_evidence_have_a_legend_and_a_scale():
    tested = a_map(0, "hirescam", "supported")
    legend = "insertion: the score while the most relevant areas appear"
    page = render(report(probes(a_probe(0)), relevance(tested)), "0").html
    assert legend in page
    assert "<figcaption>Score from 0 to 1, over 0 to 100 % of the pixels</figcaption>" in page
    left_out = relevance(replace(tested, evidence=None, verdict=None))
    assert legend not in render(report(probes(a_probe(0)), left_out), "0").html


def test_weak_maps_are_named_beside_those_that_are_not_to_be_trusted():
    weak = [a_map(k, "hirescam", "weak") for k in range(2)]
    bad = a_map(2, "hirescam", "no better than chance")
    (concern,) = concerns(report(relevance(*weak, bad)))
    assert concern.text == "1 of 3 relevance maps is not to be trusted"
    assert concern.detail.endswith(
        "; 2 more are weak: not clearly better than the middle of the picture"
    )
    assert "1 more is weak" in concerns(report(relevance(weak[0], bad)))[0].detail
    assert not concerns(report(relevance(*weak)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No network was built: the page shows it.", ("No network was built", "the page shows it")),
        ("Too few. One: two", ("Overview", "Too few. One: two")),
        ("A sentence without a head.", ("Overview", "A sentence without a head.")),
        ("A head that goes on for far longer than anybody reads: b", ("Overview", "A head that goes")),
    ],
)  # fmt: skip
def test_a_warning_leads_with_what_happened(text, expected):
    section = Section("overview", "Overview", notices=(Notice("warning", text),))
    (concern,) = concerns(report(section))
    assert concern.text == expected[0]
    assert concern.detail.startswith(expected[1])
    assert concern.target == "overview"


def test_sections_with_one_reason_stand_together_and_keep_their_anchors():
    told = (Notice("info", "This needs --data PATH, and --weights-only leaves it out."),)
    kinds = ("probes", "relevance", "features")
    other = Section("history", "History", notices=(Notice("info", "No history was given."),))
    made = report(*(Section(kind, kind.title(), notices=told) for kind in kinds), other)
    assert [len(group) for group in make_view(made).missing] == [3, 1]
    page = render(made, "0").html
    assert page.count("and <code") == 1
    assert (
        '<code class="flag">--data PATH</code>, and <code class="flag">--weights-only</code> leaves'
        in page
    )
    for kind in (*kinds, "history"):
        assert f'<strong id="{kind}">' in page


def test_maps_without_predictions_make_cards_of_their_own():
    (card,) = probe_cards(report(relevance(a_map(3, "a", "supported"))))
    assert (card.number, card.name, card.probe) == (3, "3.png", None)


def test_a_layer_has_its_calls_maps_findings_and_readers_on_one_card():
    call = CallRow("conv", "conv", "Conv2D", 0, (8, 8, 4), 1, 4, 0.0, 1.0, 0.0, 1.0, 0, 0, 0)
    again = CallRow("conv#2", "conv", "Conv2D", 0, (8, 8, 4), 1, 4, 0.0, 1.0, 0.0, 1.0, 0, 0, 0)
    shown = ShownCall(
        "conv", "conv", "Conv2D", "maps", (0,), 4, 0.0, 1.0, (8, 8), False, 1,
        (MapRow(0, "0.png", figure(), 0.0, 1.0),),
    )  # fmt: skip
    activations = Section(
        "activations", "Activations", content=ActivationsContent(1, (call, again), (shown,))
    )
    rows = (
        layer("input"),
        layer("conv", sources=("input", "conv")),
        layer("out", sources=("conv#2",)),
    )
    made = report(architecture(*rows), activations, probes(a_probe(0)), findings=[finding()])
    cards = {card.path: card for card in layer_cards(made)}
    conv = cards["conv"]
    assert [one.id for one in conv.calls] == ["conv", "conv#2"]
    assert (len(conv.shown), len(conv.findings), conv.worst) == (1, 1, "warning")
    assert cards["input"].readers == ("conv",)
    assert conv.readers == ("conv", "out")
    ((call_of_probe, row),) = probe_cards(made)[0].layers
    assert (call_of_probe.id, row.probe) == ("conv", 0)


def test_without_architecture_layers_come_from_what_there_is():
    call = CallRow("a/conv", "a/conv", "Conv2D", 1, (8, 8, 4), 1, 4, 0.0, 1.0, 0.0, 1.0, 0, 0, 0)
    section = Section("activations", "Activations", content=ActivationsContent(1, (call,), ()))
    (card,) = layer_cards(report(section))
    assert (card.path, card.class_name, card.row) == ("a/conv", "Conv2D", None)


def test_of_many_layers_those_with_findings_and_weight_are_shown_first():
    rows = [layer(f"l{k}", parameters=k % 7) for k in range(100)]
    rows[40] = layer("l40", parameters=10**6)
    found = [finding(where=Where(layer=f"l{k}")) for k in (33, 66)]
    found.append(finding(where=Where(layer="l70"), accepted="zero-filters"))
    cards = layer_cards(report(architecture(*rows), findings=found))
    shown = {card.path for card in cards if card.matters}
    assert len(shown) == ROWS
    assert {"l0", "l33", "l40", "l66", "l99"} <= shown
    assert all(card.matters for card in layer_cards(report(architecture(*rows[: ROWS + 4]))))


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (report(findings=[finding(accepted="zero-filters")]), []),
        (report(findings=[finding(severity="info")]), []),
        (
            report(findings=[finding(), finding(where=Where(layer="b"))]),
            [("warning", "rule/zero-filters/warning")],
        ),
        (
            report(findings=[finding(), finding("non-finite-weights", "error")]),
            [("error", "rule/non-finite-weights/error"), ("warning", "rule/zero-filters/warning")],
        ),
        (
            report(Section("probes", "Probes", notices=(Notice("warning", "a"), Notice("info", "b")))),
            [("warning", "probes")],
        ),
        (
            report(Section("weights", "Weights", notices=(Notice("error", "failed"),))),
            [("error", "weights")],
        ),
        (
            report(
                not_applicable=(
                    Check("a", "A", "", "", "the rule failed: x"), Check("b", "B", "", "", "no data"),
                )
            ),
            [("error", "checks")],
        ),
        (
            report(relevance(a_map(0, "a", "no better than chance"), a_map(0, "b", "fails the sanity check"))),
            [("warning", "relevance")],
        ),
        (report(relevance(a_map(0, "a", "weak"), a_map(0, "b", "supported"))), []),
    ],
)  # fmt: skip
def test_everything_that_speaks_against_the_report_counts_and_leads_to_its_evidence(made, expected):
    assert [(concern.level, concern.target) for concern in concerns(made)] == expected
    view = make_view(made)
    worst = expected[0][0] if expected else ""
    assert view.mood == {"error": "bad", "warning": "warn", "": "good"}[worst]
    assert ("No problems" in view.headline) == (not expected)


def test_chapters_carry_the_marks_of_the_concerns_whose_evidence_they_show():
    made = report(
        architecture(layer("conv")), probes(a_probe(0)), relevance(a_map(0, "a", "no better than chance")),
        Section("evaluation", "Evaluation", notices=(Notice("info", "No data set was given"),)),
        findings=[finding(), finding("non-finite-weights", "error")],
    )  # fmt: skip
    view = make_view(made)
    assert list(view.chapters) == ["predictions", "network", "details"]
    assert [(c.mark, c.worries, c.held) for c in view.chapters.values()] == [
        ("warn", 1, "1"), ("bad", 2, "1"), ("", 0, ""),
    ]  # fmt: skip
    assert [[one.kind for one in group] for group in view.missing] == [["evaluation"]]
    assert "accuracy (no labelled data set)" in view.not_judged


def test_an_answer_is_said_in_a_few_words():
    said = answer(a_probe(0, correct=False).outputs[0])
    assert (said.text, said.share, said.correct) == ("cat", "90.0 %", False)
    assert answer(RegressionResult("age", (1.5, 2.0), 2)).text == "1.5, …"


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({}, False),  # twice as large, else the same
        ({"size": (32, 16)}, True),  # stretched
        ({"kind": "PNG, L"}, False),  # grey in three channels looks the same
        ({"notes": ("turned by its EXIF orientation",)}, True),
        ({"received": (ReceivedInput("image", None, (8, 8, 7), 0, 1, None),)}, True),
        ({"received": (ReceivedInput("image", figure(), (8, 8, 3), 0, 9, (1.0, 2.0)),)}, True),
        ({"received": (ReceivedInput("image", figure(), (8, 8, 1), 0, 255, None),), "kind": "PNG, L"}, False),
        ({"received": (ReceivedInput("image", figure(), (8, 8, 1), 0, 255, None),)}, True),  # lost its colours
    ],
)  # fmt: skip
def test_a_picture_is_shown_twice_only_where_more_than_its_size_changed(changes, differs):
    assert given_differs(a_probe(0, **changes)) == differs


def test_blocks_of_the_flow_fill_the_strip_and_shrink_with_the_resolution():
    groups = (
        Group("Input", ("input",), None, (32, 32, 3)),
        Group("Conv2D", ("conv",), None, (8, 8, 64)),
        Group("again", (), None, (8, 8, 64)),  # holds no layers of its own
        Group("Dense", ("out",), None, (10,)),
    )
    made = report(
        architecture(layer("input"), layer("conv"), layer("out"), groups=groups),
        findings=[finding()],
    )
    blocks = flow(made.sections[0].content, layer_cards(made))
    assert [block.group for block in blocks] == [0, 1, 3]
    assert [block.mark for block in blocks] == ["", "warn", ""]
    heights = [block.height for block in blocks]
    assert heights[0] == HEIGHT
    assert heights == sorted(heights, reverse=True)
    assert blocks[1].width > blocks[0].width
    assert blocks[-1].x + blocks[-1].width == pytest.approx(WIDTH, abs=0.2)
    assert all(block.y + block.height == pytest.approx(HEIGHT) for block in blocks)


def whole_report():
    call = CallRow("conv", "conv", "Conv2D", 0, (8, 8, 4), 1, 4, 0.0, 1.0, 0.0, 1.0, 0, 0, 0)
    shown = ShownCall(
        "conv", "conv", "Conv2D", "maps", (0,), 4, 0.0, 1.0, (8, 8), False, 1,
        (MapRow(0, "0.png", figure(), 0.0, 1.0),),
    )  # fmt: skip
    activations = ActivationsContent(1, (call,), (shown,))
    found = [
        finding(),
        finding("confidently-wrong", where=Where(probe=0)),
        finding("overfitting", where=Where()),
    ]
    return report(
        architecture(
            layer("input"), layer("conv", sources=("input",)),
            groups=(Group("a", ("conv",), None, (8, 8, 4)),),
        ),
        probes(a_probe(0, correct=False)),
        Section("activations", "Activations", content=activations),
        relevance(a_map(0, "gradcam", "supported"), a_map(0, "gradcam", "weak", role="true", name="dog")),
        Section("evaluation", "Evaluation", notices=(Notice("info", "No data set was given"),)),
        findings=found,
    )  # fmt: skip


def states():
    """Yield a report with every section failed, alone, left out and not made, one at a time."""
    made = whole_report()
    yield made
    for section in made.sections:
        failed = replace(section, content=None, lead="", notices=(Notice("error", "failed"),))
        silent = replace(section, content=None, lead="", notices=(Notice("info", "not made"),))
        for other in (failed, silent):
            yield replace(made, sections=tuple(other if s is section else s for s in made.sections))
        yield replace(made, sections=(section,))
        yield replace(made, sections=tuple(s for s in made.sections if s is not section))


@pytest.mark.parametrize("made", states())
def test_in_every_state_ids_are_unique_and_every_link_leads_somewhere(made):
    page = Reader()
    page.feed(render(made, "0" * 64).html)
    page.close()
    assert not page.open
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {unquote(a["href"][1:]) for _, a in page.elements if a.get("href", "").startswith("#")}
    assert links <= set(ids)
    assert {str(section.kind) for section in made.sections} <= set(ids)  # old anchors too


def test_the_one_line_verdict_counts_as_the_page_does():
    """What the terminal and report.json say: a rule once, with its places, and maps without support."""
    found = [finding(where=Where(layer=layer)) for layer in "abc"] + [
        finding("non-finite-weights", "error")
    ]
    judged = Judged((*found, finding("x", accepted="x")), (), ())
    section = relevance(a_map(0, "a", "no better than chance"), a_map(0, "b", "supported"))
    said = verdict(judged, [section])
    assert said.startswith("1 error, 1 warning in 3 places, 1 of 2 relevance maps not supported;")
    assert make_view(report(section, findings=found)).headline == "1 error and 2 warnings"
