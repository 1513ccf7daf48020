"""Rules on hand-made facts: what fires, what passes, what does not apply; the gate, JUnit and check."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import keras
import msgspec
import pages
import pytest

from reportgen import build_report, cli
from reportgen.findings.architecture import train_only_layers
from reportgen.findings.facts import DEFAULTS
from reportgen.findings.judge import RULES, judge, verdict
from reportgen.findings.junit import junit_xml
from reportgen.page.summary import summarise
from reportgen.report.content.activations import ActivationsContent, CallRow
from reportgen.report.content.architecture import ArchitectureContent, LayerRow
from reportgen.report.content.health import BatchNormHealth, InitialFit, KernelHealth, Spectrum
from reportgen.report.content.probes import (
    ClassificationResult,
    Control,
    NormalizationMatch,
    Preprocessing,
    ProbeResult,
    ProbesContent,
    Score,
)
from reportgen.report.content.weights import Variable, WeightsContent
from reportgen.report.leaves import Histogram, Notice, ProbeLabel
from reportgen.report.model import Section

HEALTH = KernelHealth(
    filters=32, each=144, zero=0, zero_filters=(), near_zero=0, duplicates=0, duplicate_filters=(),
    dominance=0.01, sqnr=35.0, range_ratio=2.0,
    initial=InitialFit("he_normal", declared=True, distance=0.2, sample=4608, outside=30),
    spectrum=Spectrum(144, 32, effective_rank=20.0, sigma=1.0, edge=2.0, alpha=3.0, alpha_distance=0.1),
)  # fmt: skip
BN = BatchNormHealth(
    "bn", 32, dead=0, dead_channels=(), before_relu=True, fresh_statistics=False,
    fresh_scale=False, zero_variance=0, negative_variance=0,
)  # fmt: skip
KERNEL = Variable(
    path="conv/kernel", layer="conv", layer_class="Conv2D", name="kernel", role="kernel",
    shape=(3, 3, 16, 32), dtype="float32", trainable=True, count=4608, zeros=0, nan=0, inf=0, min=-0.4,
    max=0.4, mean=0.0, std=0.1, p1=-0.2, p25=-0.05, p50=0.0, p75=0.05, p99=0.2, l2=6.8,
    histogram=Histogram(), digest="", initializer="he_normal", compute_dtype="float32", health=HEALTH,
)  # fmt: skip
change = msgspec.structs.replace


def weights(*variables, norms=()):
    content = WeightsContent(tuple(variables), (), 0, 0, 0, 0, 0, batch_norms=tuple(norms))
    return Section("weights", "Weights", content=content)


def with_health(**fields):
    return change(KERNEL, health=change(HEALTH, **fields))


def row(**fields):
    plain = CallRow("act", "act", "ReLU", 0, (4, 4, 10), 1280, 10, 0.5, 1.0, 0.0, 4.0, 100, 0, 0)
    return change(plain, **fields)


def activations(*rows, images=8):
    return Section("activations", "A", content=ActivationsContent(images, tuple(rows), ()))


def probe(index, top, *, label=None, p=0.99, gap=10.0, **fields):
    scores = (Score(top, f"class {top}", p), Score(9, "class 9", 0.001))
    correct = None if label is None else label == top
    result = ClassificationResult(
        "out", scores, entropy=gap / 7 + index / 100, classes=10, correct=correct, label_probability=None,
        softmaxed=False, **{"total": 1.0, "logit_gap": gap, **fields},
    )  # fmt: skip
    given = None if label is None else ProbeLabel(str(label), label)
    return ProbeResult(index, f"p{index}", None, "array", given, None, (), (result,))


def probes(*results, **fields):
    plain = Preprocessing("none", "", "given", "")
    content = ProbesContent(tuple(results), len(results), plain, None, **fields)
    return Section("probes", "Probes", content=content)


MATCH = NormalizationMatch("bn", 0.3, 0.4)
SAME = tuple(Control(kind, 3, 98.0) for kind in ("black", "white", "noise", "ramp", "halves"))
PREDICTED = [(label, (label + 1) % 5) for label in range(5)] * 2

FIRES = {
    "non-finite-weights": (weights(change(KERNEL, nan=2)), "error", "conv"),
    "all-zero-variable": (weights(change(KERNEL, zeros=4608)), "error", "conv"),
    "beyond-dtype": (weights(change(KERNEL, compute_dtype="float16", max=70000.0)), "error", "conv"),
    "batch-norm-untouched": (weights(norms=[change(BN, fresh_statistics=True)]), "error", "bn"),
    "moving-variance": (weights(norms=[change(BN, zero_variance=8)]), "warning", "bn"),
    "kernel-at-initialisation": (
        weights(with_health(initial=InitialFit("he_normal", True, 0.02, 4608, 0))),
        "warning",
        "conv",
    ),
    "constant-kernel": (weights(change(KERNEL, min=0.5, max=0.5)), "error", "conv"),
    "bias-at-initial-value": (
        weights(KERNEL, change(KERNEL, path="conv/bias", role="bias", count=32, zeros=32, health=None,
                               initializer="zeros")),
        "warning",
        "conv",
    ),
    "zero-filters": (weights(with_health(zero=13, zero_filters=(1, 2))), "warning", "conv"),
    "near-zero-filters": (weights(with_health(near_zero=10)), "info", "conv"),
    "duplicate-filters": (weights(with_health(duplicates=8)), "warning", "conv"),
    "head-rank": (
        weights(change(with_health(spectrum=Spectrum(64, 10, 1.1, 1, 1, 1, 1)), layer_class="Dense")),
        "warning",
        "conv",
    ),
    "dominant-weight": (weights(with_health(dominance=0.8)), "warning", "conv"),
    "scale-out-of-line": (
        weights(*[change(KERNEL, layer=f"c{i}", l2=6.8 * (1e4 if i == 3 else 1)) for i in range(5)]),
        "warning",
        "c3",
    ),
    "bias-out-of-line": (
        weights(KERNEL, change(KERNEL, path="conv/bias", role="bias", count=32, min=-1000.0, health=None)),
        "warning",
        "conv",
    ),
    "rounded-kernel": (weights(with_health(levels=255)), "warning", "conv"),
    "int8-friendliness": (weights(with_health(sqnr=12.0)), "info", "conv"),
    "units-cannot-fire": (
        weights(norms=[change(BN, dead=13, dead_channels=(1, 2))]), "warning", "bn",
    ),
    "silent-units": (activations(row(silent=6), images=64), "warning", "act"),
    "non-finite-activations": (activations(row(non_finite=3)), "error", "act"),
    "activation-growth": (
        activations(*[row(id=f"a{i}", std=1e4 if i > 5 else 1.0) for i in range(9)]), "info", "",
    ),
    "input-range": (probes(probe(0, 1), normalization=change(MATCH, distance=4.0)), "warning", "bn"),
    "channel-order": (
        probes(probe(0, 1), normalization=NormalizationMatch("bn", 1.0, 0.2)), "info", "bn",
    ),
    "confidently-wrong": (probes(probe(0, 1, label=2)), "info", ""),
    "constant-output": (
        probes(*[probe(i, 3, gap=97.0 + i) for i in range(4)], controls=SAME), "error", "",
    ),
    "over-confident-head": (probes(*[probe(i, i, gap=300.0) for i in range(4)]), "warning", ""),
    "rolled-labels": (
        probes(*[probe(i, b, label=a) for i, (a, b) in enumerate(PREDICTED)]), "warning", "",
    ),
    "softmax-twice": (
        probes(*[probe(i, i, logits_sum_to_one=True) for i in range(3)]), "warning", "",
    ),
}  # fmt: skip
PASSES = [
    weights(KERNEL, norms=[BN]),
    activations(row()),
    probes(*[probe(i, i, label=i) for i in range(10)], normalization=MATCH),
]


@pytest.mark.parametrize("rule", FIRES)
def test_a_rule_fires_where_it_should(rule):
    section, severity, layer = FIRES[rule]
    found = [f for f in judge([section]).findings if f.rule == rule]
    assert [(f.severity, f.where.layer) for f in found] == [(severity, layer)]
    assert found[0].observed
    assert found[0].threshold


def test_nothing_fires_on_healthy_facts():
    judged = judge(PASSES)
    assert judged.findings == ()
    assert {check.rule for check in judged.passed} | {c.rule for c in judged.not_applicable} == {
        rule.id for rule in RULES
    }


def test_without_facts_nothing_applies():
    judged = judge([])
    assert judged.findings == ()
    assert judged.passed == ()
    assert all(check.reason for check in judged.not_applicable)


def test_few_are_information_and_the_cause_is_named_once():
    assert judge([weights(with_health(zero=1))]).findings[0].severity == "info"
    assert judge([weights(norms=[change(BN, dead=1)])]).findings[0].severity == "info"
    broken = judge([weights(change(KERNEL, nan=1)), activations(row(non_finite=5))])
    assert [f.rule for f in broken.findings] == ["non-finite-weights"]
    collapsed = judge([FIRES["constant-output"][0]])
    same = [probe(i, 3, gap=97.0 + i) for i in range(4)]
    alike = judge([probes(*same, controls=SAME, different=3)]).findings
    assert "constant-output" not in {f.rule for f in alike}
    assert judge([probes(*same, controls=SAME, different=4)]).findings == collapsed.findings
    assert [f.rule for f in collapsed.findings] == ["constant-output"]


def test_one_class_for_probes_of_one_class_is_no_collapse():
    results = [probe(i, 3, gap=97.0 + i) for i in range(4)]
    other = (*SAME[:4], Control("halves", 5, 3.0))
    assert judge([probes(*results, controls=other)]).count("error") == 0
    assert judge([probes(*results)]).count("error") == 0


def test_ignored_findings_are_shown_and_do_not_count():
    section = weights(change(KERNEL, nan=1), change(KERNEL, path="b/kernel", layer="b", nan=1))
    judged = judge([section], ["non-finite-weights:con*"])
    assert judged.count("error") == 1
    assert [f.accepted for f in judged.findings] == ["", "non-finite-weights:con*"]
    assert judged.reaches("error")
    assert not judge([section], ["non-finite-weights"]).reaches("warning")
    assert verdict(judged).startswith("1 error;")


def test_thresholds_can_be_moved():
    section = FIRES["duplicate-filters"][0]
    assert judge([section], thresholds={"duplicate-filters": 0.5}).count("warning") == 0


def test_junit_holds_any_text():
    hostile = "<a&\"'\x00\x1b]]>\ud800"
    section = weights(change(KERNEL, layer=hostile, path=hostile, nan=1))
    judged = judge([section, *PASSES[1:]])
    root = ET.fromstring(junit_xml(judged, hostile, None))  # noqa: S314 - ours
    assert len(root) == int(root.get("tests")) == len(RULES)
    assert int(root.get("failures")) == 1
    assert int(root.get("skipped")) == len(judged.not_applicable)


def test_rules_are_named_once_and_thresholds_belong_to_rules():
    names = [rule.id for rule in RULES]
    assert len(set(names)) == len(names)
    assert set(DEFAULTS) <= set(names)
    assert set(FIRES) <= set(names)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    import models

    from reportgen import build_report

    out = tmp_path_factory.mktemp("check") / "out"
    build_report(models.model("nan"), probes=models.images(), output=out)
    return out


def test_check_judges_again_and_writes_nothing(broken, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = pages.tree(broken)
    assert cli.run(["check", str(broken)]) == 0
    assert cli.run(["check", str(broken), "--fail-on", "error", "--junit", "f.xml"]) == 4
    assert (
        cli.run(["check", str(broken), "--fail-on", "error", "--ignore", "non-finite-weights"]) == 0
    )
    assert pages.tree(broken) == before
    assert ET.parse("f.xml").getroot().tag == "testsuite"  # noqa: S314 - ours
    summary = json.loads((broken / "report.json").read_text())["summary"]
    assert summary["verdict"] in capsys.readouterr().out
    assert summary["counts"]["error"] >= 1


def test_check_refuses_what_does_not_exist(broken, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["check", str(broken), "--ignore", "no-such-rule"]) == 6
    assert cli.run(["check", str(tmp_path / "nothing")]) == 6
    Path("pyproject.toml").write_text("[tool.reportgen.thresholds]\nno-rule = 1.0\n")
    assert cli.run(["check", str(broken)]) == 6
    assert "Traceback" not in capsys.readouterr().err


def test_check_takes_thresholds_from_the_configuration(broken, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").write_text(
        '[tool.reportgen]\nignore = ["non-finite-weights"]\nfail-on = "error"\n'
    )
    assert cli.run(["check", str(broken)]) == 0


def test_the_summary_is_short_whatever_was_found(broken):
    text = (broken / "summary.md").read_text()
    assert "NaN" in text
    assert len(text) < 4000


def test_warnings_of_sections_count_in_the_verdict_and_say_where_they_stand():
    plain = Section("weights", "Weights", content=weights(KERNEL).content)
    judged = judge([plain])
    assert verdict(judged, [plain]).startswith("No errors, no warnings;")
    told = Section("probes", "Probes", notices=(Notice("warning", "a"), Notice("info", "b")))
    assert verdict(judged, [plain, told]).startswith("a warning in Probes;")
    more = Section("relevance", "Relevance", notices=(Notice("warning", "c"),))
    assert verdict(judged, [plain, told, more]).startswith("2 warnings in Probes and Relevance;")
    facts = SimpleNamespace(name="net")
    summary = summarise([plain, told], facts, None, judged, created="", failed=())
    assert (summary.warned, summary.counts["warning"]) == (1, 0)
    assert "a warning in Probes" in summary.verdict
    assert not judged.reaches("warning")


def test_a_finding_says_how_many_channels_it_does_not_list():
    dead = change(BN, channels=137, dead=137, dead_channels=tuple(range(16)), before_relu=True)
    content = weights(norms=(dead,))
    (hit,) = [f for f in judge([content]).findings if f.rule == "units-cannot-fire"]
    assert (len(hit.where.channels), hit.where.more) == (16, 121)


def test_chosen_probes_have_no_share_of_right_ones_and_their_mistakes_are_no_findings():
    chosen = ProbesContent(
        probes=(), total=100, preprocessing=Preprocessing("none", "", "given", ""), resize=None, labelled=8,
        correct=4, chosen=True,
    )  # fmt: skip
    even = change(chosen, chosen=False, interval=(0.2152, 0.7848))
    numbers = []
    for content in (chosen, even):
        section = Section("probes", "Probes", content=content)
        judged = judge([section])
        numbers.append(
            {n.label: n.text for n in summarise([section], SimpleNamespace(name=""), None, judged,
                                                created="", failed=()).numbers}
        )  # fmt: skip
        reasons = {check.rule: check.reason for check in judged.not_applicable}
        assert ("chosen for their mistakes" in reasons["confidently-wrong"]) == content.chosen
    unmeasured = {"performance on test data": "not measured"}
    share = "labelled probes correct (95 %: 21.5 % to 78.5 %)"
    assert numbers == [unmeasured, {**unmeasured, share: "4 of 8"}]


def test_a_number_sign_in_a_layers_name_hides_nothing(tmp_path):
    """Channels whose normalization never lets them fire are found in front of their ReLU."""
    start = keras.Input((8, 8, 3))
    norm = keras.layers.BatchNormalization(name="n#1")
    x = keras.layers.ReLU()(norm(keras.layers.Conv2D(4, 3, name="c#1")(start)))
    model = keras.Model(start, keras.layers.GlobalAveragePooling2D()(x))
    norm.beta.assign([-9.0, 0, 0, 0])
    made = build_report(model, output=tmp_path, sections=("weights",))
    (hit,) = [f for f in made.report.findings if f.rule == "units-cannot-fire"]
    assert (hit.where.layer, hit.where.channels) == ("n#1", (0,))


def test_zeros_that_a_layer_starts_from_were_not_trained():
    zero = change(KERNEL, zeros=KERNEL.count)
    (found,) = judge([weights(zero)]).findings
    assert (found.rule, found.severity) == ("all-zero-variable", "error")
    (found,) = judge([weights(change(zero, initializer="zeros"))]).findings
    assert (found.rule, found.severity) == ("all-zero-variable", "warning")


def test_columns_of_an_embedding_of_two_rows_are_no_filters():
    alike = change(HEALTH, each=2, duplicates=300, duplicate_filters=(3,))
    kernel = change(KERNEL, health=change(alike, each=4))
    assert [f.rule for f in judge([weights(kernel)]).findings] == ["duplicate-filters"]
    assert not judge([weights(change(kernel, role="embeddings"))]).findings


@pytest.mark.parametrize(("fresh", "count"), [(4, 1), (3, 3)])
def test_normalizations_that_all_saw_nothing_are_one_finding(fresh, count):
    norms = [change(BN, layer=f"bn{i}", fresh_statistics=True) for i in range(fresh)]
    found = judge([weights(norms=norms)]).findings
    assert [f.rule for f in found] == ["batch-norm-untouched"] * count
    seen = change(BN, layer="seen")
    assert len(judge([weights(norms=[*norms, seen])]).findings) == fresh


def test_kernels_that_all_still_are_zero_as_they_start_are_one_finding():
    kernels = [
        change(KERNEL, path=f"k{i}/kernel", layer=f"k{i}", zeros=KERNEL.count, initializer="zeros")
        for i in range(4)
    ]
    (found,) = (f for f in judge([weights(*kernels)]).findings if f.rule == "all-zero-variable")
    assert found.severity == "warning"
    assert found.observed.startswith("all 4 kernels")
    moved = change(kernels[0], zeros=0)
    found = [
        f for f in judge([weights(*kernels[1:], moved)]).findings if f.rule == "all-zero-variable"
    ]
    assert len(found) == 3
    lost = change(kernels[0], initializer="glorot_uniform")
    found = [f for f in judge([weights(*kernels, lost)]).findings if f.rule == "all-zero-variable"]
    assert sorted(f.severity for f in found) == ["error", "warning"]


@pytest.mark.parametrize(
    ("name", "found"), [("RandomFlip", True), ("RandAugment", True), ("RandomFrequencies", False)]
)
def test_a_layer_that_is_called_random_is_no_augmentation(name, found):
    rows = [SimpleNamespace(class_name=name, path="layer")]
    hits = train_only_layers(SimpleNamespace(architecture=SimpleNamespace(layers=rows)))
    assert [hit.observed for hit in hits] == ([name] if found else [])


@pytest.mark.parametrize(
    ("each", "severities"), [(2, []), (3, []), (4, ["info"]), (8, ["warning"])]
)
def test_filters_of_two_or_three_values_are_alike_by_chance(each, severities):
    health = change(HEALTH, each=each, filters=32, duplicates=12, initial=None)
    found = judge([weights(change(KERNEL, health=health))]).findings
    assert [f.severity for f in found if f.rule == "duplicate-filters"] == severities


def test_dead_units_are_told_from_inactive_ones():
    """A BatchNormalization kills channels for good; the layer that reads it is where they are inactive."""
    layers = (
        LayerRow("bn", "bn", "BatchNormalization", 0, (), (), 0, 0, 0, None, 1, ("conv",), 0),
        LayerRow("act", "act", "ReLU", 0, (), (), 0, 0, 0, "relu", 1, ("bn",), 0),
    )
    drawn = ArchitectureContent(2, 0, layers, (), (), None, None, 0, 0, None)
    built = Section("architecture", "A", content=drawn)
    seen = activations(row(silent=6))
    dead = weights(norms=[change(BN, dead=3)])
    (one,) = [f for f in judge([built, seen, dead]).findings if f.rule == "silent-units"]
    assert one.observed == (
        "6 of 10 channels on 8 images; 3 are dead: the weights of bn keep them at zero for every image"
    )
    (other,) = [f for f in judge([built, seen, weights()]).findings if f.rule == "silent-units"]
    assert other.observed == "6 of 10 channels on 8 images"
