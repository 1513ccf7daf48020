"""Class names and labels: the files they come in, and which class a label means."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from reportgen.errors import LabelError
from reportgen.inputs.label_files import read_table
from reportgen.inputs.labels import label_of, read_classes, read_labels

PETS = ("cat", "dog", "guinea pig")


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "cat\ndog\nguinea pig\n"),
        ("a.txt", "\ufeffcat\r\ndog\r\n\r\n  guinea pig  "),
        ("a.json", json.dumps(PETS)),
        ("a.txt", json.dumps(PETS)),
        ("a.json", json.dumps({"2": "guinea pig", "0": "cat", "1": "dog"})),
        ("a.json", json.dumps({"guinea pig": 2, "cat": 0, "dog": 1})),
        ("a.json", json.dumps({str(i): [f"n0{i}", pet] for i, pet in enumerate(PETS)})),
        ("a.json", json.dumps([{"index": 2 - i, "name": PETS[2 - i]} for i in range(3)])),
    ],
    ids=["lines", "windows", "list", "list in txt", "by index", "by name", "imagenet", "objects"],
)
def test_class_names_from_any_file(tmp_path, name, content):
    assert read_classes(written(tmp_path, name, content)) == PETS


def test_more_than_ten_classes_stay_in_order(tmp_path):
    names = {str(i): f"class {i}" for i in range(12)}
    found = read_classes(written(tmp_path, "a.json", json.dumps(names)))
    assert found == tuple(names.values())


def test_names_themselves_and_none():
    assert read_classes(["a", "b"]) == ("a", "b")
    assert read_classes(None) == ()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", ""),
        ("a.txt", " \n\n"),
        ("a.txt", b"\xff\xfe\x00"),
        ("a.json", "[]"),
        ("a.json", "{}"),
        ("a.json", "12"),
        ("a.json", "null"),
        ("a.json", '["cat", '),
        ("a.json", '{"0": "cat", "2": "dog"}'),
        ("a.json", '{"cat": 0, "dog": 0}'),
        ("a.json", '{"zero": "cat"}'),
        ("a.json", '[{"index": 0}]'),
    ],
)
def test_what_holds_no_class_names_is_refused(tmp_path, name, content):
    path = written(tmp_path, name, content)
    with pytest.raises(LabelError) as caught:
        read_classes(path)
    assert path in str(caught.value)


@pytest.mark.parametrize("reader", [read_classes, read_labels])
def test_missing_file_is_refused(tmp_path, reader):
    with pytest.raises(LabelError, match=r"absent\.csv.*No such file"):
        reader(str(tmp_path / "absent.csv"))


# -- labels of probes ----------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["", "file,label\n", "Filename,class\n", "\ufeffimage,label\n"])
def test_labels_with_and_without_a_header(tmp_path, header):
    content = f'{header}a.png,cat\n\n"b, c.png", dog \nd/e.png,2,extra\n'
    labels = read_labels(written(tmp_path, "labels.csv", content))
    assert labels == {"a.png": "cat", "b, c.png": "dog", "d/e.png": "2"}


def test_quoted_line_break_in_a_file_name(tmp_path):
    path = written(tmp_path, "labels.csv", '"two\nlines.png",cat\n"say ""hi"".png",dog\n')
    assert read_labels(path) == {"two\nlines.png": "cat", 'say "hi".png': "dog"}


@pytest.mark.parametrize("content", ["", "\n\n", "file,label\n"])
def test_file_without_labels_is_refused(tmp_path, content):
    with pytest.raises(LabelError, match="no labels"):
        read_labels(written(tmp_path, "labels.csv", content))


def test_line_without_a_label_is_named(tmp_path):
    with pytest.raises(LabelError, match=r"line 2: expected 'file,label', found 'b\.png'"):
        read_labels(written(tmp_path, "labels.csv", "a.png,cat\nb.png\n"))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"x.png": "name"}, "name"),
        ({"a/x.png": "part", "x.png": "name", "b/x.png": "other"}, "part"),
        ({"/data/a/x.png": "whole", "a/x.png": "part"}, "whole"),
        ({"x": "stem"}, "stem"),
        ({"x.png": "name", "x": "stem"}, "name"),
        ({"xx.png": "longer", "b/x.png": "other"}, None),
    ],
)
def test_the_most_exact_name_wins(labels, expected):
    assert label_of(Path("/data/a/x.png"), labels) == expected


def test_accents_composed_or_parted_are_the_same_file():
    composed, parted = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))
    assert label_of(Path("/data") / parted, {composed: "cat"}) == "cat"
    assert label_of(Path("/data") / composed, {parted: "cat"}) == "cat"


@pytest.mark.parametrize("read", [read_labels, lambda source: read_table(Path(source))])
def test_an_image_with_two_labels_is_named(tmp_path, read):
    with pytest.raises(LabelError, match=r"line 3: 'a\.png' has two labels.*a\|b"):
        read(written(tmp_path, "labels.csv", "a.png,cat\nb.png,dog\na.png,dog\n"))
    same = read(written(tmp_path, "same.csv", "a.png,cat\na.png,cat\n"))
    assert same == {"a.png": "cat"}
