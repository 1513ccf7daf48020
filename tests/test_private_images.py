"""Images that are to stay out of a report: no picture shows them, all numbers stay."""

from __future__ import annotations

import models
import numpy as np
import pytest

from reportgen import build_report
from reportgen.errors import UsageError
from reportgen.page.look import Look
from reportgen.page.render import summary_text

IMAGES, LABELS = models.images(8), np.arange(8) % 2


def built(place, name="classifier", **options):
    return build_report(models.saved(name), output=place, seed=1, feature_steps=8, **options)


def grey(made):
    """The picture that stands in place of those that are left out."""
    (name,) = {
        p.name
        for p in (made.path / "assets").glob("*.svg")
        if b'width="120" height="90" fill="#888"' in p.read_bytes()
    }
    return name


def rasters(made):
    """Pictures that could show an image: all but drawings of numbers."""
    return {name for name in made.report.assets if not name.endswith(".svg")}


def optimised(made):
    return {
        one.src.rpartition("/")[2]
        for unit in made.report.section("features").content.units
        for one in unit.images
    }


def verdicts(made):
    content = made.report.section("relevance").content
    return [(one.probe, one.method, one.verdict, one.peak) for one in content.maps]


@pytest.fixture(scope="module")
def of_weights(tmp_path_factory):
    """Pictures of kernels."""
    return rasters(built(tmp_path_factory.mktemp("weights"), sections=("weights",)))


def test_without_images_no_picture_shows_one_and_the_numbers_stay(tmp_path, of_weights):
    given = {"probes": IMAGES, "data": (IMAGES, LABELS)}
    shown = built(tmp_path / "shown", **given)
    hidden = built(tmp_path / "hidden", **given, images=False)
    assert rasters(hidden) == of_weights | optimised(hidden)
    assert len(rasters(shown)) > len(rasters(hidden)) + 10
    assert verdicts(hidden) == verdicts(shown)
    found, expected = (one.report.section("evaluation").content.result for one in (hidden, shown))
    assert (found.accuracy, found.matrix) == (expected.accuracy, expected.matrix)
    page = (hidden.path / "index.html").read_text()
    assert f"assets/{grey(hidden)}" in page
    assert "Pictures of images are left out of this report" in page
    assert hidden.report.summary.picture is None
    assert "![" not in summary_text(hidden.report, Look(base_url="https://example.org/r"))
    assert "--no-images" in page or "images=False" in page


def test_without_images_of_the_data_set_the_probes_stay(tmp_path):
    lean = {"probes": IMAGES[:3], "skip": ("features", "relevance")}
    alone = built(tmp_path / "alone", **lean)
    hidden = built(tmp_path / "hidden", **lean, data=(IMAGES, LABELS), data_images="none")
    assert rasters(hidden) == rasters(alone)
    result = hidden.report.section("evaluation").content.result
    (one, *_) = (*result.mistakes, *result.hesitant)
    assert one.figure.src == f"assets/{grey(hidden)}"
    assert one.figure.alt.startswith("Picture left out: ")


def test_probes_that_are_drawn_from_the_data_set_are_of_it(tmp_path, of_weights):
    hidden = built(
        tmp_path, data=(IMAGES, LABELS), data_images="none", skip=("features", "relevance")
    )
    assert rasters(hidden) == of_weights


@pytest.mark.parametrize("name", ["segmentation", "autoencoder"])
def test_masks_and_made_images_are_left_out_too(tmp_path, name):
    images = models.images(2, 16 if name == "segmentation" else 12)
    hidden = built(tmp_path / "hidden", name, probes=images, images=False, skip="features")
    alone = built(tmp_path / "alone", name, sections=("weights",))
    assert rasters(hidden) == rasters(alone)


def test_an_exaggerated_probe_is_left_out(tmp_path):
    given = {"probes": IMAGES[:2], "sections": ("features",), "caricature": 0}
    asked = {"units": (), "images": False}
    hidden = built(tmp_path / "hidden", **given, **asked)
    units = hidden.report.section("features").content.units
    caricatures = [unit for unit in units if unit.kind == "caricature"]
    assert caricatures
    for unit in caricatures:
        assert {one.src for one in unit.images} == {f"assets/{grey(hidden)}"}


def test_a_series_is_left_out_too(tmp_path):
    import keras

    start = keras.Input((20, 3))
    pooled = keras.layers.GlobalAveragePooling1D()(keras.layers.Conv1D(4, 3)(start))
    model = keras.Model(start, keras.layers.Dense(2, activation="softmax")(pooled))
    series = np.random.default_rng(0).random((3, 20, 3)).astype("float32")
    hidden = build_report(model, probes=series, images=False, skip="features", output=tmp_path)
    content = hidden.report.section("probes").content
    for probe in content.probes:
        assert {one.figure.src for one in probe.received} == {f"assets/{grey(hidden)}"}


def test_values_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="--data-images takes all or none"):
        build_report(models.saved("binary"), data_images="some")
