"""Find, sample and read probes: files of every name, arrays of every shape, with their labels."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reportgen.errors import LabelError, ProbeError
from reportgen.inputs.fitting import InputShape
from reportgen.inputs.listing import Item, list_images
from reportgen.inputs.probes import read_probes, sample
from reportgen.settings import make_settings

COLOUR = (InputShape("x", (4, 4, 3), "float32"),)
GREY = (InputShape("x", (4, 5, 1), "float32"),)


def picture(path, value=0):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        Image.new("RGB", (4, 4), (value, 0, 0)).save(file, "PNG")
    return path


def folder_of(base, *names):
    for value, name in enumerate(names):
        picture(base / name, value)
    return base


def probes_of(source, inputs=COLOUR, **options):
    settings = make_settings(options)
    return read_probes(list_images(source, settings), inputs, settings)


def names_of(source, **options):
    return [item.name for item in list_images(source, make_settings(options)).items]


def labels_of(source, inputs=COLOUR, **options):
    return [probe.label for probe in probes_of(source, inputs, **options).probes]


# -- folders, globs and names --------------------------------------------------------------------


def test_folder_in_natural_order(tmp_path):
    folder_of(tmp_path, "i10.png", "i2.png", "b/i1.PNG", ".hidden.png", ".git/i3.png")
    (tmp_path / "notes.txt").write_text("no image")
    found = probes_of(tmp_path)
    assert [probe.name for probe in found.probes] == ["i2.png", "i10.png", "i1.PNG"]
    assert found.inputs["x"][:, 0, 0, 0].tolist() == [1, 0, 2]
    assert (found.sources, found.full_scale, found.total) == ("files", 255, 3)


def test_class_folders_label_their_images(tmp_path):
    listing = list_images(
        folder_of(tmp_path, "dog/1.png", "cat/1.png", "cat/sub/2.png"), make_settings({})
    )
    assert listing.class_names == ("cat", "dog")
    assert [(item.name, item.label) for item in listing.items] == [
        ("1.png", "cat"), ("2.png", "cat"), ("1.png", "dog")
    ]  # fmt: skip


def test_class_folder_without_images_keeps_its_place(tmp_path):
    (tmp_path / "bird").mkdir()
    (tmp_path / ".cache").mkdir()
    listing = list_images(folder_of(tmp_path, "cat/1.png", "dog/1.png"), make_settings({}))
    assert listing.class_names == ("bird", "cat", "dog")


def test_images_beside_folders_are_no_classes(tmp_path):
    listing = list_images(folder_of(tmp_path, "1.png", "cat/2.png"), make_settings({}))
    assert listing.class_names == ()
    assert {item.label for item in listing.items} == {None}


def test_order_does_not_depend_on_the_disk(tmp_path, monkeypatch):
    folder_of(tmp_path, "a1.png", "a01.png", "a001.png", "c1/b.png", "c01/b.png")
    walk = os.walk

    def backwards(folder):
        for root, folders, files in walk(folder):
            folders.sort(reverse=True)
            yield root, folders, sorted(files, reverse=True)

    def forwards(folder):
        for root, folders, files in walk(folder):
            folders.sort()
            yield root, folders, sorted(files)

    orders = []
    for order in (forwards, backwards):
        monkeypatch.setattr(os, "walk", order)
        orders.append([item.source for item in list_images(tmp_path, make_settings({})).items])
    assert orders[0] == orders[1]


def test_globs(tmp_path):
    folder_of(tmp_path, "a1.png", "a2.png", "b.png", "deep/a3.png")
    assert names_of(str(tmp_path / "a*.png")) == ["a1.png", "a2.png"]
    assert names_of(str(tmp_path / "**" / "a?.png")) == ["a1.png", "a2.png", "a3.png"]
    assert names_of([str(tmp_path / "b.png"), str(tmp_path / "a*.png")])[0] == "b.png"


def test_file_whose_name_looks_like_a_glob(tmp_path):
    folder_of(tmp_path, "a[1].png", "a1.png")
    assert names_of(str(tmp_path / "a[1].png")) == ["a[1].png"]


@pytest.mark.parametrize(
    "name",
    [
        "with space.png",
        'it\'s "q".png',
        "two\nlines.png",
        "größe 漢字 🐈.png",
        "1²3.png",
        "~me.png",
    ],
)
def test_odd_file_names(tmp_path, monkeypatch, name):
    picture(tmp_path / name, 7)
    monkeypatch.chdir(tmp_path)
    for source in (tmp_path, tmp_path / name, name):
        found = probes_of(source)
        assert [probe.name for probe in found.probes] == [name]
        assert found.inputs["x"][0, 0, 0, 0] == 7


def test_file_name_that_is_no_utf8(tmp_path):
    raw = os.fsdecode(b"caf\xe9.png")
    folder = tmp_path / os.fsdecode(b"cl\xe4ss")
    picture(folder / raw, 7)
    listing = list_images(tmp_path, make_settings({}))
    texts = (listing.items[0].name, listing.items[0].label, *listing.class_names)
    assert texts == ("caf\ufffd.png", "cl\ufffdss", "cl\ufffdss")
    assert probes_of(folder / raw).inputs["x"][0, 0, 0, 0] == 7
    (folder / raw).write_bytes(b"")
    picture(folder / "good.png")
    notice = probes_of(folder).notices[0].text
    assert "caf\ufffd.png: the file is empty" in notice
    with pytest.raises(ProbeError) as caught:
        probes_of(folder / raw)
    str(caught.value).encode()


@pytest.mark.parametrize("source", ["absent.png", "absent*.png", "~nobody-here/x.png"])
def test_what_is_not_there(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProbeError) as caught:
        list_images(source, make_settings({}))
    assert source in str(caught.value)


def test_folder_without_images(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(ProbeError, match=r"holds no images \(.*\.png"):
        list_images(tmp_path, make_settings({}))


# -- unreadable files ----------------------------------------------------------------------------


def test_one_unreadable_probe_is_a_warning(tmp_path):
    folder_of(tmp_path, "good1.png", "good2.png")
    (tmp_path / "bad.png").write_bytes(b"")
    found = probes_of(tmp_path)
    assert [probe.name for probe in found.probes] == ["good1.png", "good2.png"]
    assert len(found.inputs["x"]) == 2
    assert [notice.level for notice in found.notices] == ["warning"]
    assert "bad.png: the file is empty (0 bytes)" in found.notices[0].text


def test_hidden_names_stay_hidden_in_warnings(tmp_path):
    folder_of(tmp_path, "good.png")
    (tmp_path / "secret.png").write_bytes(b"text")
    assert "secret" not in probes_of(tmp_path, hide_names=True).notices[0].text


def test_none_readable_is_an_error_with_every_reason(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes(b"text")
    with pytest.raises(
        ProbeError, match=r"(?s)a\.png: .*0 bytes.*b\.png: .*known format"
    ) as caught:
        probes_of(tmp_path)
    assert caught.value.exit_code == 6


def test_images_for_a_model_without_image_input(tmp_path):
    with pytest.raises(ProbeError, match="takes no images"):
        probes_of(picture(tmp_path / "a.png"), [InputShape("x", (7,), "float32")])


# -- arrays --------------------------------------------------------------------------------------


def stored(path, array):
    np.save(path, array)
    return path


def zipped(path, **arrays):
    np.savez(path, **arrays)
    return path


def pickled(path):
    path.write_bytes(pickle.dumps({"x": 1}))
    return path


ROWS = np.random.default_rng(8).random((3, 4, 5, 1), np.float32)


@pytest.mark.parametrize(
    ("array", "count"),
    [(ROWS, 3), (ROWS[..., 0], 3), (ROWS[0], 1), (ROWS[0, ..., 0], 1), (ROWS[:1, ..., 0], 1)],
)
def test_grey_arrays_get_their_axes(tmp_path, array, count):
    for source in (array, stored(tmp_path / "a.npy", array)):
        found = probes_of(source, GREY)
        assert (found.inputs["x"] == ROWS[:count]).all()
        assert found.inputs["x"].shape == (count, 4, 5, 1)
        assert (found.sources, found.image_input) == ("arrays", "x")


@pytest.mark.parametrize("shape", [(3, 20), (3, 4, 5, 1, 1)])
def test_rows_of_the_right_size_are_reshaped(shape):
    assert (probes_of(ROWS.reshape(shape), GREY).inputs["x"] == ROWS).all()


def test_npz_with_images_and_labels(tmp_path):
    path = zipped(tmp_path / "a.npz", images=ROWS, labels=np.array([2, 0, 1]))
    assert (probes_of(path, GREY).inputs["x"] == ROWS).all()
    assert labels_of(path, GREY) == [2, 0, 1]


def test_npz_of_a_data_set_gives_its_test_part(tmp_path):
    parts = {"x_train": ROWS[:1], "y_train": ["a"], "x_test": ROWS[1:], "y_test": ["b", "c"]}
    path = zipped(tmp_path / "a.npz", **parts)
    assert (probes_of(path, GREY).inputs["x"] == ROWS[1:]).all()
    assert labels_of(path, GREY) == ["b", "c"]


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: stored(folder / "o.npy", np.array([{}, []], object)),
        lambda folder: zipped(folder / "o.npz", x=np.array([{}, []], object)),
        lambda folder: pickled(folder / "p.npy"),
    ],
    ids=["objects", "zipped objects", "pickle"],
)
def test_pickled_arrays_are_refused(tmp_path, make):
    with pytest.raises(ProbeError, match=r"pickled Python objects.*refused"):
        list_images(make(tmp_path), make_settings({}))


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize("part", [0, 0.3, 0.9])
def test_damaged_array_file(tmp_path, name, part):
    path = (stored if name == "a.npy" else lambda p, a: zipped(p, x=a))(tmp_path / name, ROWS)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ProbeError) as caught:
        list_images(path, make_settings({}))
    assert name in str(caught.value)


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 4, 4, 3, 2), (2, 2, 4, 4, 3)])
def test_wrong_rank_says_what_fits(shape):
    with pytest.raises(ProbeError, match=r"does not fit the input 'x', which takes \(n, 4, 4, 3\)"):
        probes_of(np.zeros(shape, np.float32))


@pytest.mark.parametrize("value", [np.array(["a"]), np.array([1j]), object(), {"x": ["a"]}])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ProbeError):
        list_images(value, make_settings({}))


@pytest.mark.parametrize("value", [[], np.zeros((0, 4, 4, 3), np.float32)])
def test_no_probes_at_all(value):
    with pytest.raises(ProbeError):
        probes_of(value)


def test_array_file_must_come_alone(tmp_path):
    array, image = stored(tmp_path / "a.npy", ROWS), picture(tmp_path / "a.png")
    with pytest.raises(ProbeError, match="must be the only source"):
        list_images([array, image], make_settings({}))


def test_pil_images_are_read_like_files():
    images = [Image.new("RGB", (4, 4), (9, 8, 7)), Image.new("L", (8, 8), 5)]
    found = probes_of(images)
    assert (found.inputs["x"][0] == [9, 8, 7]).all()
    assert (found.inputs["x"][1] == 5).all()
    assert (found.full_scale, found.resized) == (255, 1)


# -- what counts as white ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "top", "white"),
    [
        ("uint8", 255, 255),
        ("int8", 127, 127),
        ("uint16", 65535, 65535),
        ("uint16", 200, 65535),
        ("int32", 255, 255),
        ("int64", 1, 255),
        ("int32", 256, 2**31 - 1),
        ("bool", 1, 1),
        ("float32", 1, None),
        ("float64", 255, None),
    ],
)
def test_integers_scale_by_their_types_maximum(kind, top, white):
    array = np.zeros((2, 4, 4, 3), kind)
    array[1, 2, 2, 0] = top
    found = probes_of(array)
    assert found.full_scale == white
    assert found.inputs["x"].max() == top
    assert bool(found.notices) == (kind in {"int32", "int64"} and top < 256)


# -- several inputs ------------------------------------------------------------------------------

TWO = (InputShape("left", (4, 4, 3), "float32"), InputShape("right", (2,), "int32"))


def test_npz_names_the_inputs(tmp_path):
    left, right = np.ones((3, 4, 4, 3), np.float32), np.arange(6).reshape(3, 2)
    for source in (
        zipped(tmp_path / "a.npz", left=left, right=right),
        {"left": left, "right": right},
    ):
        found = probes_of(source, TWO)
        assert (found.inputs["left"] == left).all()
        assert (found.inputs["right"] == right).all()
        assert found.inputs["right"].dtype == np.int32
        assert found.zero_inputs == ()


def test_inputs_called_as_labels_usually_are(tmp_path):
    inputs = [InputShape(name, (4, 4, 3), "float32") for name in ("x", "y")]
    arrays = {"x": np.ones((3, 4, 4, 3), np.float32), "y": np.full((3, 4, 4, 3), 2, np.float32)}
    found = probes_of(zipped(tmp_path / "a.npz", **arrays), inputs)
    assert found.zero_inputs == ()
    assert (found.inputs["y"] == 2).all()
    assert {probe.label for probe in found.probes} == {None}


def test_other_inputs_are_zeros_for_images(tmp_path):
    found = probes_of(folder_of(tmp_path, "a.png", "b.png"), TWO)
    assert (found.image_input, found.zero_inputs) == ("left", ("right",))
    assert found.inputs["right"].tolist() == [[0, 0], [0, 0]]


def test_inputs_of_different_lengths(tmp_path):
    arrays = {"left": np.zeros((3, 4, 4, 3)), "right": np.zeros((2, 2), int)}
    with pytest.raises(ProbeError, match=r"different numbers of probes: \[2, 3\]"):
        probes_of(arrays, TWO)


def test_names_that_no_input_has():
    with pytest.raises(ProbeError, match=r"'a', 'b'.*'left', 'right'"):
        probes_of({"a": np.zeros((1, 4, 4, 3)), "b": np.zeros((1, 2))}, TWO)


# -- labels --------------------------------------------------------------------------------------

IMAGES = np.zeros((3, 4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([2, 0, 1], [2, 0, 1]),
        (np.array([[2], [0], [1]]), [2, 0, 1]),
        (np.eye(3)[[2, 0, 1]], [2, 0, 1]),
        (np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]]), [(0, 2), 1, ()]),
        (["cat", "dog", "cat"], ["cat", "dog", "cat"]),
        (np.array([b"cat", b"dog", b"cat"]), ["cat", "dog", "cat"]),
    ],
    ids=["index", "column", "one-hot", "multi-hot", "names", "bytes"],
)
def test_labels_of_a_pair(labels, expected):
    for images in (IMAGES, list(IMAGES)):
        assert labels_of((images, labels)) == expected


@pytest.mark.parametrize("images", [IMAGES, list(IMAGES)])
def test_pair_of_different_lengths(images):
    with pytest.raises(LabelError, match=r"There are 3 .* and 2 labels"):
        probes_of((images, [1, 2]))


def test_labels_from_a_csv(tmp_path):
    folder_of(tmp_path / "p", "a.png", "b.png", "c.png")
    table = tmp_path / "labels.csv"
    table.write_text("file,label\na.png,cat\np/b.png,dog\n")
    assert labels_of(tmp_path / "p", labels=str(table)) == ["cat", "dog", None]
    table.write_text("other.png,cat\n")
    with pytest.raises(LabelError, match=r"None of the labels.*'a\.png'"):
        labels_of(tmp_path / "p", labels=str(table))


def test_labels_as_a_list_follow_the_order(tmp_path):
    folder = folder_of(tmp_path, "a.png", "b.png")
    assert labels_of(folder, labels=["cat", "dog"]) == ["cat", "dog"]
    assert labels_of(IMAGES, labels=[3, 1, 2]) == [3, 1, 2]
    with pytest.raises(LabelError, match="2 probes and 3 labels"):
        labels_of(folder, labels=[1, 2, 3])


def test_json_of_a_label_survives():
    labels = labels_of((IMAGES, np.array([2, 0, 1], np.int16)))
    assert json.loads(json.dumps(labels)) == [2, 0, 1]


# -- the sample ----------------------------------------------------------------------------------


def items_of(counts):
    return [Item(f"{k}.{i}", Path("x"), k) for k, count in enumerate(counts) for i in range(count)]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 20))
def test_sample_is_even_over_classes_and_always_the_same(counts, size):
    items = items_of(counts)
    chosen = sample(items, size)
    assert len(chosen) == min(size, len(items))
    assert chosen == sample(items_of(counts), size)
    assert chosen == sorted(chosen, key=items.index)
    assert len({item.name for item in chosen}) == len(chosen)
    taken = [sum(item.label == k for item in chosen) for k in range(len(counts))]
    if all(count >= size for count in counts):
        assert max(taken) - min(taken) <= 1
    if size >= len(counts):
        assert min(taken) >= 1


def test_sample_of_one_class_spreads():
    assert [item.name for item in sample(items_of([100]), 4)] == ["0.0", "0.25", "0.50", "0.75"]


def test_folder_is_sampled_over_its_classes(tmp_path):
    names = [f"{kind}/{i}.png" for kind in ("a", "b", "c") for i in range(5)]
    found = probes_of(folder_of(tmp_path, *names), max_probes=6)
    assert [probe.label for probe in found.probes] == ["a", "a", "b", "b", "c", "c"]
    assert found.total == 15
    again = probes_of(tmp_path, max_probes=6)
    assert (found.inputs["x"] == again.inputs["x"]).all()


def test_numbers_of_numpy_are_numbers(tmp_path):
    found = make_settings(
        {"max_probes": np.int64(3), "threshold": np.float32(0.25), "quick": np.bool_(True)}
    )
    assert (found.max_probes, found.threshold, found.quick) == (3, 0.25, True)
    assert make_settings({"labels": np.eye(3)}).labels == ([1, 0, 0], [0, 1, 0], [0, 0, 1])
