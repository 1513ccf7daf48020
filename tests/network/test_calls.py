"""Which calls are shown as maps."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reportgen.errors import UsageError
from reportgen.network.calls import MAX_MAP_BYTES, MOST_SHOWN, choose_calls, spatial
from reportgen.network.facts import CallFacts, InputRef


def call(name, shape, sources=(), class_name="Conv2D", parent=None, *, leaf=True, dtype="float32"):
    return CallFacts(
        id=name,
        layer=name.partition("#")[0],
        class_name=class_name,
        parent=parent,
        inputs=tuple(sources),
        shapes=(shape,),
        dtypes=(dtype,),
        bytes=0,
        flops=0,
        leaf=leaf,
    )


IMAGE = InputRef("x")


def chain(*shapes, prefix="c", source=IMAGE, class_name="Conv2D"):
    calls = []
    for number, shape in enumerate(shapes):
        calls.append(call(f"{prefix}{number}", shape, (source,), class_name))
        source = calls[-1].id
    return calls


def classifier(stages=4, depth=3):
    shapes = [(64 >> s, 64 >> s, 8 << s) for s in range(stages) for _ in range(depth)]
    calls = chain(*shapes)
    calls.append(call("pool", (64,), (calls[-1].id,), "GlobalAveragePooling2D"))
    calls.append(call("head", (10,), ("pool",), "Dense"))
    return calls


def test_last_of_each_resolution_and_the_last_features():
    assert choose_calls(classifier()) == ("c2", "c5", "c8", "c11", "pool")


def test_decoder_is_shown_too():
    sizes = (32, 16, 8, 16, 32)
    calls = chain(*[(s, s, 4) for s in sizes for _ in range(2)])
    assert choose_calls(calls) == ("c1", "c3", "c5", "c7", "c9")


@pytest.mark.parametrize("levels", [3, 5, 8])
def test_never_more_than_fit_the_page(levels):
    down = [2 ** (levels + 2 - level) for level in range(levels)]
    calls = chain(*[(s, s, 4) for s in [*down, *down[-2::-1]] for _ in range(2)])
    calls.append(call("pool", (64,), (calls[-1].id,), "GlobalAveragePooling2D"))
    calls.append(call("head", (10,), ("pool",), "Dense"))
    chosen = choose_calls(calls)
    assert len(chosen) <= MOST_SHOWN
    shapes = {c.id: c.shapes[0] for c in calls}
    sides = [shapes[c][0] for c in chosen if len(shapes[c]) == 3]
    assert min(down) in sides
    assert len(set(chosen)) == len(chosen) >= min(MOST_SHOWN, 2 * levels - 1)


def test_ends_of_blocks_fill_the_page():
    calls, end = [call("stem", (8, 8, 4), (InputRef("x"),))], "stem"
    for number in range(20):
        calls.append(call(f"b{number}/conv", (8, 8, 4), (end,)))
        calls.append(call(f"b{number}/add", (8, 8, 4), (end, f"b{number}/conv"), "Add"))
        end = f"b{number}/add"
    calls.append(call("pool", (4,), (end,), "GlobalAveragePooling2D"))
    calls.append(call("head", (10,), ("pool",), "Dense"))
    chosen = choose_calls(calls)
    assert len(chosen) == MOST_SHOWN
    assert chosen[-2:] == ("b19/add", "pool")
    assert all(name == "stem" or name.endswith("/add") for name in chosen[:-1])
    depths = [0 if n == "stem" else int(n[1:].partition("/")[0]) for n in chosen[:-1]]
    assert depths == sorted(depths)
    assert max(b - a for a, b in itertools.pairwise(depths)) <= 5


def test_what_hands_its_input_on_is_not_shown():
    calls = chain((8, 8, 4))
    calls.append(call("drop", (8, 8, 4), ("c0",), "Dropout"))
    calls.append(call("pad", (10, 10, 4), ("drop",), "ZeroPadding2D"))
    assert choose_calls(calls) == ("c0",)


def test_too_large_maps_are_shown_only_on_demand():
    side = int((MAX_MAP_BYTES / 4 / 16) ** 0.5)
    calls = chain((side * 2, side * 2, 16), (side, side, 16))
    assert choose_calls(calls) == ("c1",)
    assert choose_calls(calls, ("c0",)) == ("c0",)


def test_network_of_vectors():
    calls = chain((64,), (32,), (16,), (8,), (3,), class_name="Dense")
    assert choose_calls(calls) == ("c1", "c2", "c3")
    assert choose_calls(chain((5,), class_name="Dense")) == ("c0",)
    assert choose_calls([]) == ()


def test_heads_of_attention_are_no_places():
    calls = chain((16, 8), class_name="LayerNormalization")
    calls.append(call("mha", (16, 8), ("c0",), "MultiHeadAttention", leaf=False))
    calls += [
        call("mha/query", (16, 4, 2), ("c0",), "EinsumDense", "mha"),
        call("mha/softmax", (4, 16, 16), ("mha/query",), "Softmax", "mha"),
        call("mha/out", (16, 8), ("mha/softmax",), "EinsumDense", "mha"),
        call("add", (16, 8), ("c0", "mha/out"), "Add"),
        call("pool", (8,), ("add",), "GlobalAveragePooling1D"),
        call("head", (3,), ("pool",), "Dense"),
    ]
    chosen = choose_calls(calls)
    assert "add" in chosen
    assert not any(name.startswith("mha/") for name in chosen)


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((8, 8, 3), "float32", True),
        ((8, 8, 3), "float16", True),
        ((8, 8, 3), "bfloat16", True),
        ((8, 8, 3), "int32", False),
        ((1, 1, 64), "float32", False),
        ((1, 8, 64), "float32", False),
        ((16, 8), "float32", True),
        ((3, 8), "float32", False),
        ((16, 1), "float32", False),
        ((16,), "float32", False),
        ((4, 8, 8, 3), "float32", False),
    ],
)
def test_what_has_places(shape, dtype, expected):
    assert spatial(call("x", shape, dtype=dtype)) is expected


def test_globs_match_paths_and_calls():
    calls = [
        *chain((8, 8, 4), (8, 8, 4)),
        call("enc/conv", (8, 8, 2), ("c1",)),
        call("enc/conv#2", (8, 8, 2), ("enc/conv",)),
        call("c[1]", (8, 8, 2), ("c1",)),
    ]
    assert choose_calls(calls, ("c1", "c0")) == ("c0", "c1")
    assert choose_calls(calls, ("enc/*",)) == ("enc/conv", "enc/conv#2")
    assert choose_calls(calls, ("enc/conv",)) == ("enc/conv", "enc/conv#2")
    assert choose_calls(calls, ("*#2",)) == ("enc/conv#2",)
    assert choose_calls(calls, ("c?", "c0")) == ("c0", "c1")
    assert choose_calls(calls, ("*",)) == tuple(c.id for c in calls)


@pytest.mark.parametrize("pattern", ["nothing", "C0", "", "c0/"])
def test_glob_that_nothing_matches(pattern):
    with pytest.raises(UsageError, match="no layer of that name") as caught:
        choose_calls(chain((8, 8, 4)), ("c0", pattern))
    assert "c0" in str(caught.value)


sizes = st.sampled_from([(32, 32, 4), (16, 16, 4), (8, 8, 4), (1, 1, 4), (8, 4), (5,), (1,), ()])
classes = st.sampled_from(["Conv2D", "Add", "Dropout", "Dense", "MultiHeadAttention"])


@given(st.lists(st.tuples(sizes, classes, st.sets(st.integers(0, 40), max_size=3)), max_size=40))
def test_any_network(drawn):
    calls = []
    for number, (shape, class_name, sources) in enumerate(drawn):
        known = [f"c{s}" for s in sorted(sources) if s < number] or [InputRef("x")]
        calls.append(call(f"c{number}", shape, known, class_name))
    chosen = choose_calls(calls)
    assert len(chosen) <= MOST_SHOWN
    order = [c.id for c in calls if c.id in chosen]
    assert list(chosen) == order
    assert all(c.class_name != "Dropout" for c in calls if c.id in chosen)
