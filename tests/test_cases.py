"""Situations that people reported, with the right value from Keras itself on the very same files."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops
from pages import page_text
from PIL import Image, ImageOps
from scipy import stats

import reportgen
from reportgen.errors import InputError, UsageError


def by_brightness(first):
    """Return a network that tells dark from bright by the mean of what its first layer hands on."""
    entry = keras.Input((8, 8, 1), name="picture")
    mean = layers.GlobalAveragePooling2D()(first(entry))
    head = layers.Dense(2, activation="softmax", name="kind")
    model = keras.Model(entry, head(mean))
    return model, head


def files(folder, levels, truth, kind):
    """Save one picture a level of 0..1 into a folder for its class; return what is stored."""
    generator = np.random.default_rng(3)
    white = np.iinfo(kind).max
    stored = []
    for k, (level, index) in enumerate(zip(levels, truth, strict=True)):
        (folder / f"k{index}").mkdir(parents=True, exist_ok=True)
        pixels = np.clip(level + generator.uniform(-0.03, 0.03, (8, 8)), 0, 1)
        array = np.rint(pixels * white).astype(kind)
        Image.fromarray(array).save(folder / f"k{index}" / f"{k:03d}.png")
        stored.append(array[..., None])
    return np.stack(stored)


def case(count=60):
    levels = np.random.default_rng(0).uniform(0.05, 0.95, count)
    return levels, (levels + np.random.default_rng(1).normal(0, 0.08, count) > 0.5).astype(int)


def evaluated(model, data, out):
    report = reportgen.build_report(
        model, data=data, output=out, sections=("overview", "evaluation", "probes")
    ).report
    result = report.section("evaluation").content.result
    return result, report.section("probes").content.preprocessing


def expected(model, images, truth):
    """Return Keras's own accuracy and log loss."""
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    loss, accuracy = model.evaluate(images, truth, verbose=0)
    return accuracy, loss


def test_sixteen_bits_are_fed_as_stored_where_the_network_scales_them(tmp_path):
    levels, truth = case()
    stored = files(tmp_path / "data", levels, truth, np.uint16)
    model, head = by_brightness(layers.Rescaling(1 / 65535.0))
    head.set_weights([np.array([[-20.0, 20.0]]), np.array([10.0, -10.0])])
    accuracy, loss = expected(model, stored.astype(np.float32), truth)
    result, facts = evaluated(model, tmp_path / "data", tmp_path / "out")
    assert facts.mode == "uint16"
    assert accuracy > 0.8
    assert result.accuracy == pytest.approx(accuracy, abs=1e-6)
    assert result.log_loss == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("kind", ["normalization", "rescaling"])
def test_a_first_layer_behind_a_pipeline_of_255_is_fed_what_it_was_adapted_to(tmp_path, kind):
    """x / 255 in the pipeline, then an adapted Normalization, or Rescaling(2, -1)."""
    levels, truth = case()
    stored = files(tmp_path / "data", levels, truth, np.uint8)
    images = stored.astype(np.float32) / 255
    if kind == "normalization":
        first = layers.Normalization(axis=-1)
        first.adapt(images)
        model, head = by_brightness(first)
        head.set_weights([np.array([[-2.0, 2.0]]), np.zeros(2)])
    else:
        model, head = by_brightness(layers.Rescaling(2.0, offset=-1.0))
        head.set_weights([np.array([[-4.0, 4.0]]), np.zeros(2)])
    accuracy, loss = expected(model, images, truth)
    result, facts = evaluated(model, tmp_path / "data", tmp_path / "out")
    assert facts.mode == "unit"
    assert accuracy > 0.8
    assert result.accuracy == pytest.approx(accuracy, abs=1e-6)
    assert result.log_loss == pytest.approx(loss, rel=1e-4)


def sided(folder, tags, names="lt"):
    """Save pictures whose upper or left half is bright with EXIF orientations; return a network for them."""
    entry = keras.Input((8, 8, 3), name="picture")
    head = layers.Dense(2, activation="softmax", name="side")
    model = keras.Model(entry, head(layers.Flatten()(layers.Rescaling(1 / 255.0)(entry))))
    rows, columns = np.mgrid[:8, :8]
    kernel = np.stack([rows < columns, rows > columns], axis=-1) * 0.2 - 0.1
    head.set_weights([np.repeat(kernel.reshape(64, 1, 2), 3, axis=1).reshape(192, 2), np.zeros(2)])
    for k, tag in enumerate(tags):
        array = np.full((8, 8, 3), 30, np.uint8)
        array[(slice(4), slice(None)) if k % 2 == 0 else (slice(None), slice(4))] = 220
        exif = Image.Exif()
        exif[0x0112] = tag
        (folder / names[k % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / names[k % 2] / f"{k:02d}.png", exif=exif)
    return model


@pytest.mark.parametrize("orientation", ["keras", "exif"])
def test_pictures_with_an_exif_orientation_are_read_as_keras_reads_them(tmp_path, orientation):
    """Bright is the upper or the left half; a tag that turns the picture changes the answer."""
    model = sided(tmp_path / "data", [[1, 6, 8][k % 3] for k in range(20)], ("top", "left"))
    loaded = keras.utils.image_dataset_from_directory(
        tmp_path / "data", image_size=(8, 8), shuffle=False, verbose=0
    )
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    accuracy = model.evaluate(loaded, verbose=0)[1]
    report = reportgen.build_report(
        model, data=tmp_path / "data", output=tmp_path / "out", orientation=orientation,
        sections=("evaluation", "probes"), cache=tmp_path / "cache",
    ).report  # fmt: skip
    section = report.section("evaluation")
    if orientation == "keras":
        assert section.content.result.accuracy == pytest.approx(accuracy, abs=1e-6)
    else:
        assert section.content.result.accuracy != pytest.approx(accuracy, abs=0.1)
    texts = [notice.text for notice in section.notices]
    assert any(text.startswith("13 images with an EXIF orientation") for text in texts)


def both_ways(path):
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        return np.asarray(image), np.asarray(upright), image.getexif().get(0x0112, 1) != 1


def test_an_orientation_that_decides_what_is_right_is_a_finding_and_stands_on_the_card(tmp_path):
    tags = [1, 6, 6, 3, 6, 1, 6, 6, 6, 6] * 2
    model = sided(tmp_path / "data", tags)
    files = sorted((tmp_path / "data").rglob("*.png"))
    stored, turned, tagged = (
        np.stack(arrays) for arrays in zip(*map(both_ways, files), strict=True)
    )
    truth = np.array([path.parent.name == "t" for path in files]).astype(int)
    now, then = (model.predict(x, verbose=0).argmax(axis=1) for x in (stored, turned))
    for name in ("first", "from the cache"):
        report = reportgen.build_report(
            model, data=tmp_path / "data", output=tmp_path / name, max_probes=20,
            sections=("evaluation", "probes"), cache=tmp_path / "cache",
        ).report  # fmt: skip
        found = report.section("evaluation").content.turned
        assert (found.images, found.correct) == (16, (now == truth)[tagged].sum())
        assert found.correct_turned == (then == truth)[tagged].sum()
        assert (found.gained, found.lost) == (
            ((then == truth) & (now != truth))[tagged].sum(),
            ((then != truth) & (now == truth))[tagged].sum(),
        )
        hit = next(f for f in report.findings if f.rule == "orientation-matters")
        one_way = stats.binomtest(found.gained, found.gained + found.lost).pvalue
        assert hit.severity == "warning"
        assert one_way <= 0.05
        assert f"{found.correct} are correct as stored" in hit.observed
    for probe in report.section("probes").content.probes:
        k = [path.name for path in files].index(Path(probe.name).name)
        assert bool(probe.otherwise) == (now[k] != then[k])
        if probe.otherwise:
            assert probe.otherwise[0].reading == "exif"
            assert probe.otherwise[0].decision.index == then[k]
    text = page_text(tmp_path / "first")
    assert "Turned as its EXIF orientation says, the image is predicted as" in text


def test_a_class_that_the_aspect_ratio_decides_stands_on_the_card(tmp_path):
    """Bright sides make a stretched picture bright; a crop leaves them out."""
    model, head = by_brightness(layers.Rescaling(1 / 255.0))
    head.set_weights([np.array([[-30.0, 30.0]]), np.array([12.0, -12.0])])
    wide = np.full((8, 24), 10, np.uint8)
    wide[:, :8] = wide[:, 16:] = 250
    square = np.full((16, 16), 250, np.uint8)
    (tmp_path / "p").mkdir()
    Image.fromarray(wide).save(tmp_path / "p" / "wide.png")
    Image.fromarray(square).save(tmp_path / "p" / "square.png")
    for resize, other in (("stretch", "crop"), ("crop", "stretch")):
        report = reportgen.build_report(
            model, probes=tmp_path / "p", output=tmp_path / resize, resize=resize,
            classes=["dark", "bright"], sections=("probes",),
        ).report  # fmt: skip
        plain, odd = report.section("probes").content.probes
        assert not plain.otherwise
        (found,) = odd.otherwise
        decided = {"stretch": "bright", "crop": "dark"}
        assert odd.outputs[0].top[0].name == decided[resize]
        assert (found.reading, found.decision.name) == (other, decided[other])
        fed = keras.utils.img_to_array(
            keras.utils.load_img(
                tmp_path / "p" / "wide.png", color_mode="grayscale", target_size=(8, 8),
                interpolation="bilinear", keep_aspect_ratio=other == "crop",
            )
        )  # fmt: skip
        expected = model.predict(fed[None], verbose=0).max()
        assert found.decision.probability == pytest.approx(expected, abs=0.02)
    assert "Cropped to the input's aspect ratio instead of stretched" in page_text(
        tmp_path / "stretch"
    )


def bands_of(levels):
    """Return five bands of 24 by 12 with ranges of their own, the fourth a ramp, uint16."""
    ramp = np.linspace(0, 1, 24)[:, None] * np.ones((24, 12))
    flat = [base + ramp * span for base, span in levels]
    return np.stack(flat, axis=-1).astype(np.uint16)


def test_bands_are_shown_each_in_its_own_range_and_as_chosen(tmp_path):
    entry = keras.Input((24, 12, 5), name="scene")
    seen = layers.Conv2D(2, 3, name="conv2d")(layers.Rescaling(1e-4)(entry))
    model = keras.Model(entry, layers.Dense(1)(layers.Flatten()(seen)))
    scene = bands_of([(300, 100), (400, 900), (20, 60), (2000, 6000), (900, -500)])
    expected = []
    for band in range(5):
        values = scene[..., band].astype(float)
        low, high = np.percentile(values, (1, 99))
        expected.append(np.rint(np.clip((values - low) / (high - low), 0, 1) * 255))
    for bands in ((), (3, 4, 1), (3,)):
        out = tmp_path / "".join(map(str, bands))
        report = reportgen.build_report(
            model, probes=scene[None], output=out, bands=bands, sections=("probes", "relevance", "features"),
            relevance="saliency", units=("conv2d:0",), feature_steps=2,
        ).report  # fmt: skip
        probe = report.section("probes").content.probes[0]
        (received,) = probe.received
        shown = bands or (0, 1, 2)
        for figure in (probe.given, received.figure):
            with Image.open(out / figure.src) as picture:
                pixels = np.asarray(picture).reshape(24, 12, -1)
            wanted = np.stack([expected[band] for band in shown], axis=-1)
            assert np.abs(pixels - wanted).max() <= 1
        assert received.bands == shown
        assert "each from its 1st to its 99th percentile" in page_text(out)
        assert all(section.content is not None for section in report.sections)


def test_a_band_that_the_images_do_not_have_is_refused(tmp_path):
    model, _ = by_brightness(layers.Rescaling(1.0))
    with pytest.raises(InputError, match="--bands 3,2,1: the model's images have one channel, 0"):
        reportgen.build_report(model, output=tmp_path / "out", bands="3,2,1")
    with pytest.raises(UsageError, match="--bands takes R,G,B"):
        reportgen.build_report(model, output=tmp_path / "out", bands="red")
    with pytest.raises(UsageError, match="one band or three"):
        reportgen.build_report(model, output=tmp_path / "out", bands=[0, 1])
    assert not (tmp_path / "out").exists()


def test_an_alpha_channel_that_was_added_is_said(tmp_path):
    entry = keras.Input((8, 8, 4), name="picture")
    model = keras.Model(entry, layers.Dense(2, activation="softmax")(layers.Flatten()(entry)))
    (tmp_path / "p").mkdir()
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(tmp_path / "p" / "rgb.png")
    report = reportgen.build_report(
        model, probes=tmp_path / "p", output=tmp_path / "out", sections=("probes",)
    ).report
    probe = report.section("probes").content.probes[0]
    assert any("opaque alpha channel added" in note for note in probe.notes)
    fed = keras.utils.img_to_array(
        keras.utils.load_img(tmp_path / "p" / "rgb.png", color_mode="rgba")
    )
    mode = report.section("probes").content.preprocessing.mode
    scaled = fed if mode == "none" else fed / 255
    assert probe.outputs[0].top[0].probability == pytest.approx(
        model.predict(scaled[None], verbose=0).max(), abs=1e-5
    )


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`:UserWarning")
def test_a_lambda_that_fails_says_why_once_and_the_other_sections_point_there(tmp_path):
    """What the Lambda's module had imported is not stored with it."""
    left, right = (keras.Input((8, 8, 1), name=name) for name in ("left", "right"))
    encoder = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(4)])
    distance = layers.Lambda(
        lambda pair: ops.sqrt(ops.sum(ops.square(pair[0] - pair[1]), axis=1, keepdims=True)),
        output_shape=(1,), name="distance",
    )([encoder(left), encoder(right)])  # fmt: skip
    keras.Model([left, right], distance).save(tmp_path / "siamese.keras")
    x = np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype("float32")
    made = reportgen.build_report(
        tmp_path / "siamese.keras",
        probes={"left": x, "right": x},
        output=tmp_path / "out",
        allow_code=True,
    )
    texts = [n.text for section in made.report.sections for n in section.notices]
    told = [text for text in texts if "NameError" in text]
    assert len(told) == 1
    assert told[0].endswith("name 'ops' is not defined (NameError in the layer 'distance').")
    assert (
        texts.count("This section could not be made; Overview says why.") == len(made.failed) == 4
    )


@pytest.mark.parametrize("mode", ["unit", "symmetric", "torch", None])
def test_an_input_of_integers_is_never_fed_what_is_left_of_fractions(tmp_path, mode):
    entry = keras.Input((8, 8, 1), dtype="uint8", name="picture")
    mean = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255.0)(entry))
    model = keras.Model(entry, layers.Dense(2, activation="softmax")(mean))
    (tmp_path / "p").mkdir()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "p" / "a.png")
    options = {"probes": tmp_path / "p", "output": tmp_path / "out", "sections": ("probes",)}
    if mode:
        with pytest.raises(InputError, match=f"--preprocess {mode} makes fractions"):
            reportgen.build_report(model, preprocess=mode, **options)
        return
    section = reportgen.build_report(model, **options).report.section("probes")
    assert section.content.preprocessing.mode == "none"
    assert (
        section.content.probes[0].received[0].low,
        section.content.probes[0].received[0].high,
    ) == (0, 63)
