"""Evaluation of masks, several numbers, several outputs and labels by column, against scikit-learn."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers
from pages import check_page, page_text
from PIL import Image
from sklearn import metrics as sk

import reportgen
from reportgen.errors import DataError
from reportgen.inputs.classes import ClassNames
from reportgen.inputs.images import decode_mask, fit_mask
from reportgen.network.facts import OutputFacts
from reportgen.network.protocol import Batch
from reportgen.network.tasks import Task
from reportgen.sections.evaluation.decisions import DecisionFold
from reportgen.sections.evaluation.folds import About, EvaluationFold
from reportgen.sections.evaluation.labelled import LabelFold
from reportgen.sections.evaluation.masks import IGNORED, MaskFold
from reportgen.sections.evaluation.quantities import QuantityFold


def evaluated(model, folder, data, **options):
    options.setdefault("sections", ("overview", "evaluation"))
    made = reportgen.build_report(model, data=data, output=folder, **options)
    check_page(folder)
    section = next(s for s in made.report.sections if s.kind == "evaluation")
    return section, made.report


def painter(classes=3):
    """Says of every pixel the class whose channel is brightest, of 16 by 16 with as many channels."""
    start = keras.Input((16, 16, classes), name="picture")
    end = layers.Conv2D(classes, 1, activation="softmax", use_bias=False, name="mask")
    model = keras.Model(start, end(start))
    end.set_weights([20 * np.eye(classes, dtype=np.float32)[None, None]])
    return model


def scene(count=12, classes=3, seed=0):
    """Return pictures, what the painter says of them, and masks that differ in some pixels."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (count, 16, 16, classes)).astype(np.float32)
    said = x.argmax(axis=-1)
    wrong = rng.uniform(0, 1, said.shape) < np.linspace(0, 0.5, count)[:, None, None]
    truth = np.where(wrong, (said + 1) % classes, said)
    return x, said, truth


def test_masks_are_held_against_scikit_learn(tmp_path):
    x, said, truth = scene()
    section, report = evaluated(painter(), tmp_path, (x, truth))
    result = section.content.result
    expected = sk.jaccard_score(truth.ravel(), said.ravel(), average=None)
    assert [row.iou for row in result.classes] == pytest.approx(expected, rel=1e-5)
    expected = sk.f1_score(truth.ravel(), said.ravel(), average=None)
    assert [row.dice for row in result.classes] == pytest.approx(expected, rel=1e-5)
    assert result.accuracy == pytest.approx((truth == said).mean(), rel=1e-5)
    assert result.mean_iou == pytest.approx(
        sk.jaccard_score(truth.ravel(), said.ravel(), average="macro"), rel=1e-5
    )
    assert sum(row.pixels for row in result.classes) == truth.size
    assert sum(result.counts) == len(x)
    each = [
        sk.jaccard_score(t.ravel(), s.ravel(), average="macro")
        for t, s in zip(truth, said, strict=True)
    ]
    assert [one.index for one in result.worst] == np.argsort(each, kind="stable")[:8].tolist()
    assert result.worst[0].score == pytest.approx(min(each), rel=1e-5)
    assert result.worst[0].figure is not None
    assert "mean IoU" in str(report.summary.numbers)


def test_pixels_that_a_mask_says_nothing_of_are_left_out(tmp_path):
    x, said, truth = scene()
    truth[:, :4] = IGNORED
    section, _ = evaluated(painter(), tmp_path, (x, truth))
    result = section.content.result
    assert result.ignored == 12 * 4 * 16
    assert result.accuracy == pytest.approx((truth == said)[:, 4:].mean(), rel=1e-5)


def test_a_class_that_the_network_has_not_is_an_error(tmp_path):
    x, _, truth = scene()
    truth[3, 2, 2] = 7
    with pytest.raises(DataError, match="image 3 holds the class 7"):
        evaluated(painter(), tmp_path / "out", (x, truth))
    assert not (tmp_path / "out").exists()


def grey_painter():
    """Says that bright pixels are the mask, of 16 by 16 colour pictures in 0..1."""
    start = keras.Input((16, 16, 3), name="picture")
    end = layers.Conv2D(1, 1, activation="sigmoid", name="mask")
    model = keras.Model(start, end(start))
    end.set_weights([np.full((1, 1, 3, 1), 10.0), np.array([-15.0])])
    return model


def folder_of_masks(place, *, white=255, side=16):
    """Write six pictures with a bright square, the last one's mask missing half of it."""
    for name in ("images", "masks"):
        (place / name).mkdir(parents=True)
    truth, said = [], []
    for k in range(6):
        mask = np.zeros((side, side), np.uint8)
        mask[2 : 8 + k, 3:12] = 1
        picture = np.repeat(mask[..., None] * 200 + 20, 3, axis=2).astype(np.uint8)
        said.append(mask.copy())
        if k == 5:
            mask[2:8] = 0
        truth.append(mask)
        Image.fromarray(picture).save(place / "images" / f"p{k}.png")
        Image.fromarray(mask * white).save(place / "masks" / f"p{k}_mask.png")
    return np.array(truth), np.array(said)


@pytest.mark.parametrize("white", [1, 255])
@pytest.mark.parametrize("of_images", [False, True])
def test_a_folder_of_masks_beside_the_images(tmp_path, white, of_images):
    truth, said = folder_of_masks(tmp_path / "data", white=white)
    source = tmp_path / "data" / "images" if of_images else tmp_path / "data"
    section, _ = evaluated(grey_painter(), tmp_path / "out", source, preprocess="unit")
    result = section.content.result
    expected = sk.jaccard_score(truth.ravel(), said.ravel())
    assert result.classes[1].iou == pytest.approx(expected, rel=1e-5)
    assert result.classes[1].name == "mask"
    assert result.worst[0].name == "p5.png"
    assert "The worst images" in page_text(tmp_path / "out")


def test_a_csv_may_name_the_masks(tmp_path):
    truth, said = folder_of_masks(tmp_path / "data")
    lines = [f"data/images/p{k}.png,data/masks/p{k}_mask.png" for k in range(6)]
    (tmp_path / "list.csv").write_text("file,mask\n" + "\n".join(lines))
    section, _ = evaluated(
        grey_painter(), tmp_path / "out", tmp_path / "list.csv", preprocess="unit"
    )
    expected = sk.jaccard_score(truth.ravel(), said.ravel())
    assert section.content.result.classes[1].iou == pytest.approx(expected, rel=1e-5)


def test_an_image_without_a_mask_is_counted_as_broken(tmp_path):
    folder_of_masks(tmp_path / "data")
    (tmp_path / "data" / "masks" / "p2_mask.png").unlink()
    section, _ = evaluated(grey_painter(), tmp_path / "out", tmp_path / "data", preprocess="unit")
    assert (section.content.images, section.content.broken_count) == (5, 1)


def test_masks_of_another_size_are_fitted(tmp_path):
    truth, said = folder_of_masks(tmp_path / "data")
    for k in range(6):
        path = tmp_path / "data" / "masks" / f"p{k}_mask.png"
        with Image.open(path) as image:
            large = image.resize((48, 48), Image.Resampling.NEAREST)
        large.save(path)
    section, _ = evaluated(grey_painter(), tmp_path / "out", tmp_path / "data", preprocess="unit")
    expected = sk.jaccard_score(truth.ravel(), said.ravel())
    assert section.content.result.classes[1].iou == pytest.approx(expected, rel=1e-5)
    assert section.content.result.resized == 6
    assert any("fitted" in notice.text for notice in section.notices)


def test_masks_are_read_as_they_are_stored(tmp_path):
    mask = np.array([[0, 1], [2, 3]], np.uint8)
    palette = Image.fromarray(mask, "P")
    palette.putpalette([7, 8, 9] * 256)
    palette.save(tmp_path / "palette.png")
    Image.fromarray(np.repeat(mask[..., None], 3, axis=2)).save(tmp_path / "grey.png")
    for name in ("palette", "grey"):
        np.testing.assert_array_equal(decode_mask(tmp_path / f"{name}.png"), mask)
    Image.fromarray(np.array([[[1, 2, 3]]], np.uint8)).save(tmp_path / "colour.png")
    with pytest.raises(Exception, match="in colours"):
        decode_mask(tmp_path / "colour.png")


def test_masks_follow_their_image():
    mask = np.zeros((4, 8), int)
    mask[:, 2:6] = 1
    np.testing.assert_array_equal(fit_mask(mask, (4, 4), "crop", 255), np.ones((4, 4)))
    padded = fit_mask(mask, (8, 8), "pad", 255)
    assert (padded[:2] == 255).all()
    assert (padded[2:6] == mask).all()
    np.testing.assert_array_equal(fit_mask(mask, (2, 4), "stretch", 255), mask[::2, ::2])


def pointer():
    """Says mean brightness of the upper and the lower half, and twice their sum, of 8 by 8 in 0..1."""
    start = keras.Input((8, 8, 1), name="picture")
    flat = layers.Flatten()(start)
    end = layers.Dense(3, name="out", use_bias=False)
    model = keras.Model(start, end(flat))
    kernel = np.zeros((64, 3), np.float32)
    kernel[:32, 0] = kernel[32:, 1] = 1 / 32
    kernel[:, 2] = 1 / 16
    end.set_weights([kernel])
    return model


def test_several_numbers_each_have_errors(tmp_path):
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, (50, 8, 8, 1)).astype(np.float32)
    model = pointer()
    p = model.predict(x, verbose=0)
    y = p + rng.normal(0, [0.01, 0.1, 1.0], p.shape)
    section, _ = evaluated(model, tmp_path, (x, y))
    result = section.content.result
    assert result.mae == pytest.approx(sk.mean_absolute_error(y, p), rel=1e-4)
    assert result.r2 == pytest.approx(sk.r2_score(y, p), rel=1e-4)
    for k, row in enumerate(result.values):
        assert row.mae == pytest.approx(sk.mean_absolute_error(y[:, k], p[:, k]), rel=1e-4)
        assert row.r2 == pytest.approx(sk.r2_score(y[:, k], p[:, k]), rel=1e-4)
        baseline = np.abs(y[:, k] - np.median(y[:, k])).mean()
        assert row.baseline_mae == pytest.approx(baseline, rel=1e-4)
    assert result.worst[0].index == int(np.abs(y - p).mean(axis=1).argmax())
    with pytest.raises(DataError, match="has 2 numbers; 3 has"):
        evaluated(model, tmp_path / "b", (x, y[:, :2]))


def two_heads():
    start = keras.Input((8, 8, 1), name="picture")
    mean = layers.GlobalAveragePooling2D()(start)
    kind = layers.Dense(2, activation="softmax", name="kind")
    size = layers.Dense(1, name="size")
    model = keras.Model(start, [kind(mean), size(mean)])
    kind.set_weights([np.array([[-20.0, 20.0]]), np.array([10.0, -10.0])])
    size.set_weights([np.array([[3.0]]), np.array([0.0])])
    return model


def bright(count=60, seed=0):
    levels = np.random.default_rng(seed).uniform(0, 1, count)
    return np.broadcast_to(levels[:, None, None, None], (count, 8, 8, 1)).astype(np.float32), levels


def test_each_output_with_labels_is_evaluated(tmp_path):
    x, levels = bright()
    model = two_heads()
    names = model.output_names
    y = {names[0]: (levels > 0.6).astype(int), names[1]: 3 * levels + 0.5}
    section, _ = evaluated(model, tmp_path, (x, y))
    content = section.content
    assert (content.output, [other.output for other in content.others]) == (names[0], [names[1]])
    assert content.result.accuracy == pytest.approx(
        ((levels > 0.5) == (levels > 0.6)).mean(), rel=1e-5
    )
    assert content.others[0].result.mae == pytest.approx(0.5, rel=1e-4)
    assert f"The output {names[1]}" in page_text(tmp_path)


def test_one_output_of_two_and_a_name_that_is_none(tmp_path):
    x, levels = bright()
    model = two_heads()
    first, second = model.output_names
    section, _ = evaluated(model, tmp_path / "a", (x, {second: 3 * levels}))
    assert section.content.output == second
    assert any(f"say nothing of {first}" in notice.text for notice in section.notices)
    with pytest.raises(DataError, match="labels are called nothing; the outputs are called"):
        evaluated(model, tmp_path / "b", (x, {"nothing": levels}))


def test_labels_by_column_of_a_csv(tmp_path):
    _, levels = bright(12)
    model = two_heads()
    first, second = model.output_names
    lines = [f"file,{first},{second}"]
    for k, level in enumerate(levels):
        Image.fromarray(np.full((8, 8), round(255 * level), np.uint8)).save(tmp_path / f"{k}.png")
        lines.append(f"{k}.png,{int(level > 0.5)},{3 * round(255 * level) / 255}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    section, _ = evaluated(model, tmp_path / "out", tmp_path / "list.csv", preprocess="unit")
    assert section.content.result.accuracy == 1
    assert section.content.others[0].result.mae == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("given", ["arrays", "list.csv"])
def test_probes_are_drawn_from_a_data_set_with_labels_for_each_output(tmp_path, given):
    """Which of the labels speaks of a probe is not asked: it has none."""
    x, levels = bright(12)
    model = two_heads()
    first, second = model.output_names
    data = (x, {first: (levels > 0.6).astype(int), second: levels})
    if given == "list.csv":
        data = tmp_path / given
        data.write_text(f"file,{first},{second}\n" + "".join(f"{k}.png,1,0.5\n" for k in range(12)))
        for k, level in enumerate(levels):
            picture = np.full((8, 8), round(255 * level), np.uint8)
            Image.fromarray(picture).save(tmp_path / f"{k}.png")
    sections = ("overview", "evaluation", "probes")
    _, report = evaluated(model, tmp_path / "out", data, sections=sections)
    probes = next(s.content for s in report.sections if s.kind == "probes").probes
    assert [probe.label for probe in probes] == [None] * 8


def test_a_row_of_another_length_is_named(tmp_path):
    (tmp_path / "list.csv").write_text("file,a,b\n1.png,0,1\n2.png,0\n")
    with pytest.raises(DataError, match="line 3: 2 columns, where line 1 has 3"):
        evaluated(two_heads(), tmp_path / "out", tmp_path / "list.csv")


def test_what_a_threshold_costs(tmp_path):
    x, levels = bright(200)
    truth = (levels + np.random.default_rng(2).normal(0, 0.2, 200) > 0.5).astype(int)
    start = keras.Input((8, 8, 1))
    end = layers.Dense(1, activation="sigmoid")
    model = keras.Model(start, end(layers.GlobalAveragePooling2D()(start)))
    end.set_weights([np.array([[4.0]]), np.array([-2.0])])
    section, _ = evaluated(model, tmp_path, (x, truth))
    result, p = section.content.result, model.predict(x, verbose=0)[:, 0]
    for row in result.thresholds:
        said = p >= row.threshold
        assert (row.hits, row.false_alarms, row.missed) == (
            int((said & (truth == 1)).sum()),
            int((said & (truth == 0)).sum()),
            int((~said & (truth == 1)).sum()),
        )
    scores = [sk.f1_score(truth, p >= one) for one in np.unique(p)]
    assert result.best.f1 == pytest.approx(max(scores), rel=1e-5)
    assert "What the threshold costs" in page_text(tmp_path)


def about(kind, classes, shape):
    facts = OutputFacts("out", (None, *shape), "float32")
    task = Task("out", kind, "probabilities", "")
    return About(
        task, facts, ClassNames(classes), 0.5, lambda place: f"image {place}", "stretch", {}
    )


def many(kind, count, seed):
    """Return a fold for a kind of output, and outputs and labels for it."""
    rng = np.random.default_rng(seed)
    if kind == "regression":
        return (
            QuantityFold(about(kind, 0, (2,))),
            rng.normal(size=(count, 2)),
            list(rng.normal(size=(count, 2))),
        )
    if kind == "segmentation":
        masks = rng.integers(0, 3, (count, 6, 6))
        return MaskFold(about(kind, 3, (6, 6, 3))), rng.uniform(size=(count, 6, 6, 3)), list(masks)
    p = rng.dirichlet(np.ones(4), count)
    if kind == "multilabel":
        return (
            LabelFold(about(kind, 4, (4,))),
            p,
            [f"{k}|{(k + 1) % 4}" for k in rng.integers(0, 4, count)],
        )
    return DecisionFold(about(kind, 4, (4,))), p, rng.integers(0, 4, count).tolist()


@given(
    kind=st.sampled_from(["classification", "multilabel", "regression", "segmentation"]),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    cut=st.integers(0, 6),
    seed=st.integers(0, 20),
)
def test_any_cut_between_blocks_gives_the_same_bytes(kind, sizes, cut, seed):
    one, outputs, labels = many(kind, sum(sizes), seed)
    batches, first = [], 0
    for size in sizes:
        part = slice(first, first + size)
        places = np.arange(first, first + size)
        batches.append(
            Batch(first, {}, {"out": outputs[part]}, places=places, labels=tuple(labels[part]))
        )
        first += size
    whole = EvaluationFold([one])
    for batch in batches:
        whole.update(batch)
    merged = whole.empty()
    for half in (batches[:cut], batches[cut:]):
        part, kept = whole.empty(), whole.empty()
        for batch in half:
            part.update(batch)
        if half:
            kept.load(part.state())
        merged.merge(kept)
    assert merged.state().keys() == whole.state().keys()
    for name, array in merged.state().items():
        assert array.tobytes() == whole.state()[name].tobytes(), name


def test_probes_are_chosen_right_and_wrong_over_the_classes():
    fold = EvaluationFold([DecisionFold(about("classification", 3, (3,)))])
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 300)
    truth = rng.integers(0, 3, 300)
    places = np.arange(300) * 2
    fold.update(Batch(0, {}, {"out": p}, places=places, labels=tuple(truth.tolist())))
    chosen = fold.outputs[0].choose(9)
    assert len(set(chosen)) == 9
    rows = [place // 2 for place in chosen]
    wrong = [row for row in rows if p[row].argmax() != truth[row]]
    assert len(wrong) == 4
    assert {int(truth[row]) for row in wrong} == {0, 1, 2}
    surest = max(
        (row for row in range(300) if truth[row] == 1 and p[row].argmax() != 1),
        key=lambda row: p[row].max(),
    )
    assert surest in wrong
    assert {int(truth[row]) for row in rows if row not in wrong} == {0, 1, 2}


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_probes_where_all_are_right_or_all_are_wrong(right):
    fold = EvaluationFold([DecisionFold(about("classification", 3, (3,)))])
    truth = np.arange(30) % 3
    said = truth if right else (truth + 1) % 3
    p = 0.1 + 0.7 * np.eye(3)[said]
    fold.update(Batch(0, {}, {"out": p}, places=np.arange(30), labels=tuple(truth.tolist())))
    chosen = fold.outputs[0].choose(6)
    assert len(set(chosen)) == 6
    assert np.bincount(truth[chosen]).tolist() == [2, 2, 2]


def test_constant_answers_are_held_against_numbers_labels_and_masks(tmp_path):
    x, _, truth = scene()
    _, report = evaluated(painter(), tmp_path / "a", (x, np.where(truth == 0, 0, 2)))
    found = {f.rule: f for f in report.findings}
    assert "never-predicted" not in found
    constant = painter()
    constant.get_layer("mask").set_weights([np.array([0.0, 5, 0]) * np.ones((1, 1, 3, 3))])
    _, report = evaluated(constant, tmp_path / "b", (x, truth))
    found = {f.rule: f for f in report.findings}
    assert "2 of 3 classes: class 0" in found["never-predicted"].observed
    x, levels = bright()
    model = two_heads()
    first, second = model.output_names
    y = {first: (levels > 0.5).astype(int), second: -3 * levels}
    _, report = evaluated(model, tmp_path / "c", (x, y))
    found = {f.rule: f for f in report.findings}
    assert found["below-baseline"].observed.startswith(f"{second}: mean absolute error")
    assert found["below-baseline"].severity == "error"


def test_many_numbers_an_image_do_not_make_a_large_figure(tmp_path):
    rng = np.random.default_rng(0)
    start = keras.Input((8, 8, 1))
    model = keras.Model(start, layers.Dense(136)(layers.Flatten()(start)))
    x, y = rng.uniform(size=(600, 8, 8, 1)).astype("float32"), rng.normal(size=(600, 136))
    made = reportgen.build_report(model, data=(x, y), output=tmp_path, sections=("evaluation",))
    figure = made.report.section("evaluation").content.result.figure
    assert (tmp_path / figure.src).stat().st_size < 200_000


@pytest.mark.parametrize("seed", range(3))
def test_what_255_is_is_decided_once_for_a_data_set(seed):
    """Masks of 0, 1 and void beside one without a 1 keep their void; of 0 and 255 alone are black and white."""
    rng = np.random.default_rng(seed)
    outputs = rng.uniform(size=(4, 6, 6, 1))
    said = (outputs[..., 0] >= 0.5).astype(int)
    with_void = rng.choice([0, 1, 255], (4, 6, 6))
    with_void[seed] = np.where(with_void[seed] == 1, 0, with_void[seed])
    white = rng.choice([0, 255], (4, 6, 6))
    for masks, truth in (
        (with_void, with_void),
        (white, white // 255),
    ):
        fold = MaskFold(about("segmentation", 2, (6, 6, 1)))
        later = MaskFold(about("segmentation", 2, (6, 6, 1)))
        for part, rows in ((fold, slice(0, 2)), (later, slice(2, 4))):
            part.images = 2
            part.update(outputs[rows], list(masks[rows]), np.arange(4)[rows])
        fold.merge(later)
        some = truth != 255
        expected = sk.confusion_matrix(truth[some], said[some], labels=[0, 1])
        np.testing.assert_array_equal(fold.matrix, expected)


def test_the_class_255_of_300_is_a_class():
    fold = MaskFold(about("segmentation", 300, (4, 4, 300)))
    outputs = np.zeros((1, 4, 4, 300))
    outputs[..., 255] = 1
    fold.update(outputs, [np.full((4, 4), 255)], np.array([0]))
    assert fold.matrix[255, 255] == 16
