"""The architecture section: nothing is lost, nothing counted twice, whatever the shape of the model."""

from __future__ import annotations

import functools
import json
import re
from types import SimpleNamespace

import keras
import numpy as np
import pages
import pytest
import zoo
from keras import layers, ops

from reportgen import build_report
from reportgen.nets.keras_network import KerasNetwork
from reportgen.sections.architecture import diagram
from reportgen.sections.architecture.folding import MOST_NODES
from reportgen.sections.architecture.section import collect
from reportgen.settings import Settings

SCREEN = (1440, 1000)


@functools.cache
def collected(name):
    return collect(SimpleNamespace(network=zoo.network(name), settings=Settings()), None)


def of_model(model, **options):
    return collect(
        SimpleNamespace(network=KerasNetwork(model, **options), settings=Settings()), None
    )


def rows(content):
    return {row.path: row for row in content.layers}


def leaves(content):
    return [
        r
        for r in content.layers
        if not any(o.path.startswith(f"{r.path}/") for o in content.layers)
    ]


def assert_conserved(content):
    """The opened folds add up to the layers, and the diagrams to the nodes."""
    held = [path for group in content.groups for path in group.layers]
    assert sorted(held) == sorted(row.path for row in content.layers)
    assert content.layer_count == len(held)
    assert content.overview_nodes <= MOST_NODES
    for row in content.layers:
        if row.group is not None:
            assert row.path in content.groups[row.group].layers
    if content.overview is not None:
        assert len(content.overview.boxes) == content.overview_nodes
        assert [b.path for b in content.overview.boxes] == [
            f"group-{number}" for number in range(content.overview_nodes)
        ]
        paths = {row.path for row in content.layers}
        assert {box.path for box in content.full.boxes if box.path} <= paths


@pytest.mark.parametrize("name", zoo.ZOO)
def test_every_layer_is_in_one_group(name):
    content = collected(name).content
    assert_conserved(content)
    assert content.overview is not None
    assert collected(name).notices == ()


@pytest.mark.parametrize("name", sorted(set(zoo.ZOO) - {"int8", "tied"}))
def test_totals_are_those_of_keras(name):
    content, model = collected(name).content, zoo.make(name)
    if not model.built:
        model.build((None, *next(iter(zoo.ZOO[name].shapes.values()))))
    assert content.parameters == model.count_params()
    trainable = {id(w): int(np.prod(w.shape)) for w in model.trainable_weights}
    assert content.trainable_parameters == sum(trainable.values())
    top = [row.parameters for row in content.layers if row.depth == 0]
    assert sum(top) == content.parameters
    for layer in model.layers:
        assert layer.count_params() in top


def test_tied_weights_count_once():
    content = collected("tied").content
    assert content.parameters == sum(int(np.prod(w.shape)) for w in zoo.make("tied").weights)


@pytest.mark.parametrize("name", zoo.ZOO)
def test_flops_of_outer_rows_hold_inner_ones_once(name):
    content = collected(name).content
    calls = zoo.network(name).facts.calls
    inside = sum(call.flops for call in calls)
    assert content.flops == content.own_flops + inside
    assert sum(row.flops for row in content.layers if row.depth == 0) == inside
    for row in content.layers:
        own = sum(call.flops for call in calls if call.layer == row.path)
        inner = [r for r in content.layers if r.path.rpartition("/")[0] == row.path]
        assert row.flops == own + sum(r.flops for r in inner)


def test_nested_models_are_frames_with_their_layers():
    content = collected("nested").content
    found = rows(content)
    assert {path: row.depth for path, row in found.items() if "Input" not in row.class_name} == {
        "middle": 0,
        "middle/inner": 1,
        "middle/inner/see": 2,
        "middle/inner/norm": 2,
        "middle/inner/pool": 2,
        "middle/narrow": 1,
        "which": 0,
    }
    kernel, norm = 3 * 3 * 3 * 4 + 4, 4 * 4
    assert found["middle/inner"].parameters == kernel + norm
    assert found["middle"].parameters == kernel + norm + 4 * 6 + 6
    # 6x6 positions, 27 multiply-adds and a bias for 4 filters; 2 an element; the mean of 6x6x4.
    see, norm, pool = 36 * 4 * (2 * 27 + 1), 2 * 36 * 4, 36 * 4
    assert found["middle/inner"].flops == see + norm + pool
    assert found["middle"].flops == see + norm + pool + 2 * 4 * 6 + 6
    frames = {frame.label: frame for frame in content.full.frames}
    assert set(frames) == {"middle (Functional)", "middle/inner (Functional)"}
    outer, inner = frames["middle (Functional)"], frames["middle/inner (Functional)"]
    boxes = {box.path: box for box in content.full.boxes}
    for path, box in boxes.items():
        for frame, prefix in ((outer, "middle/"), (inner, "middle/inner/")):
            inside = frame.x <= box.x and box.x + box.width <= frame.x + frame.width
            inside &= frame.y <= box.y and box.y + box.height <= frame.y + frame.height
            assert inside == path.startswith(prefix), (path, prefix)


def test_shared_layer_has_a_box_for_each_call():
    content = collected("siamese").content
    found = rows(content)
    assert found["encoder/see"].calls == found["encoder"].calls == 2
    assert found["encoder/see"].sources == ("input:left", "input:right")
    assert found["encoder/norm"].sources == ("encoder/see", "encoder/see#2")
    assert found["encoder/see"].flops == 2 * 36 * 4 * (2 * 27 + 1)
    assert [b.path for b in content.full.boxes].count("encoder/see") == 2
    assert len(content.full.frames) == 2
    assert "called more than once" in collected("siamese").lead


def test_several_inputs_and_outputs():
    content = collected("dict_inputs").content
    inputs = [box for box in content.full.boxes if box.kind == "input"]
    assert sorted(box.lines[0] for box in inputs) == ["apple", "zebra"]
    assert {box.path for box in inputs} == {"apple", "zebra"}
    assert rows(content)["join"].sources == ("pool", "read")
    content = collected("multi_output").content
    found = rows(content)
    assert [found[name].sources for name in ("which", "tags", "how_much")] == [("flat",)] * 3
    assert found["which"].shapes == ((4,),)
    assert (found["which"].activation, found["tags"].activation) == ("softmax", "sigmoid")


def test_operations_are_rows_and_boxes():
    content = collected("operations").content
    classes = [row.class_name for row in content.layers]
    assert {"Relu", "Mean", "Add", "Reshape", "Softmax"} <= set(classes)
    joined = next(row for row in content.layers if row.class_name == "Add")
    assert len(joined.sources) == 2
    assert {b.path for b in content.full.boxes} == {row.path for row in content.layers}


def test_subclassed_model_is_traced():
    content = collected("subclassed").content
    found = rows(content)
    assert {"left", "right", "head"} <= set(found)
    head = found["head"]
    assert head.shapes == ((3,),)
    assert len(content.full.boxes) >= 4
    assert_reachable(content, zoo.network("subclassed").facts, "head", {"left", "right"})


def assert_reachable(content, facts, end, starts):
    """Follow the sources from ``end`` back; all of ``starts`` are met."""
    sources = {call.id: (*call.inputs, *call.merges) for call in facts.calls}
    seen, queue = set(), [end]
    while queue:
        current = queue.pop()
        if current not in seen:
            seen.add(current)
            queue += sources.get(current, ())
    assert starts <= seen


class Stubborn(keras.Model):
    """Runs eagerly only."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.body = keras.Sequential([layers.Dense(4, name="first")], name="body")
        self.last = layers.Dense(2, name="last")

    def call(self, inputs):
        if float(np.asarray(inputs).sum()) > 1e9:
            return self.last(self.body(-inputs))
        return self.last(self.body(inputs))


def test_model_that_cannot_be_traced_keeps_its_layers():
    model = Stubborn(name="stubborn")
    model(np.zeros((1, 3), np.float32))
    made = of_model(model, given={None: ((3,), False)})
    content = made.content
    named = [row.path for row in content.layers if row.class_name != "InputLayer"]
    assert named == ["body", "body/first", "last"]
    assert content.parameters == model.count_params() == 3 * 4 + 4 + 4 * 2 + 2
    assert content.flops is None
    assert {row.flops for row in content.layers} == {None}
    assert [n.level for n in made.notices] == ["warning"]
    assert made.notices[0].text == (
        "The forward pass could not be traced, so there is no graph; Overview says why."
    )
    assert_conserved(content)


class Windows(layers.Layer):
    """Cuts its images into four and calls a layer on the pieces, as windowed attention does."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.Dense(5, name="inner")

    def call(self, inputs):
        pieces = ops.reshape(inputs, (-1, 4, 8, 3))
        return ops.reshape(self.inner(pieces), (-1, 8, 8, 5)) * 2.0


def windowed():
    entry = keras.Input((8, 8, 3), name="picture")
    x = Windows(name="windows")(entry)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(entry, layers.Dense(2, activation="softmax", name="which")(x))


def test_windows_of_images_do_not_break_the_activations():
    network = KerasNetwork(windowed(), images=4, watch=lambda calls: [c.id for c in calls])
    assert network.facts.trace_problem is None
    batch = next(iter(network.forward({"picture": np.ones((3, 8, 8, 3), np.float32)})))
    assert {"windows", "pool", "which"} <= set(batch.moments)
    assert "windows/inner" not in batch.moments
    assert "windows/inner" not in batch.maps
    assert batch.maps["windows"].shape == (3, 8, 8, 5)
    content = collect(SimpleNamespace(network=network, settings=Settings()), None).content
    assert "windows/inner" in rows(content)


def test_operation_that_a_layer_makes_is_no_layer():
    entry = keras.Input((6, 6, 1), name="picture")
    x = layers.ZeroPadding2D(1, name="pad")(entry)
    content = of_model(keras.Model(entry, layers.Conv2D(2, 3, name="see")(x))).content
    assert [box.path for box in content.full.boxes] == ["picture", "pad", "see"]
    assert content.full.frames == ()
    assert rows(content)["see"].sources == ("pad",)


def test_no_engine_leaves_the_table_and_a_notice(monkeypatch):
    def fail(*_):
        raise diagram.LayoutError("nothing lays out")

    monkeypatch.setattr(diagram, "_run", fail)
    made = collect(SimpleNamespace(network=zoo.network("functional"), settings=Settings()), None)
    assert made.content.overview is None
    assert made.content.full is None
    assert made.content.layers == collected("functional").content.layers
    assert [n.level for n in made.notices] == ["warning"]
    assert "nothing lays out" in made.notices[0].text
    assert_conserved(made.content)


def test_resnet152_on_one_screen():
    model = keras.applications.ResNet152(weights=None)
    made = of_model(model)
    content = made.content
    assert_conserved(content)
    assert content.layer_count == len(model.layers) == 517
    assert content.overview_nodes <= 40
    assert len(content.full.boxes) == 517
    repeats = sorted(fold.repeats for fold in content.folds)
    assert repeats == [2, 2, 7, 35]  # one more block at the head of each stage projects
    assert content.parameters == model.count_params()
    assert content.flops == pytest.approx(22.65e9, rel=0.04)
    assert content.overview.width <= SCREEN[0]
    assert content.overview.height <= SCREEN[1]


def test_two_layouts_are_equal():
    network = zoo.network("nested")
    once, twice = (
        collect(SimpleNamespace(network=network, settings=Settings()), None) for _ in range(2)
    )
    assert once == twice


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A page of the model whose names break pages, without JavaScript or pictures."""
    folder = tmp_path_factory.mktemp("architecture") / "report"
    pictures = (zoo.inputs("hostile", 3) or {}).values()
    build_report(
        zoo.make("hostile"),
        probes=next(iter(pictures)),
        output=folder,
        preprocess="none",
        skip=("features", "relevance"),
    )
    return folder


def test_page_says_all_that_the_table_holds(hostile):
    pages.check_page(hostile)
    report = json.loads((hostile / "report.json").read_bytes())
    content = pages.content(report, "architecture")
    elements = pages.read_page(hostile).elements
    ids = [attributes.get("id", "") for _, attributes in elements]
    text = pages.page_text(hostile)
    assert len([i for i in ids if i.startswith("layer/")]) == content["layer_count"]
    assert len([i for i in ids if re.fullmatch(r"group-\d+", i)]) == len(content["groups"])
    for row in content["layers"]:
        assert row["name"] in text
    links = [
        a["href"] for tag, a in elements if tag == "a" and a.get("href", "").startswith("#group-")
    ]
    assert (
        len(set(links)) == content["overview_nodes"]
    )  # from the diagram and from the strip of blocks
    assert sum(tag == "svg" and a.get("class") == "diagram" for tag, a in elements) == 2
