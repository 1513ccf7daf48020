"""Files of many images: whatever their bytes are, their images are counted, or the file is refused."""

from __future__ import annotations

import pytest
from datasets import WRITERS, samples
from fuzzing import bounded, cases, damaged, ending_in
from hypothesis import given
from hypothesis import strategies as st

from reportgen.errors import DataError
from reportgen.inputs.data_source import list_data
from reportgen.inputs.dataset import DataSet
from reportgen.inputs.fitting import InputShape
from reportgen.settings import Settings

INPUTS = [InputShape("picture", (8, 8, 1), "float32")]
SETTINGS = Settings()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Small files of each kind."""
    place = tmp_path_factory.mktemp("corpus")
    return {name: [write(place / name, samples(4)).read_bytes()] for name, write in WRITERS.items()}


def read_all(path):
    """Read all that a file gives; no image is lost in silence."""
    data = DataSet(list_data(path, SETTINGS), INPUTS, SETTINGS)
    count = 0
    for shard in data.shards(2):
        for block in data.blocks(shard, 2):
            assert len(block.labels) == len(block.places) == len(block.arrays["picture"])
            count += len(block.places)
    assert count + data.broken_count > 0
    return count


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_the_corpus_is_read(tmp_path, corpus, name):
    (tmp_path / name).write_bytes(corpus[name][0])
    assert read_all(tmp_path / name) == 4


@given(st.data())
@cases(150, 10_000)
def test_damaged_files_of_many_images(tmp_path_factory, corpus, data):
    name = data.draw(st.sampled_from(sorted(WRITERS)))
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(data.draw(damaged(corpus[name])))
    with bounded(), ending_in(DataError):
        read_all(path)
