"""Array files: whatever their bytes, shapes and types are, they are probes of a network or refused."""

from __future__ import annotations

import io

import models
import numpy as np
from fuzzing import bounded, cases, damaged, ending_in
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reportgen.errors import DataError, LabelError, ProbeError
from reportgen.inputs.data_source import list_data
from reportgen.inputs.dataset import DataSet
from reportgen.inputs.fitting import InputShape
from reportgen.inputs.listing import list_images
from reportgen.inputs.probes import read_probes
from reportgen.settings import Settings

NETWORKS = (
    [InputShape("picture", (12, 12, 3), "float32")],
    [InputShape("picture", (12, 12, 1), "uint8")],
    [InputShape("left", (12, 12, 3), "float32"), InputShape("right", (4,), "int32")],
    [InputShape("number", (), "float32")],
)


def stored(save, *arrays, **named):
    stream = io.BytesIO()
    save(stream, *arrays, **named)
    return stream.getvalue()


IMAGES = models.images(3)
CORPUS = (
    stored(np.save, IMAGES), stored(np.save, IMAGES[..., 0] / np.float32(255)), stored(np.save, IMAGES[0]),
    stored(np.savez, x=IMAGES, y=np.arange(3)), stored(np.savez, left=IMAGES, right=np.zeros((3, 4), int)),
    stored(np.savez_compressed, x=IMAGES, y=np.array(["cat", "dog", "owl"])),
)  # fmt: skip


def try_out(path, content, inputs):
    path.write_bytes(content)
    settings = Settings(max_probes=2)
    with bounded(), ending_in(ProbeError, LabelError):
        listing = list_images(path, settings)
        assert listing.size >= 0
        assert all(0 not in shape for shape, _ in listing.shapes.values())
        found = read_probes(listing, inputs, settings)
        assert {len(array) for array in found.inputs.values()} == {len(found.probes)}
    with bounded(), ending_in(ProbeError, DataError):
        given_set = DataSet(list_data(path, settings), inputs, settings)
        for block in given_set.blocks(range(given_set.total), 2):
            assert len(block.labels) == len(block.places)


def test_the_corpus_is_read(tmp_path):
    (tmp_path / "x.npz").write_bytes(CORPUS[3])
    found = read_probes(list_images(tmp_path / "x.npz", Settings()), NETWORKS[0], Settings())
    assert [probe.label for probe in found.probes] == [0, 1, 2]


@given(damaged(CORPUS), st.sampled_from(NETWORKS))
@cases(120, 10_000)
def test_damaged_arrays(tmp_path_factory, content, inputs):
    try_out(tmp_path_factory.getbasetemp() / "damaged.npz", content, inputs)


KINDS = (
    hnp.integer_dtypes() | hnp.floating_dtypes() | hnp.unsigned_integer_dtypes() | hnp.boolean_dtypes()
    | hnp.complex_number_dtypes() | hnp.unicode_string_dtypes() | hnp.datetime64_dtypes()
)  # fmt: skip
SHAPES = hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4) | st.sampled_from(
    ((2, 12, 12, 3), (12, 12, 3), (2, 12, 12), (2, 4), (2,), (2, 432))
)
ARRAYS = hnp.arrays(KINDS, SHAPES, fill=st.nothing()) | st.builds(np.zeros, SHAPES, KINDS)
NAMES = st.sampled_from(("x", "y", "left", "right", "picture", "arr_0", "labels", "other"))


@given(st.dictionaries(NAMES, ARRAYS, max_size=3), st.sampled_from(NETWORKS))
@cases(100, 10_000)
def test_arrays_of_any_shape_and_type(tmp_path_factory, arrays, inputs):
    path = tmp_path_factory.getbasetemp() / "any.npz"
    try_out(path, stored(np.savez, **arrays), inputs)
