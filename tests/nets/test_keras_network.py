"""``KerasNetwork`` answers what Keras answers, leaves the model alone and says how it was trained."""

from __future__ import annotations

import threading
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo
from keras import layers

from reportgen.errors import ModelError
from reportgen.nets import blocks as forward_blocks
from reportgen.nets.blocks import ForwardBlocks
from reportgen.nets.keras_network import KerasNetwork
from reportgen.network.tasks import guess_tasks

ROUGH = {"mixed_float16": 2e-3, "bfloat16": 2e-2, "int8": 1e-3}
COUNTS = (1, 3, 8, 11)


def outputs(network, given):
    """Return all outputs by name, blocks put together, and check where each block begins."""
    parts: dict[str, list[np.ndarray]] = {}
    done = 0
    for batch in network.forward(given):
        assert batch.first == done
        sizes = {len(array) for array in (*batch.inputs.values(), *batch.outputs.values())}
        assert len(sizes) == 1
        done += sizes.pop()
        for name, array in batch.outputs.items():
            parts.setdefault(name, []).append(array)
    assert done == len(next(iter(given.values())))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def agree(found, expected, name):
    assert list(found) == list(expected)
    for key, array in found.items():
        assert array.dtype == np.float32
        tolerance = ROUGH.get(name, 1e-5)
        np.testing.assert_allclose(array, expected[key], rtol=tolerance, atol=tolerance)


def state(model):
    """Return everything of a model that running it might change."""
    return (
        [keras.ops.convert_to_numpy(v).tobytes() for v in model.variables],
        [
            (layer.name, layer.trainable, len(layer._inbound_nodes))
            for layer in model._flatten_layers()
        ],
        model.compiled,
    )


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", zoo.NAMES)
def test_outputs_are_those_of_keras(name, count):
    expected = {key: array[:count] for key, array in zoo.predicted(name).items()}
    agree(outputs(zoo.network(name), zoo.inputs(name, count)), expected, name)


@pytest.mark.parametrize("name", [n for n in zoo.NAMES if n != "nan"])
def test_the_zoo_tells_its_inputs_apart(name):
    """Otherwise agreement would mean little."""
    for array in zoo.predicted(name).values():
        assert np.isfinite(array).all()
        assert np.ptp(np.asarray(array, np.float32), axis=0).max() > 1e-3


def squashed(logits, activation):
    """Return what an activation makes of logits, in double precision."""
    if activation == "sigmoid":
        return 1 / (1 + np.exp(-logits.astype(np.float64)))
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("name", [n for n in zoo.NAMES if n not in {"nan", *ROUGH}])
def test_logits_are_what_the_last_activation_is_given(name):
    (batch,) = zoo.network(name).forward(zoo.inputs(name, 3))
    heads = {key: activation for key, (activation, _) in zoo.ZOO[name].heads.items()}
    assert set(batch.logits) == {k for k, a in heads.items() if a in {"softmax", "sigmoid"}}
    for key, logits in batch.logits.items():
        expected = squashed(logits, heads[key])
        np.testing.assert_allclose(batch.outputs[key], expected, rtol=1e-4, atol=1e-6)


def test_nan_weights_give_nan_and_no_error():
    (array,) = outputs(zoo.network("nan"), zoo.inputs("nan", 3)).values()
    assert np.isnan(array).all()


@pytest.mark.parametrize("name", zoo.NAMES)
def test_the_model_is_left_as_it_was(name):
    model = zoo.make(name)
    if not model.built:
        model.build((None, 8, 8, 3))
    before = state(model)
    network = KerasNetwork(model, **zoo.ZOO[name].options)
    names = [tensor.name for tensor in network.facts.inputs]
    drawn = zoo.inputs(name, 3)
    given = drawn if len(names) > 1 else dict(zip(names, drawn.values(), strict=True))
    outputs(network, given)
    network.normalization_input(given)
    list(network.variables())
    assert state(model) == before


def test_a_model_trains_on_as_if_nothing_had_been():
    images, labels = zoo.inputs("logits", 8)["picture"], np.arange(8) % 4
    kernels = []
    for look in (False, True):
        model = zoo.make("logits")
        model.fit(images, labels, batch_size=8, shuffle=False, verbose=0)
        if look:
            outputs(KerasNetwork(model), {"picture": images})
        model.fit(images, labels, batch_size=8, shuffle=False, verbose=0)
        kernels.append(model.get_layer("scores").kernel.numpy())
    np.testing.assert_array_equal(*kernels)


def test_a_model_in_training_mode_layers_runs_as_in_inference():
    first, second = (outputs(zoo.network("dropout"), zoo.inputs("dropout", 8)) for _ in range(2))
    np.testing.assert_array_equal(first["which"], second["which"])


@pytest.mark.parametrize("name", zoo.NAMES)
def test_the_head_is_recognised(name):
    facts = zoo.network(name).facts
    heads = zoo.ZOO[name].heads
    assert [output.name for output in facts.outputs] == list(heads)
    assert [output.activation for output in facts.outputs] == [a for a, _ in heads.values()]
    assert [task.kind for task in guess_tasks(facts, ())] == [kind for _, kind in heads.values()]


@pytest.mark.parametrize("name", zoo.NAMES)
def test_inputs_and_outputs_have_their_names_and_shapes(name):
    network, case = zoo.network(name), zoo.ZOO[name]
    assert {t.name: network.input_shape(t.name) for t in network.facts.inputs} == dict(case.shapes)
    expected = {key: array.shape[1:] for key, array in zoo.predicted(name).items()}
    assert {output.name: output.shape[1:] for output in network.facts.outputs} == expected


def test_an_input_without_a_name_has_that_of_its_layer():
    entry = keras.Input((4,))
    model = keras.Model(entry, layers.Dense(2)(entry))
    assert KerasNetwork(model).facts.inputs[0].name == model.layers[0].name
    late = keras.Sequential([layers.Dense(2)])
    late.build((None, 4))
    assert KerasNetwork(late).facts.inputs[0].name.startswith("input_layer")


def test_open_sizes_and_fixed_batches_are_told():
    opened = zoo.network("open_size")
    assert opened.facts.inputs[0].shape == (None, None, None, 3)
    assert opened.open_inputs == ("picture",)
    assert zoo.network("functional").open_inputs == ()
    assert zoo.network("fixed_batch").facts.inputs[0].shape == (4, 8, 8, 3)
    assert KerasNetwork(zoo.make("open_size")).input_shape("picture") == (224, 224, 3)


def test_a_fixed_batch_is_kept():
    batches = list(zoo.network("fixed_batch").forward(zoo.inputs("fixed_batch", 11)))
    assert [len(batch.outputs["which"]) for batch in batches] == [4, 4, 3]


def test_an_input_layer_of_a_sequential_can_be_missing():
    with pytest.raises(ModelError, match="does not say what it takes"):
        KerasNetwork(keras.Sequential([layers.Dense(2)], name="bare"))


def test_an_unbuilt_model_that_the_arrays_do_not_fit_is_refused():
    model = keras.Sequential([layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(1)], name="bare")
    with pytest.raises(ModelError, match=r"'bare' is not built and cannot be called"):
        KerasNetwork(model, given={None: ((2, 2, 3), False)})


# -- memory ----------------------------------------------------------------------------------------


def blocks(network, count=11):
    given = zoo.inputs("functional", count)
    return [len(batch.outputs["which"]) for batch in network.forward(given)]


def test_blocks_hold_four_images_or_as_many_as_there_are():
    assert blocks(KerasNetwork(zoo.make("functional"))) == [4, 4, 3]
    assert blocks(KerasNetwork(zoo.make("functional"), images=5)) == [4, 4, 3]
    assert blocks(KerasNetwork(zoo.make("functional"), images=3)) == [3, 3, 3, 2]


def test_the_memory_bound_makes_blocks_smaller(monkeypatch):
    # at its peak one image holds fire, side and their sum, each 8x8x4 float32
    monkeypatch.setattr(forward_blocks, "MAX_ACTIVATION_BYTES", 3 * (3 * 256 * 4) + 100)
    network = KerasNetwork(zoo.make("functional"))
    assert blocks(network) == [3, 3, 3, 2]
    expected = {key: array[:11] for key, array in zoo.predicted("functional").items()}
    agree(outputs(network, zoo.inputs("functional", 11)), expected, "functional")


def test_one_image_is_run_however_small_the_bound(monkeypatch):
    monkeypatch.setattr(forward_blocks, "MAX_ACTIVATION_BYTES", 1)
    assert blocks(KerasNetwork(zoo.make("functional")), 2) == [1, 1]


def exhausted(largest):
    """Return a stand-in for the traced function that refuses blocks over ``largest`` images."""

    def wrap(traced):
        def run(*tensors):
            if len(tensors[0]) > largest:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
            return traced.function(*tensors)

        run.inputs, run.captured_inputs = traced.function.inputs, traced.function.captured_inputs
        return traced._replace(function=run)

    return wrap


def scarce(monkeypatch, largest):
    trace, wrap = ForwardBlocks._trace, exhausted(largest)
    monkeypatch.setattr(ForwardBlocks, "_trace", lambda self, **more: wrap(trace(self, **more)))
    return KerasNetwork(zoo.make("functional"))


def test_blocks_are_halved_until_they_fit_and_no_image_is_lost(monkeypatch):
    network = scarce(monkeypatch, 3)
    assert blocks(network) == [2, 2, 2, 2, 2, 1]
    expected = {key: array[:11] for key, array in zoo.predicted("functional").items()}
    agree(outputs(network, zoo.inputs("functional", 11)), expected, "functional")


def test_where_memory_holds_one_block_at_a_time_none_is_halved(monkeypatch):
    """Blocks run side by side until the first is refused; then in a row, as large as before."""
    running, ended = threading.Lock(), []
    trace = ForwardBlocks._trace

    def scarce(self, **more):
        traced = trace(self, **more)

        def run(*tensors):
            if not running.acquire(blocking=False):
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
            try:
                time.sleep(0.01)
                ended.append(len(tensors[0]))
                return traced.function(*tensors)
            finally:
                running.release()

        run.inputs, run.captured_inputs = traced.function.inputs, traced.function.captured_inputs
        return traced._replace(function=run)

    monkeypatch.setattr(ForwardBlocks, "_trace", scarce)
    network = KerasNetwork(zoo.make("functional"), images=2)
    network._blocks.lanes = 3
    assert blocks(network) == [2, 2, 2, 2, 2, 1]
    assert network.lanes == 1
    expected = {key: array[:11] for key, array in zoo.predicted("functional").items()}
    agree(outputs(network, zoo.inputs("functional", 11)), expected, "functional")


def test_one_image_too_large_is_said(monkeypatch):
    with pytest.raises(ModelError, match="memory does not suffice for one image"):
        list(scarce(monkeypatch, 0).forward(zoo.inputs("functional", 2)))


# -- in front of the first normalization -----------------------------------------------------------


def by_hand(maps):
    flat = np.asarray(maps, np.float64).reshape(-1, maps.shape[-1])
    return flat.mean(axis=0), flat.var(axis=0)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_what_flows_into_the_first_normalization_is_measured(count):
    """Padding to the block's size must not count."""
    network, given = zoo.network("functional"), zoo.inputs("functional", count)
    model = network._model
    cut = keras.Model(model.inputs, model.get_layer("see").output)
    mean, variance = by_hand(np.asarray(cut(given["picture"])))
    found = network.normalization_input(given)
    assert found.layer == "norm"
    np.testing.assert_allclose(found.mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.variance, variance, rtol=1e-4, atol=1e-5)
    norm = model.get_layer("norm")
    np.testing.assert_array_equal(found.moving_mean, norm.moving_mean.numpy())
    np.testing.assert_array_equal(found.moving_variance, norm.moving_variance.numpy())


def test_the_first_normalization_of_a_nested_model_is_found():
    network, given = zoo.network("behind_rescaling"), zoo.inputs("behind_rescaling", 3)
    see = network._model.get_layer("backbone").get_layer("see")
    mean, variance = by_hand(np.asarray(see(given["picture"] / 255)))
    found = network.normalization_input(given)
    assert found.layer == "backbone/norm"
    np.testing.assert_allclose(found.mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.variance, variance, rtol=1e-3, atol=1e-7)


def test_channels_first_are_measured_along_their_axis():
    entry = keras.Input((3, 6, 5), name="picture")
    x = layers.BatchNormalization(axis=1, name="norm")(entry)
    network = KerasNetwork(keras.Model(entry, layers.Flatten()(x)))
    images = np.random.default_rng(2).normal(size=(4, 3, 6, 5)).astype(np.float32)
    found = network.normalization_input({"picture": images})
    np.testing.assert_allclose(found.mean, images.mean(axis=(0, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(found.variance, images.var(axis=(0, 2, 3)), rtol=1e-4)


def test_without_normalization_nothing_is_measured():
    assert zoo.network("sequential").normalization_input(zoo.inputs("sequential", 2)) is None


@pytest.mark.parametrize(
    ("name", "layer"),
    [("behind_rescaling", "scale"), ("functional", None), ("sequential", None)],
)
def test_a_rescaling_in_front_means_raw_input(name, layer):
    found = zoo.network(name).facts.rescaling
    assert (found.layer if found else None) == layer


# -- what layers answer ----------------------------------------------------------------------------


def watched(name, **options):
    return KerasNetwork(
        zoo.make(name), watch=lambda calls: tuple(call.id for call in calls), **options
    )


@pytest.mark.parametrize("name", ["sequential", "functional", "separable", "segmentation"])
def test_moments_and_maps_are_those_of_the_layers(name):
    network, given = watched(name), zoo.inputs(name, 11)
    batches = list(network.forward(given))
    for layer in network._model.layers:
        if isinstance(layer, layers.InputLayer):
            continue
        cut = keras.Model(network._model.inputs, layer.output)
        expected = np.asarray(cut(given["picture"]))
        flat = expected.reshape(len(expected), -1, expected.shape[-1]).astype(np.float64)
        maps = np.concatenate([batch.maps[layer.name] for batch in batches])
        np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)
        for field, value in {
            "mean": flat.mean(axis=1),
            "mean_square": (flat**2).mean(axis=1),
            "low": flat.min(axis=1),
            "high": flat.max(axis=1),
            "zeros": (flat == 0).sum(axis=1),
            "non_finite": np.zeros((len(flat), flat.shape[2])),
        }.items():
            found = np.concatenate([getattr(b.moments[layer.name], field) for b in batches])
            np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-5, err_msg=field)
        assert batches[0].moments[layer.name].positions == flat.shape[1]


def test_moments_leave_nan_out_and_count_it():
    network, given = watched("nan"), zoo.inputs("nan", 3)
    (batch,) = network.forward(given)
    moments = batch.moments["see"]
    assert moments.positions == 36
    np.testing.assert_array_equal(moments.non_finite, [[0, 36, 36, 0]] * 3)
    model = network._model
    see = np.asarray(keras.Model(model.inputs, model.get_layer("see").output)(given["picture"]))
    healthy = see[..., [0, 3]].reshape(3, 36, 2)
    np.testing.assert_allclose(moments.mean[:, [0, 3]], healthy.mean(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(moments.low[:, [0, 3]], healthy.min(axis=1))
    assert np.isposinf(moments.low[:, 1]).all()
    assert np.isneginf(moments.high[:, 1]).all()


# -- how it was trained ----------------------------------------------------------------------------


def test_a_compiled_model_tells_its_optimizer_loss_and_rate():
    facts = zoo.network("logits").facts
    assert facts.optimizer == "Adam"
    assert facts.learning_rate == pytest.approx(0.002)
    assert facts.loss == facts.outputs[0].loss == "sparse_categorical_crossentropy"


def test_losses_are_told_for_each_output():
    facts = zoo.network("multi_output").facts
    assert {output.name: output.loss for output in facts.outputs} == {
        "which": "sparse_categorical_crossentropy",
        "tags": "binary_crossentropy",
        "how_much": "mse",
    }
    assert facts.optimizer == "SGD"
    assert facts.learning_rate == 0.25


def test_a_model_that_was_never_compiled_tells_nothing():
    facts = zoo.network("functional").facts
    assert (facts.optimizer, facts.loss, facts.learning_rate) == (None, None, None)
    assert facts.outputs[0].loss is None


def test_a_schedule_is_no_learning_rate():
    model = zoo.make("functional")
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    model.compile(keras.optimizers.SGD(schedule), "mse")
    facts = KerasNetwork(model).facts
    assert (facts.optimizer, facts.learning_rate) == ("SGD", None)


def test_a_loss_function_of_ones_own_is_named():
    def strange(truth, guess):
        return keras.ops.mean(truth - guess)

    model = zoo.make("functional")
    model.compile("adam", strange)
    assert KerasNetwork(model).facts.outputs[0].loss == "strange"


def test_a_stored_configuration_speaks_for_a_model_that_is_not_compiled():
    stored = {
        "optimizer": {"class_name": "RMSprop", "config": {"learning_rate": 0.5}},
        "loss": {"class_name": "MeanSquaredError", "config": {"name": "mse"}},
    }
    facts = KerasNetwork(zoo.make("perceptron"), compiled=stored).facts
    assert (facts.optimizer, facts.learning_rate) == ("RMSprop", 0.5)
    assert facts.outputs[0].loss == "mean_squared_error"


def test_versions_are_told():
    versions = dict(zoo.network("functional").facts.versions)
    assert versions["Keras"] == keras.__version__
    assert versions["TensorFlow"] == tf.__version__


def test_a_device_that_is_missing_is_said():
    with pytest.raises(ModelError, match="sees no GPU"):
        KerasNetwork(zoo.make("functional"), device="gpu")


def test_what_the_first_layer_does_is_measured():
    """The affine map that the facts tell is what the layer does."""
    generator = np.random.default_rng(0)
    x = generator.uniform(0, 1, (50, 4, 4, 3)).astype(np.float32)
    each = keras.layers.Normalization(axis=-1, name="own")
    each.adapt(x)
    for layer in (
        each,
        keras.layers.Normalization(
            axis=-1, mean=[1.0, 2.0, 3.0], variance=[4.0, 9.0, 16.0], name="own"
        ),
        keras.layers.Normalization(axis=-1, mean=0.5, variance=0.25, invert=True, name="own"),
        keras.layers.Rescaling(2.0, offset=-1.0, name="own"),
        keras.layers.Rescaling([1.0, 2.0, 3.0], offset=[0.0, 1.0, 2.0], name="own"),
    ):
        model = keras.Sequential([keras.Input((4, 4, 3)), layer, keras.layers.Conv2D(2, 1)])
        found = KerasNetwork(model).facts.rescaling
        assert found.layer == "own"
        assert found.adapted == isinstance(layer, keras.layers.Normalization)
        np.testing.assert_allclose(
            np.asarray(layer(x)), x * np.array(found.scale) + np.array(found.offset), atol=1e-4
        )
