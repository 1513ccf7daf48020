"""Files of labels and class names: whatever they hold, every label means a class, or none, or is refused."""

from __future__ import annotations

import json

from fuzzing import altered, bounded, cases, damaged, ending_in, trees
from hypothesis import given
from hypothesis import strategies as st

from reportgen.errors import LabelError
from reportgen.inputs.classes import ClassNames
from reportgen.inputs.label_files import read_table
from reportgen.inputs.labels import read_classes, read_labels

NAMED = [{"index": 0, "name": "cat"}, {"index": 1, "name": "dog"}, {"index": 2, "name": "owl"}]
JSONS = (
    ["cat", "dog", "owl"], {"0": "cat", "1": "dog", "2": "owl"}, {"cat": 0, "dog": 1, "owl": 2},
    {"0": ["n01", "cat"], "1": ["n02", "dog"]}, NAMED,
)  # fmt: skip
CLASSES = (
    b"cat\ndog\nowl\n",
    "\ufeffcat\r\ndög\n\n".encode(),
    *(json.dumps(j).encode() for j in JSONS),
)
TABLES = (
    b"0.png,cat\n1.png,2\n", b"file,label\n0.png,cat\n1.png,dog|cat\n", b'file,a,b\n0.png,1,0\n"1.png",0,1\n',
    "\ufefffile,label\r\nö.png,²\r\n".encode(), b"0.png,1.5\n1.png,nan\n",
)  # fmt: skip


def try_classes(place, content, name="classes.txt"):
    path = place / name
    path.write_bytes(content)
    with bounded(), ending_in(LabelError):
        names = read_classes(str(path))
        assert names
        "".join(names).encode()  # every name can be written
        for label in ("cat", "0", *names[:5]):
            known = ClassNames(len(names), names).shown(label)
            assert known.index is None or known.name.startswith(names[known.index])


def test_the_corpus_is_read(tmp_path):
    for content in CLASSES:
        (tmp_path / "classes.txt").write_bytes(content)
        assert read_classes(str(tmp_path / "classes.txt"))[0] == "cat"
    for content in TABLES:
        (tmp_path / "labels.csv").write_bytes(content)
        assert len(read_labels(str(tmp_path / "labels.csv"))) == len(
            read_table(tmp_path / "labels.csv")
        )


@given(damaged(CLASSES), st.sampled_from(("classes.txt", "classes.json")))
@cases(100, 10_000)
def test_damaged_classes(tmp_path_factory, content, name):
    try_classes(tmp_path_factory.getbasetemp(), content, name)


@given(altered(JSONS) | trees())
@cases(60, 5_000)
def test_classes_of_any_tree(tmp_path_factory, tree):
    try_classes(tmp_path_factory.getbasetemp(), json.dumps(tree).encode(), "classes.json")


@given(damaged(TABLES))
@cases(120, 10_000)
def test_damaged_labels(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "labels.csv"
    path.write_bytes(content)
    for read in (lambda: read_labels(str(path)), lambda: read_table(path)):
        with bounded(), ending_in(LabelError):
            for label in read().values():
                if isinstance(label, str):
                    ClassNames(2, ("cat", "dog")).shown(label)
