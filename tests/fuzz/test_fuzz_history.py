"""Training histories: whatever a file holds, it is read, drawn and judged, or refused."""

from __future__ import annotations

import json
from types import SimpleNamespace

from fuzzing import LEAVES, altered, bounded, cases, damaged, ending_in, trees
from hypothesis import example, given
from hypothesis import strategies as st

from reportgen.drawing.assets import AssetStore
from reportgen.errors import HistoryError
from reportgen.findings.judge import judge
from reportgen.inputs.history import read_history
from reportgen.report.model import Section
from reportgen.sections.history.section import SECTION

ROWS = {"epoch": [0, 1, 2, 3, 4], "loss": [2.0, 1.0, 0.5, 0.75, 0.6], "val_loss": [2.5, 1.5, 1, 1, 1],
        "accuracy": [0.1, 0.5, 0.75, 0.8, None], "lr": [0.1, 0.1, 0.01, 0.01, 1e-3]}  # fmt: skip
JSONS = (
    ROWS,
    {"history": ROWS},
    [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)],
)


def table(separator, end="\n"):
    lines = [list(ROWS), *(map(str, row) for row in zip(*ROWS.values(), strict=True))]
    return end.join(separator.join(line) for line in lines)


CORPUS = tuple(
    text.encode()
    for text in (
        table(","), table("\t"), table(";", "\r\n"), "\ufeff" + table(",") + "\n" + table(",") + "\n5,6",
        table(",").replace("None", '"a\nb"'), table(",").replace("None", ""), *map(json.dumps, JSONS),
    )
)  # fmt: skip
CELLS = (
    st.floats().map(repr) | st.integers(0, 30).map(str) | st.text(max_size=5)
    | st.sampled_from(("", " ", "nan", "-inf", "1e999", "²", "٣", "1_0", '"', "0x1", "NA", "\0"))
)  # fmt: skip
NAMES = st.sampled_from([*ROWS, "val_accuracy", "train_", "val_", "$x$", "learning_rate/0"]) | CELLS


def try_out(place, content, *, drawn=False):
    path = place / "history.csv"
    path.write_bytes(content)
    with bounded(), ending_in(HistoryError):
        history = read_history(path)
        assert all(
            len(values) in {0, len(history.epochs)}
            for one in history.series
            for values in (one.train, one.validation)
        )
        if drawn:
            context = SimpleNamespace(
                inputs=SimpleNamespace(history=history), tools=SimpleNamespace(store=AssetStore())
            )
            made = SECTION.collect(context, None)
            judge([Section("history", "", content=made.content)])


def test_the_corpus_is_read(tmp_path):
    for content in CORPUS:
        path = tmp_path / "history.csv"
        path.write_bytes(content)
        history = read_history(path)
        assert [float(v) for v in history.series[0].train[:3]] == [2.0, 1.0, 0.5]


@given(damaged(CORPUS))
@cases(120, 20_000)
def test_damaged_histories(tmp_path_factory, content):
    try_out(tmp_path_factory.getbasetemp(), content)


@given(altered(JSONS) | st.dictionaries(NAMES, trees()) | trees())
@example({"loss": [1e300, -1e300], "lr": [0, 1e-320]})
@cases(60, 5_000)
def test_histories_of_any_tree(tmp_path_factory, tree):
    try_out(tmp_path_factory.getbasetemp(), json.dumps(tree).encode())


@given(st.lists(NAMES, min_size=2, max_size=5), st.lists(st.lists(CELLS, min_size=2, max_size=5)))
@cases(80, 10_000)
def test_histories_of_any_cells(tmp_path_factory, names, rows):
    lines = [names, *(row[: len(names)] + ["1"] * (len(names) - len(row)) for row in rows)]
    text = "\n".join(",".join(line) for line in lines)
    try_out(tmp_path_factory.getbasetemp(), text.encode("utf-8", "surrogatepass"))


@given(st.dictionaries(NAMES, st.lists(LEAVES, min_size=1, max_size=9), min_size=1, max_size=4))
@cases(8, 800)
def test_what_was_read_is_drawn_and_judged(tmp_path_factory, columns):
    try_out(tmp_path_factory.getbasetemp(), json.dumps(columns).encode(), drawn=True)


NUMBER = (
    st.floats(-1e100, 1e100) | st.floats(-10, 10) | st.sampled_from((float("nan"), float("inf")))
)


@given(st.dictionaries(NAMES, st.lists(NUMBER, min_size=1, max_size=12), min_size=1, max_size=4))
@cases(8, 800)
def test_numbers_are_drawn_and_judged(tmp_path_factory, columns):
    try_out(tmp_path_factory.getbasetemp(), json.dumps(columns).encode(), drawn=True)
