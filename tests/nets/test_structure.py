"""Paths, variables and counts of every model of the zoo, against Keras' own lists."""

from __future__ import annotations

from collections import Counter

import keras
import numpy as np
import pytest
import zoo
from keras import layers

from reportgen.errors import ModelError
from reportgen.nets import structure
from reportgen.nets.keras_network import KerasNetwork
from reportgen.network.facts import InputRef


def distinct(weights):
    """Return weights without repetition, as Keras counts them."""
    return list({id(w): w for w in weights}.values())


def content(array):
    """Return what tells arrays apart."""
    array = np.asarray(array)
    return array.shape, array.astype(np.float64).tobytes()


def elements(weights):
    return sum(int(np.prod(w.shape)) for w in distinct(weights))


def paths(network):
    return [facts.path for facts, _ in network.variables()]


def by_path(network):
    return {layer.path: layer for layer in network.facts.layers}


@pytest.mark.parametrize("name", zoo.NAMES)
def test_paths_are_unique(name):
    facts = zoo.network(name).facts
    for listed in (
        [layer.path for layer in facts.layers],
        [call.id for call in facts.calls],
        paths(zoo.network(name)),
    ):
        assert len(listed) == len(set(listed)) > 0


@pytest.mark.parametrize("name", zoo.NAMES)
def test_every_weight_is_yielded_once(name):
    weights = distinct(zoo.network(name)._model.weights)
    arrays = as_stored(list(zoo.network(name).variables()))
    stored = [keras.ops.convert_to_numpy(w).astype(np.float64) for w in weights]
    assert Counter(map(content, arrays)) == Counter(map(content, stored))


def as_stored(pairs):
    """Return the arrays, those of quantized kernels as the whole numbers that they are stored in."""
    scales = {f.layer: array for f, array in pairs if f.name == "kernel_scale"}
    return [np.rint(a * scales[f.layer]) if f.quantized else a for f, a in pairs]


@pytest.mark.parametrize("name", zoo.NAMES)
def test_variables_stand_at_layers_that_exist_and_say_their_shape(name):
    known = by_path(zoo.network(name))
    for facts, array in zoo.network(name).variables():
        assert facts.layer in known
        assert facts.shape == array.shape
        assert facts.path.startswith(f"{facts.layer}/")
        assert known[facts.layer].class_name == facts.layer_class


@pytest.mark.parametrize("name", zoo.NAMES)
def test_counts_are_those_of_keras(name):
    model, facts = zoo.network(name)._model, zoo.network(name).facts
    assert facts.parameters == model.count_params() == elements(model.weights)
    assert facts.trainable_parameters == elements(model.trainable_weights)
    trained = sum(a.size for v, a in zoo.network(name).variables() if v.trainable)
    assert facts.trainable_parameters == trained


@pytest.mark.parametrize("name", zoo.NAMES)
def test_every_layer_counts_what_keras_counts(name):
    known = Counter(
        (layer.name, elements(layer.weights), elements(layer.trainable_weights))
        for layer in zoo.network(name)._model._flatten_layers(include_self=False)
    )
    listed = Counter(
        (layer.name, layer.parameters, layer.trainable_parameters)
        for layer in zoo.network(name).facts.layers
        if layer.parameters
    )
    assert listed
    assert not listed - known


@pytest.mark.parametrize("name", zoo.NAMES)
def test_parents_stand_before_their_children_and_hold_their_sum(name):
    seen = {}
    own = Counter()
    for variable, array in zoo.network(name).variables():
        own[variable.layer] += array.size
    for layer in zoo.network(name).facts.layers:
        assert layer.parent is None or layer.parent in seen
        seen[layer.path] = layer
    for path, layer in seen.items():
        inside = sum(size for at, size in own.items() if at == path or at.startswith(f"{path}/"))
        shared = 40 if path == "outward" else 0  # the tied kernel counts at both its layers
        assert layer.parameters == inside + shared


def test_nested_layers_have_the_path_of_their_names():
    assert [layer.path for layer in zoo.network("nested").facts.layers if layer.parameters] == [
        "middle",
        "middle/inner",
        "middle/inner/see",
        "middle/inner/norm",
        "middle/narrow",
        "which",
    ]
    assert by_path(zoo.network("nested"))["middle/inner/see"].parent == "middle/inner"


def test_the_same_names_in_two_backbones_stay_apart():
    kernels = {facts.path: array for facts, array in zoo.network("same_names").variables()}
    model = zoo.network("same_names")._model
    for backbone in ("one", "two"):
        np.testing.assert_array_equal(
            kernels[f"{backbone}/see/kernel"],
            model.get_layer(backbone).get_layer("see").kernel.numpy(),
        )


def test_siblings_of_one_name_are_numbered():
    class Twins(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = layers.Dense(3, name="twin"), layers.Dense(2, name="twin")

        def call(self, inputs):
            return self.second(self.first(inputs))

    model = Twins()
    model(np.zeros((1, 4), np.float32))
    network = KerasNetwork(model)
    assert paths(network) == ["twin/kernel", "twin/bias", "twin.2/kernel", "twin.2/bias"]
    assert [(call.id, call.inputs) for call in network.facts.calls] == [
        ("twin", (InputRef("input"),)),
        ("twin.2", ("twin",)),
    ]


def test_a_tied_weight_is_yielded_at_its_first_layer_and_names_the_other():
    network = zoo.network("tied")
    assert {facts.path: facts.shared_by for facts, _ in network.variables()} == {
        "inward/kernel": ("outward",),
        "inward/bias": (),
    }
    assert network.facts.parameters == 10 * 4 + 4
    assert by_path(network)["outward"].parameters == 40


def test_a_shared_layer_counts_once():
    assert zoo.network("shared_layer").facts.parameters == (6 * 6 + 6) + (6 * 2 + 2)


def test_frozen_layers_train_nothing():
    model = zoo.make("behind_rescaling")
    model.get_layer("backbone").trainable = False
    network = KerasNetwork(model)
    assert network.facts.trainable_parameters == 4 + 1
    known = by_path(network)
    assert known["backbone"].trainable_parameters == 0
    assert known["backbone/see"].trainable_parameters == 0
    assert known["backbone/see"].parameters == 3 * 3 * 3 * 4 + 4
    assert {v.path for v, _ in network.variables() if v.trainable} == {"is_it/kernel", "is_it/bias"}


def test_roles_tell_what_a_weight_is():
    roles = {facts.path: facts.role for facts, _ in zoo.network("functional").variables()}
    assert roles["norm/gamma"] == "gamma"
    assert roles["norm/moving_variance"] == "moving_variance"
    assert (roles["side/kernel"], roles["side/bias"]) == ("kernel", "bias")
    apart = {facts.path: facts.role for facts, _ in zoo.network("separable").variables()}
    assert apart["apart/depthwise_kernel"] == apart["apart/pointwise_kernel"] == "kernel"
    words = {facts.path: facts.role for facts, _ in zoo.network("text").variables()}
    assert words["words/embeddings"] == "embeddings"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("functional", 164 * 4),
        ("mixed_float16", 164 * 4),  # variables stay float32
        ("bfloat16", 164 * 2),
        # float32 convolution, int8 kernel 36x5, float32 bias and scale of 5
        ("int8", (3 * 3 * 3 * 4 + 4) * 4 + 36 * 5 + 5 * 4 + 5 * 4),
        ("tied", 44 * 4),
    ],
)
def test_bytes_are_those_of_the_stored_types(name, expected):
    assert zoo.network(name).facts.weight_bytes == expected


def test_quantized_kernels_are_given_as_they_are_computed_with():
    pairs = list(zoo.network("int8").variables())
    found = {facts.path: (facts, array) for facts, array in pairs}
    facts, array = found["which/kernel"]
    assert (facts.dtype, facts.quantized, array.dtype) == ("int8", "int8", np.float32)
    whole = array * found["which/kernel_scale"][1]
    np.testing.assert_allclose(whole, np.rint(whole), atol=1e-3)
    assert np.abs(whole).max() == pytest.approx(127)


def test_bfloat16_is_read_as_float32():
    (facts, array), *_ = zoo.network("bfloat16").variables()
    assert (facts.dtype, array.dtype) == ("bfloat16", np.float32)
    assert zoo.network("bfloat16").facts.dtype_policy == "bfloat16"
    assert zoo.network("mixed_float16").facts.dtype_policy == "mixed_float16"


# -- nothing is hidden -----------------------------------------------------------------------------


class Hoard(keras.Model):
    """Keeps layers wherever Python lets it, one of them twice, beside weights and a seed of its own."""

    def __init__(self):
        super().__init__(name="hoard")
        self.listed = [
            layers.Dense(4, name="listed"),
            layers.RandomTranslation(0.1, 0.1, name="move"),
        ]
        self.mapped = {"a": layers.Dense(4, name="mapped"), "b": [zoo.backbone("inside")]}
        self.again = self.listed[0]
        self.pair = (layers.Dropout(0.5, name="drop"), layers.GaussianNoise(0.1, name="noise"))
        self.seed = keras.random.SeedGenerator(3)
        self.gain = self.add_weight(shape=(4,), initializer="ones", name="gain")
        self.steps = self.add_weight(shape=(), dtype="int32", trainable=False, name="steps")

    def call(self, inputs):
        seen = self.mapped["b"][0](self.listed[1](inputs))
        x = self.mapped["a"](self.again(self.listed[0](seen)) * self.gain)
        return self.pair[1](self.pair[0](x))


def _hoard():
    model = Hoard()
    model(np.zeros((1, 8, 8, 3), np.float32))
    return model


def _random_layers():
    makers = (layers.RandomFlip, layers.RandomGrayscale, lambda: layers.RandomRotation(0.1))
    return keras.Sequential([keras.Input((8, 8, 3)), *(make() for make in makers), zoo.backbone()])


def _closure():
    hidden = layers.Dense(3, name="hidden")
    hidden.build((None, 4))
    entry = keras.Input((4,), name="features")
    return keras.Model(entry, layers.Lambda(lambda x: hidden(x), name="closure")(entry))  # noqa: PLW0108


def _adapted():
    entry = keras.Input((4,), name="features")
    model = keras.Model(entry, layers.Dense(2, name="kept")(entry))
    model.get_layer("kept").enable_lora(1)
    return model


def _named_as_a_seed():
    entry = keras.Input((4,), name="features")
    return keras.Model(entry, layers.Dense(2, name="seed_generator_mix")(entry))


def _trained():
    model = zoo.make("multi_output")
    x = zoo.inputs("multi_output", 4)["picture"]
    y = {"which": np.zeros(4), "tags": np.zeros((4, 3)), "how_much": np.zeros((4, 1))}
    model.fit(x, y, epochs=1, verbose=0)  # metrics and the optimizer have variables of their own
    return model


ODD = {
    "hoard": _hoard,
    "random layers": _random_layers,
    "closure": _closure,
    "adapted": _adapted,
    "named as a seed": _named_as_a_seed,
    "trained": _trained,
}


@pytest.mark.parametrize("name", ODD)
def test_nothing_is_hidden_in_odd_models(name):
    model = ODD[name]()
    network = KerasNetwork(model)
    assert network.facts.trace_problem is None
    arrays = [array for _, array in network.variables()]
    assert sum(array.size for array in arrays) == model.count_params()
    assert len(arrays) == len(distinct(model.weights))


def test_a_layer_that_is_called_as_seeds_are_keeps_its_variables():
    assert paths(KerasNetwork(_named_as_a_seed())) == [
        "seed_generator_mix/kernel",
        "seed_generator_mix/bias",
    ]


@pytest.mark.parametrize(
    ("function", "fewer", "name", "said"),
    [
        ("inner_layers", lambda _: [], "recurrent", "the variable 'every/each/kernel'"),
        ("inner_layers", lambda _: [], "subclassed", "the layer 'left'.* and 6 more of the model"),
        ("layer_variables", lambda layer: layer.weights[1:], "shared_layer", "'again/kernel'"),
        (
            "layer_variables",
            lambda _: [],
            "nested",
            "of the model 'outer' cannot be reached in Keras",
        ),
    ],
)
def test_a_keras_that_shows_less_is_refused(function, fewer, name, said, monkeypatch):
    model = zoo.make(name)
    KerasNetwork(model)
    monkeypatch.setattr(
        structure, function, lambda o: fewer(o) if isinstance(o, keras.Layer) else []
    )
    with pytest.raises(ModelError, match=said):
        KerasNetwork(model)


def test_parameters_that_are_counted_and_not_found_are_said(monkeypatch):
    model = zoo.make("functional")
    monkeypatch.setattr(model, "count_params", lambda: 165)
    with pytest.raises(ModelError, match="some of its 165 parameters of the model"):
        KerasNetwork(model)


def test_seed_generators_are_no_weights():
    model = zoo.network("dropout")._model
    assert len(model.variables) > len(model.weights)
    assert len(paths(zoo.network("dropout"))) == len(model.weights)


def test_operations_between_layers_are_listed():
    classes = {layer.path: layer.class_name for layer in zoo.network("operations").facts.layers}
    assert classes["mean"] == "Mean"
    assert classes["softmax"] == "Softmax"


def test_an_activation_that_is_a_name_is_that_name():
    layer = layers.Dense(2, name="which")
    layer.activation = "gelu"  # as some layers of others keep it
    assert structure.activation_name(layer) == "gelu"


def test_activations_are_named():
    known = by_path(zoo.network("functional"))
    assert [known[path].activation for path in ("see", "norm", "fire", "which")] == [
        "linear",
        None,
        "relu",
        "softmax",
    ]


def test_a_model_of_one_layer_and_one_of_none():
    entry = keras.Input((4,), name="given")
    single = KerasNetwork(keras.Model(entry, layers.Dense(2, name="only")(entry)))
    assert paths(single) == ["only/kernel", "only/bias"]
    empty = KerasNetwork(keras.Model(entry, layers.Activation("relu", name="only")(entry)))
    assert paths(empty) == []
    assert empty.facts.parameters == empty.facts.weight_bytes == 0


def test_an_einsum_is_drawn_by_the_axes_of_its_equation():
    """Held against the spread of what Keras draws: fan-in and fan-out are read off the values."""
    keras.utils.set_random_seed(3)
    start = keras.Input((8, 64))
    x = layers.MultiHeadAttention(4, 32, kernel_initializer="he_uniform", name="heads")(
        start, start
    )
    x = layers.EinsumDense(
        "abc,cde->abde", (8, 16, 8), kernel_initializer="he_uniform", name="sum"
    )(x)
    network = KerasNetwork(keras.Model(start, layers.Reshape((8, 128))(x)))
    found = {facts.path: (facts, array) for facts, array in network.variables()}
    for path in (
        "heads/query/kernel",
        "heads/value/kernel",
        "heads/attention_output/kernel",
        "sum/kernel",
    ):
        facts, array = found[path]
        by_axes = hasattr(
            keras.initializers.HeUniform(), "input_axes"
        )  # before Keras 3.15 by the shape
        assert (facts.fans is not None) == by_axes
        fan_in = facts.fans[0] if by_axes else np.prod(array.shape[:-1])
        assert 6 / np.abs(array).max() ** 2 == pytest.approx(fan_in, rel=0.02)
        assert not by_axes or np.prod(facts.fans) == array.size
    assert found["sum/kernel"][0].fans == ((64, 128) if by_axes else None)


class Places(layers.Layer):
    """A table of places, with the initializer of its one weight kept under a plain name."""

    def __init__(self, initializer, *, second=False):
        super().__init__()
        self.initializer, self.second = keras.initializers.get(initializer), second

    def build(self, shape):
        self.table = self.add_weight(
            name="embeddings", shape=shape[1:], initializer=self.initializer
        )
        if self.second:
            self.other = self.add_weight(name="other", shape=shape[1:], initializer="zeros")

    def call(self, inputs):
        return inputs + self.table + (self.other if self.second else 0)


@pytest.mark.parametrize(("second", "said"), [(False, "random_normal"), (True, None)])
def test_the_only_initializer_of_a_layer_is_that_of_its_only_weight(second, said):
    start = keras.Input((7, 4))
    network = KerasNetwork(keras.Model(start, Places("random_normal", second=second)(start)))
    facts, _ = next(network.variables())
    assert (facts.name, facts.initializer) == ("embeddings", said)
