"""Two long sections are made side by side, and nothing of that is seen in a report."""

from __future__ import annotations

import threading
import time

import models
import numpy as np
import pytest

import reportgen
from reportgen import pipeline
from reportgen.errors import NotApplicable, SectionError

BOTH = ("overview", "relevance", "features")
QUICK = {"units": ("class:0",), "feature_steps": 32, "relevance": ("saliency",)}


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch):
    """Tests run side by side, and have one core each elsewhere."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")


def built(tmp_path, sections=BOTH, **options):
    given = {"probes": models.images(2), **QUICK, "sections": sections, **options}
    return reportgen.build_report(models.saved("plain"), output=tmp_path / "report", **given)


def made_by(monkeypatch, **collect):
    """Let sections be collected by other functions."""
    makers = tuple(
        maker._replace(collect=collect.get(maker.kind, maker.collect))
        for maker in pipeline.SECTIONS
    )
    monkeypatch.setattr(pipeline, "SECTIONS", makers)


def waiting(event, seconds=20):
    if not event.wait(seconds):
        raise TimeoutError


def collector(kind):
    return next(maker.collect for maker in pipeline.SECTIONS if maker.kind == kind)


def test_both_are_under_way_at_once(tmp_path, monkeypatch):
    meet, relevance, features = threading.Barrier(2), collector("relevance"), collector("features")

    def first(context, observed):
        meet.wait(20)
        return relevance(context, observed)

    def second(context, observed):
        meet.wait(20)
        return features(context, observed)

    made_by(monkeypatch, relevance=first, features=second)
    assert built(tmp_path).failed == ()


def prepared_by(monkeypatch, ahead):
    """Let another function do what features can do before the round over the images."""
    makers = tuple(
        maker._replace(ahead=ahead if maker.kind == "features" else None)
        for maker in pipeline.SECTIONS
    )
    monkeypatch.setattr(pipeline, "SECTIONS", makers)


def test_pictures_are_prepared_beside_the_round_over_the_probes(tmp_path, monkeypatch):
    meet, show = threading.Barrier(2), pipeline._show
    maker = next(maker for maker in pipeline.SECTIONS if maker.kind == "features")

    def ahead(context):
        meet.wait(20)
        maker.ahead(context)

    def shown(*given):
        meet.wait(20)
        show(*given)

    prepared_by(monkeypatch, ahead)
    monkeypatch.setattr(pipeline, "_show", shown)
    assert built(tmp_path).failed == ()


def test_a_preparation_that_fails_spoils_nothing(tmp_path, monkeypatch):
    tried = threading.Event()

    def ahead(_):
        tried.set()
        raise ZeroDivisionError

    alone = built(tmp_path / "alone").report
    prepared_by(monkeypatch, ahead)
    folder = built(tmp_path / "tried")
    assert tried.is_set()
    assert folder.failed == ()
    assert folder.report.section("features") == alone.section("features")


def test_the_report_is_the_one_of_sections_made_alone(tmp_path):
    both = built(tmp_path / "both").report
    for kind in ("relevance", "features"):
        alone = built(tmp_path / kind, ("overview", kind)).report
        assert both.section(kind) == alone.section(kind)


def test_an_evaluation_that_asks_the_network_again_says_the_same(tmp_path):
    """Whether the graph is optimised is one option of the process; last digits hang on it."""
    data, others = (models.images(200), np.arange(200) % 4), ("evaluation", "probes", "relevance")
    options = {"data": data, "probes": None, "fresh": True}
    alone = built(tmp_path / "alone", others, **options).report
    beside = built(tmp_path / "beside", (*others, "features"), **options).report
    for kind in others:
        assert beside.section(kind) == alone.section(kind)


def test_one_that_fails_fails_in_its_place(tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("by us")

    made_by(monkeypatch, features=broken)
    folder = built(tmp_path)
    assert folder.failed == ("features",)
    notices = folder.report.section("features").notices
    assert "ZeroDivisionError" in notices[0].text or "by us" in notices[0].text
    assert folder.report.section("relevance").content is not None


def test_where_both_fail_for_one_reason_the_first_of_the_page_tells_it(tmp_path, monkeypatch):
    late = threading.Event()

    def slowly(*_):
        waiting(late)
        raise NotImplementedError("the reason")

    def at_once(*_):
        late.set()
        raise NotImplementedError("the reason")

    made_by(monkeypatch, relevance=slowly, features=at_once)
    report = built(tmp_path).report
    texts = [report.section(kind).notices[0].text for kind in ("relevance", "features")]
    assert "the reason" in texts[0]
    assert "Relevance says why" in texts[1]


def test_who_does_not_wait_for_it_ends_it(tmp_path, monkeypatch):
    """A build that ends early leaves no thread behind, and does not wait for all steps of all units."""
    begun, ended, features = threading.Event(), threading.Event(), collector("features")

    def second(context, observed):
        begun.set()
        try:
            return features(context, observed)
        finally:
            ended.set()

    def first(*_):
        waiting(begun)
        raise ZeroDivisionError

    made_by(monkeypatch, relevance=first, features=second)
    before = time.monotonic()
    units = tuple(f"class:{k}" for k in range(4))
    with pytest.raises(SectionError, match="Relevance"):
        built(tmp_path, strict=True, feature_steps=10_000, units=units)
    assert ended.is_set()
    assert time.monotonic() - before < 60
    assert not (tmp_path / "report").exists()


def halved(images):
    return images / 2


@pytest.mark.parametrize("how", ["budget", "the user's function", "inapplicable"])
def test_it_is_made_behind_the_other_one_where_time_counts_or_users_code_runs(
    tmp_path, monkeypatch, how
):
    """And where there is no other one."""
    where, features = [], collector("features")

    def second(context, observed):
        where.append(threading.current_thread())
        return features(context, observed)

    def first(*_):
        raise NotApplicable("not here")

    made_by(monkeypatch, features=second)
    if how == "budget":
        built(tmp_path, budget=600)
    elif how == "the user's function":
        built(tmp_path, preprocess=halved)
    else:
        made_by(monkeypatch, relevance=first)
        built(tmp_path, ("overview", "features"))
    assert where == [threading.main_thread()]


class Seen:
    """Progress as a terminal would have it."""

    def __init__(self):
        self.stages = []

    def stage(self, text, total=None):
        self.stages.append([text, total, 0])

    def advance(self, steps=1):
        self.stages[-1][2] += steps


def test_how_far_it_is_is_seen_when_it_is_waited_for(tmp_path, monkeypatch):
    """Here the first unit is done before, and two later: a bar begins at one and counts on."""
    first, waited, features = threading.Event(), threading.Event(), collector("features")

    def relevance(*_):
        waiting(first)
        raise NotApplicable("done")

    def second(context, observed):
        context.tools.progress.stage("Pictures", 3)
        context.tools.progress.advance()
        first.set()
        waiting(waited)
        context.tools.progress.advance(2)
        return features(context, observed)

    class Waited(Seen):
        def stage(self, text, total=None):
            super().stage(text, total)
            if text == "Pictures":
                threading.Timer(0.2, waited.set).start()

    made_by(monkeypatch, relevance=relevance, features=second)
    seen = Waited()
    built(tmp_path, progress=seen)
    names = [name for name, _, _ in seen.stages]
    at = names.index("Pictures")
    assert seen.stages[at] == ["Pictures", 3, 3]
    assert names[at - 1 : at + 2] == ["Features", "Pictures", "Feature visualization"]
    assert "Pictures" not in names[: names.index("Features")]
