"""Files of many images from strangers: what is refused, what is counted, and how much memory reading takes."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import WRITERS, add, as_parquet, as_tar, as_tfrecord, samples

from reportgen.errors import DataError
from reportgen.inputs.data_source import list_data
from reportgen.inputs.dataset import DataSet
from reportgen.inputs.fitting import InputShape
from reportgen.inputs.sources.tfrecord import example
from reportgen.settings import Settings

INPUTS = [InputShape("picture", (8, 8, 1), "float32")]
GOOD = samples(3)


def opened(source, **settings):
    return DataSet(list_data(source, Settings(**settings)), INPUTS, Settings(**settings))


def read(source, size=4):
    """Return the data set once it was read, and how many images it gave."""
    data = opened(source)
    blocks = [block for shard in data.shards(size) for block in data.blocks(shard, size)]
    return data, sum(len(block.places) for block in blocks)


def special(tar, name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    tar.addfile(member)


def with_good(tar):
    for key, png, label in GOOD:
        add(tar, f"{key}.png", png)
        add(tar, f"{key}.cls", str(label).encode())


def test_names_of_a_tar_lead_nowhere(tmp_path):
    path = tmp_path / "set" / "x.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        for name in ("../../escaped", "/etc/escaped", "a/../../escaped2"):
            add(tar, f"{name}.png", GOOD[0][1])
            add(tar, f"{name}.cls", b"0")
    data, count = read(path)
    assert count == 3
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]
    rows = list(data.rows([0, 1]))
    assert data.item(rows[0]).name == "escaped.png"
    assert data.name(1) == "escaped.png"


@pytest.mark.parametrize(
    ("kind", "target"),
    [(tarfile.SYMTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "000000.png"), (tarfile.CHRTYPE, ""),
     (tarfile.FIFOTYPE, "")],
)  # fmt: skip
def test_links_and_devices_are_counted_and_not_read(tmp_path, kind, target):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        with_good(tar)
        special(tar, "z.png", kind, target)
    data, count = read(tmp_path / "x.tar")
    assert (count, data.broken_count) == (3, 1)
    assert "z.png: it is no regular file" in data.broken[0].reason


@pytest.mark.parametrize("ending", ["pkl", "pyd", "PICKLE", "pth"])
def test_pickles_are_refused_by_name(tmp_path, ending):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        with_good(tar)
        add(tar, f"000003.{ending}", b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(DataError, match="pickle"):
        read(tmp_path / "x.tar")


def test_members_of_other_types_are_passed_over(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        special(tar, "test/", tarfile.DIRTYPE)
        for key, png, label in GOOD:
            add(tar, f"test/._{key}.png", b"what macOS puts beside a file")
            add(tar, f"test/{key}.png", png)
            add(tar, f"test/{key}.mp3", b"x" * 5000)
            add(tar, f"test/{key}.cls", str(label).encode())
    data, count = read(tmp_path / "x.tar")
    assert (count, data.broken_count) == (3, 0)


def test_files_that_names_tell_of_and_that_are_missing_are_told(tmp_path):
    as_tar(tmp_path / "x-00001-of-00003.tar", GOOD)
    (notice,) = list_data(tmp_path, Settings()).listing.notices
    assert "1 of the 3 files" in notice.text
    assert not list_data(tmp_path / "x-00001-of-00003.tar", Settings()).listing.notices


def declared(tmp_path, size, kind=tarfile.REGTYPE, name="big.png"):
    """Write a tar whose last header declares more than follows."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        with_good(tar)
    whole = held.getvalue()
    end = 512 * -(-len(whole.rstrip(b"\0")) // 512)
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    (tmp_path / "x.tar").write_bytes(whole[:end] + member.tobuf(tarfile.GNU_FORMAT) + b"x" * 512)
    return tmp_path / "x.tar"


@pytest.mark.parametrize("size", [100_000, 10**9, 2**60])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_size_that_is_a_lie_takes_no_memory(tmp_path, size, kind):
    data, count = read(declared(tmp_path, size, kind))
    assert count == 3
    assert 1 <= data.broken_count <= 2
    assert any("byte" in one.reason or "limit" in one.reason for one in data.broken)


def test_a_tar_that_unpacks_without_end_is_ended(tmp_path):
    import gzip

    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        with_good(tar)
        member = tarfile.TarInfo("z.mp3")
        member.size = 400 * 2**20
        tar.fileobj.write(member.tobuf())
    with gzip.open(tmp_path / "x.tar.gz", "wb", compresslevel=1) as file:
        file.write(held.getvalue().rstrip(b"\0"))
        for _ in range(400):
            file.write(bytes(2**20))
    data, count = read(tmp_path / "x.tar.gz")
    assert count >= 2
    assert data.broken_count == 1


def test_joined_archives_are_told(tmp_path):
    one, two = (as_tar(tmp_path / f"{k}.tar", samples(3, seed=k)).read_bytes() for k in range(2))
    (tmp_path / "both.tar").write_bytes(one + two)
    data, count = read(tmp_path / "both.tar")
    assert (count, data.broken_count) == (3, 1)
    assert "follows the end of the archive" in data.broken[0].reason


@pytest.mark.parametrize("cut", [1, 100, 511, 512, 513, 1000, 1024, 2000])
def test_no_cut_of_a_tar_is_silent(tmp_path, cut):
    whole = as_tar(tmp_path / "x.tar", samples(3)).read_bytes()
    end = 512 * -(-len(whole.rstrip(b"\0")) // 512)
    (tmp_path / "x.tar").write_bytes(whole[: end - cut])
    assert read(tmp_path / "x.tar")[0].broken_count == 1


def test_a_tar_without_images_is_told(tmp_path):
    as_tar(tmp_path / "0.tar", samples(3))
    with tarfile.open(tmp_path / "1.tar", "w") as tar:
        add(tar, "README.md", b"nothing")
    data, count = read(tmp_path)
    assert (count, data.broken_count) == (3, 1)
    assert data.name(data.broken[0].place) == "1.tar, image 0"
    assert "no image" in data.broken[0].reason


def test_files_of_many_images_that_cannot_be_a_data_set_are_refused(tmp_path):
    as_tar(tmp_path / "a.tar", samples(3))
    as_tar(tmp_path / "b.tar", samples(3))
    with pytest.raises(DataError, match=r"a\.tar and .*b\.tar are the same"):
        opened(tmp_path)
    (tmp_path / "b.tar").unlink()
    as_parquet(tmp_path / "b.parquet", samples(3))
    with pytest.raises(DataError, match=r"several kinds \(parquet, tar\)"):
        opened(tmp_path)
    (tmp_path / "a.tar").unlink()
    as_parquet(tmp_path / "train-0.parquet", samples(4))
    as_parquet(tmp_path / "test-0.parquet", samples(5))
    with pytest.raises(DataError, match=r"several data sets \(test, train\)"):
        opened(tmp_path)
    assert opened(str(tmp_path / "test-*")).total == 5
    (tmp_path / "test-0.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"test-0\.parquet: the file is empty"):
        opened(str(tmp_path / "test-*"))
    with pytest.raises(DataError, match="No file matches"):
        opened(str(tmp_path / "no-*.tar"))
    with pytest.raises(DataError, match="There is no file"):
        opened(tmp_path / "no.tfrecord")


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_what_is_no_such_file_is_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"this is something else, and longer than a header is\n" * 40)
    with pytest.raises(DataError, match=name):
        opened(tmp_path / name)


def test_images_beside_archives_stay_the_data_set(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "0.png").write_bytes(GOOD[0][1])
    as_tar(tmp_path / "backup.tar", GOOD)
    assert opened(tmp_path).total == 1


def test_masks_are_not_read_from_a_tar(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        add(tar, "0.jpg", GOOD[0][1])
        add(tar, "0.png", GOOD[0][1])
        add(tar, "0.cls", b"0")
    with pytest.raises(DataError, match=r"several images \(jpg, png\).*Masks are not read"):
        opened(tmp_path / "x.tar")
    (tmp_path / "features.toml").write_text('image = "jpg"')
    assert read(tmp_path / "x.tar")[1] == 1


def test_a_record_without_a_label_or_an_image_is_told(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        with_good(tar)
        add(tar, "3.cls", b"0")
        add(tar, "4.png", GOOD[0][1])
        add(tar, "5.png", GOOD[0][1])
        add(tar, "5.json", b"[" * 100_000)
    data = opened(tmp_path / "x.tar")
    (block,) = data.blocks(data.shards(8)[0], 8)
    assert block.labels[-1] is None
    assert [one.place for one in data.broken] == [3, 5]
    with tarfile.open(tmp_path / "y.tar", "w") as tar:
        add(tar, "4.png", GOOD[0][1])
    with pytest.raises(DataError, match="no label"):
        opened(tmp_path / "y.tar")
    with tarfile.open(tmp_path / "z.tar", "w") as tar:
        add(tar, "0.png", GOOD[0][1])
        for number in range(1, 4):
            add(tar, f"{number}.png", GOOD[0][1])
            add(tar, f"{number}.cls", b"1")
    data = opened(tmp_path / "z.tar")
    (block,) = data.blocks(data.shards(8)[0], 8)
    assert [label is None for label in block.labels] == [True, False, False, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [("image = 3", "texts"), ("picture = 'a'", "'picture' is not known"), ("image", "no TOML"),
     ("classes = 'a'", "list of names"), ("image = 'no'", "'no'")],
)  # fmt: skip
def test_a_description_that_says_something_else_is_refused(tmp_path, text, said):
    as_tfrecord(tmp_path / "x.tfrecord", GOOD)
    (tmp_path / "features.toml").write_text(text)
    with pytest.raises(DataError, match=said):
        opened(tmp_path / "x.tfrecord")


def test_a_description_of_what_is_no_record_is_refused(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "0.png").write_bytes(GOOD[0][1])
    with pytest.raises(DataError, match="--data-features describes"):
        opened(tmp_path, data_features=str(tmp_path / "features.toml"))
    as_tar(tmp_path / "x.tar", GOOD)
    with pytest.raises(DataError, match=r"other\.toml"):
        opened(tmp_path / "x.tar", data_features=str(tmp_path / "other.toml"))


def test_features_that_could_all_be_meant_are_named(tmp_path):
    as_tfrecord(tmp_path / "x.tfrecord", GOOD, label="number", more=True)
    with pytest.raises(
        DataError, match=r"which feature is the label.*'image/height'.*features\.toml"
    ):
        opened(tmp_path / "x.tfrecord")


def test_a_parquet_never_names_a_file_to_read(tmp_path):
    images = [{"bytes": GOOD[0][1], "path": None}, {"bytes": None, "path": "/etc/passwd"}]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(images, kind), "label": [0, 1]})
    pq.write_table(table, tmp_path / "x.parquet")
    data, count = read(tmp_path / "x.parquet")
    assert (count, data.broken_count) == (1, 1)
    assert data.broken[0].reason == "passwd: its bytes are not in the file"


def test_columns_that_could_all_be_meant_are_named(tmp_path):
    pq.write_table(pa.table({"a": [b"1"], "b": [b"2"], "label": [0]}), tmp_path / "x.parquet")
    with pytest.raises(
        DataError, match=r"which column is the image\. Its columns are 'a', 'b', 'label'"
    ):
        opened(tmp_path / "x.parquet")
    pq.write_table(pa.table({"image": [b"1"]})[:0], tmp_path / "x.parquet")
    with pytest.raises(DataError, match="label"):
        opened(tmp_path / "x.parquet")


def test_a_parquet_is_cut_at_row_groups(tmp_path):
    as_parquet(tmp_path / "x.parquet", samples(100), groups=10)
    data = opened(tmp_path / "x.parquet")
    assert data.total == 100
    shards = data.shards(1)
    assert [len(shard) for shard in shards] == [20] * 5
    whole = [block.labels for shard in shards for block in data.blocks(shard, 20)]
    assert [label for labels in whole for label in labels] == [label for *_, label in samples(100)]
    assert [row.place for row in data.rows([3, 55, 99])] == [3, 55, 99]


def test_examples_are_those_of_tensorflow():
    import tensorflow as tf

    feature = {
        "bytes": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"", b"\xff" * 300])),
        "whole": tf.train.Feature(
            int64_list=tf.train.Int64List(value=[0, -1, 2**63 - 1, -(2**63)])
        ),
        "parts": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5, -2.0])),
        "": tf.train.Feature(),
    }
    made = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
    assert example(made) == {
        "bytes": [b"", b"\xff" * 300], "whole": [0, -1, 2**63 - 1, -(2**63)], "parts": [0.5, -2.0], "": [],
    }  # fmt: skip


SCRIPT = """
import resource, sys
from reportgen.inputs.data_source import list_data
from reportgen.inputs.dataset import DataSet
from reportgen.inputs.fitting import InputShape
from reportgen.settings import Settings
inputs = [InputShape("picture", (8, 8, 1), "float32")]
def read(path):
    data = DataSet(list_data(path, Settings()), inputs, Settings())
    count = sum(len(b.places) for s in data.shards(8) for b in data.blocks(s, 8))
    return count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
small, large = read(sys.argv[1]), read(sys.argv[2])
print(small[0], large[0], large[1] - small[1])
"""


@pytest.mark.parametrize("kind", ["tar", "tfrecord", "parquet"])
def test_reading_200_megabytes_takes_a_tenth_of_them(tmp_path, kind):
    """Noise, which no PNG packs: 200 images of a megabyte each, in a process of its own."""
    from PIL import Image

    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (600, 600, 3), np.uint8)
    held = io.BytesIO()
    Image.fromarray(noise).save(held, "PNG", compress_level=0)
    given = [(f"{k:06d}", held.getvalue() + b"%06d" % k, k % 3) for k in range(190)]
    more = {"groups": 1000} if kind == "parquet" else {}  # one row group, as large as the file
    small = WRITERS[f"x.{kind}"](tmp_path / f"small.{kind}", given[:20], **more)
    large = WRITERS[f"x.{kind}"](tmp_path / f"large.{kind}", given, **more)
    assert large.stat().st_size > 200e6
    command = [sys.executable, "-c", SCRIPT, str(small), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path.cwd())
    few, many, taken = map(int, done.stdout.split())
    assert (few, many) == (20, 190)
    assert taken < 40, taken
