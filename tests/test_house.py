"""The house's own promises: packages, steps of a section, light imports, escaped templates."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import models
import pytest

import reportgen
from reportgen import settings
from reportgen.sections import SECTIONS

ROOT = Path(__file__).parent.parent


def test_every_package_on_disk_is_in_the_distribution():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(project["tool"]["setuptools"]["packages"])
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "reportgen").rglob("__init__.py")
    }
    assert listed == found | {"reportgen.examples", "reportgen.templates"}


@pytest.mark.parametrize("name", ["test", "viewers"])
def test_pins_hold_everything_that_is_declared(name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tools = (ROOT / "requirements" / f"{name}.in").read_text().splitlines()
    pins = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    }
    wanted = [*project["dependencies"], *(line for line in tools if line and line[0] != "#")]
    names = {re.split(r"[<>=;\[ ]", text)[0] for text in wanted}
    assert {name.lower().replace("_", "-") for name in names} <= pins


def test_the_oldest_pins_are_the_lowest_versions_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    store = extras["remote"][
        0
    ]  # s3fs asks for one very fsspec: the tests here need no more than that
    formats = (*extras["parquet"], *extras["tfrecord"], *extras["tensorboard"])
    declared = [*project["dependencies"], *formats, store]
    lowest = dict(re.match(r"([\w-]+)>=([\w.]+)", text).groups() for text in declared)
    lines = (ROOT / "requirements" / "oldest.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins.keys() == lowest.keys()
    for name, version in lowest.items():
        assert re.fullmatch(rf"{re.escape(version)}(\.0)*", pins[name]), name


def test_every_section_has_taken_its_steps():
    assert tuple(maker.kind for maker in SECTIONS) == settings.SECTIONS
    for name in settings.SECTIONS:
        assert (ROOT / "reportgen" / "report" / "content" / f"{name}.py").is_file()
        assert (ROOT / "reportgen" / "sections" / name / "section.py").is_file()
        assert (ROOT / "templates" / "sections" / f"{name}.html").is_file()


@pytest.mark.parametrize(
    "module",
    [
        "reportgen",
        "reportgen.cli",
        "reportgen.page.render",
        "reportgen.findings.judge",
        "reportgen.report.model",
    ],
)
def test_what_starts_fast_imports_nothing_heavy(module):
    heavy = "numpy tensorflow keras PIL matplotlib pydot"
    code = (
        f"import sys, {module}\nprint(*[name for name in '{heavy}'.split() if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == ""


def test_templates_hold_nothing_inline_and_nothing_unescaped():
    for path in (ROOT / "templates").rglob("*.html"):
        text = path.read_text("utf-8")
        for pattern in (r"\|\s*safe", r"\sstyle=", r"\son\w+=", r"https?://"):
            assert not re.search(pattern, text), (path.name, pattern)
        # Of the page that is one file, style and script stand within it: where ``inline`` says so.
        assert ("<style" in text) == (path.name == "head.html")
        assert len(re.findall(r"<script", text)) == (path.name in {"head.html", "tail.html"})
        if "<style" in text or "<script>" in text:
            assert re.search(r"{% if inline %}.*<(style|script)>", text, flags=re.DOTALL)


def test_the_page_of_a_folder_holds_nothing_inline(tmp_path):
    reportgen.build_report(models.saved("classifier"), output=tmp_path, sections=("overview",))
    page = (tmp_path / "index.html").read_text("utf-8")
    assert "<style" not in page
    assert re.findall(r"<script[^>]*>", page) == re.findall(
        r'<script src="assets/[^"]*" async>', page
    )


def code_lines(function):
    """Return how many lines a function's body has without its docstring."""
    body = function.body
    documented = ast.get_docstring(function) is not None and len(body) > 1
    return function.end_lineno - body[1 if documented else 0].lineno + 1


def test_modules_and_bodies_can_be_read_at_one_sitting():
    for path in (ROOT / "reportgen").rglob("*.py"):
        text = path.read_text("utf-8")
        assert text.count("\n") <= 450, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert code_lines(node) <= 45, (path, node.name)


def test_every_room_has_a_name_that_says_what_it_is():
    """CONTRIBUTING shows the tree, one line a folder; the tests mirror it, but for fuzz targets and viewers."""
    shown = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    rooms = {path.parent for path in (ROOT / "reportgen").rglob("__init__.py")}
    for room in rooms - {ROOT / "reportgen"}:
        assert f"{room.name}/" in shown, room
    apart = {
        Path("fuzz"),
        Path("viewers"),
    }  # what is tested there is no room: damage, other programs
    mirrored = {
        path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")
    }
    assert all((ROOT / "reportgen" / folder).is_dir() for folder in mirrored - apart)


def test_nothing_stands_for_what_cannot_be_measured():
    """``or 0.0`` makes the best or the worst value of NaN and None."""
    for path in sorted((ROOT / "reportgen").rglob("*.py")):
        assert not re.search(r"\bor 0\.0\b", path.read_text("utf-8")), path


WALL = {"keras_internals.py", "tensorflow_internals.py"}
"""The modules that may use what Keras and TensorFlow do not document."""


def is_private(name):
    return isinstance(name, str) and name.startswith("_") and not name.endswith("__")


def own_names(tree):
    """Return the private names that a module gives to its own objects and classes."""
    defined = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    stored = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id in {"self", "cls"}
    }
    return defined | stored | {"_replace", "_asdict", "_fields", "_make"}


def foreign_insides(tree):
    """Yield where a module reads or replaces what another library keeps to itself, as text."""
    own = own_names(tree)
    for node in ast.walk(tree):
        text = ast.unparse(node) if isinstance(node, ast.expr | ast.Import | ast.ImportFrom) else ""
        if isinstance(node, ast.Attribute):
            ours = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            replaced = isinstance(node.ctx, ast.Store) and node.attr.startswith("__") and not ours
            if replaced or (is_private(node.attr) and not ours and node.attr not in own):
                yield text
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {
            "getattr", "hasattr", "setattr", "delattr", "operator.attrgetter",
        }:  # fmt: skip
            if any(isinstance(a, ast.Constant) and is_private(a.value) for a in node.args):
                yield text
        elif isinstance(node, ast.Import | ast.ImportFrom | ast.Constant) and re.search(
            r"\b(keras|tensorflow)\.(src|python|_\w+)\b", text
        ):
            yield text


@pytest.mark.parametrize(
    "code",
    [
        "layer._layers", "getattr(layer, '_layers', ())", "hasattr(model.inner, '_value')",
        "from keras.src.backend import common", "import tensorflow.python.eager", "find('keras.src.layers')",
        "keras.Layer.__call__ = mine", "model.layers[0]._inbound_nodes[0].inputs",
    ],
)  # fmt: skip
def test_what_the_wall_is_for_would_be_found(code):
    assert list(foreign_insides(ast.parse(code)))


def test_what_other_libraries_keep_to_themselves_is_used_behind_the_wall_only():
    """An upgrade of Keras or TensorFlow is read against two modules, each name with its reason."""
    found = {
        (path.name, text)
        for path in (ROOT / "reportgen").rglob("*.py")
        if path.name not in WALL
        for text in foreign_insides(ast.parse(path.read_text("utf-8")))
    }
    assert not found


def test_each_function_of_the_wall_says_why_since_when_and_what_stands_in():
    for name in WALL:
        tree = ast.parse((ROOT / "reportgen" / "nets" / name).read_text("utf-8"))
        for node in tree.body:
            text = ast.unparse(node)
            if isinstance(node, ast.FunctionDef) and not is_private(node.name):
                said = ast.get_docstring(node)
                private = re.search(r"['\"._]_[a-z]\w+['\",)]|keras\.src|__call__|__init__", text)
                assert not private or re.search(
                    r"Seen in \w+ [\d.]+.* to .*[Ss]tands? in", said, re.DOTALL
                ), node.name


def test_the_documented_limits_are_those_that_hold():
    from reportgen import settings

    text = (ROOT / "docs/security.md").read_text("utf-8")
    rows = re.findall(r"\| ([\d,]+) \| `([A-Z_]+)` \|", text)
    assert {name for _, name in rows} >= {
        n for n in vars(settings) if n.startswith("MAX_HISTORY_C")
    }
    assert len(rows) == 28
    for value, name in rows:
        assert getattr(settings, name) == int(value.replace(",", "")), name


NOT_PLAIN = re.compile(
    r"\b(of weight|dear(er|est)?|judge little|FLOPs an image|passes an image|(2|two) a multiply-add|"
    r"probes right|are right|never said|taken for|taken from|times in a row|one place sees|"
    r"silent (channels|units)|that should not happen|can never fire|(is|are) said|thereby|1 have|"
    r"1 (kernel|image|channel|call|probe|layer)s)\b"
)
"""Words that stop readers who know the field but not our idioms; the field has its own word for each."""


def visible_strings(path):
    """Return the texts of a module that a user can meet: all but docstrings and comments."""
    tree = ast.parse(path.read_text("utf-8"))
    said = (node.value for node in ast.walk(tree) if isinstance(node, ast.Expr))
    hidden = {id(value) for value in said if isinstance(value, ast.Constant)}
    texts = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in hidden)
    return [node.value for node in texts if isinstance(node.value, str)]


def test_what_a_reader_meets_is_plain_english():
    for path in sorted((ROOT / "templates").rglob("*.*")):
        if path.suffix in {".html", ".md"}:
            text = re.sub(r"\{#.*?#\}|\{%.*?%\}", "", path.read_text("utf-8"), flags=re.DOTALL)
            assert not NOT_PLAIN.search(text), (path, NOT_PLAIN.search(text))
    for path in sorted((ROOT / "reportgen").rglob("*.py")):
        found = [text for text in visible_strings(path) if NOT_PLAIN.search(text)]
        assert not found, (path, found)


@pytest.mark.parametrize("text", ["8 images judge little.", "1 have channels", "FLOPs an image"])
def test_the_words_that_are_looked_for_are_found(text):
    assert NOT_PLAIN.search(text)


def test_the_page_stays_light():
    """Style and script are read by people, and loaded from a file on every opening."""
    static = ROOT / "templates" / "static"
    assert (static / "report.css").stat().st_size <= 24 * 1024
    assert (static / "report.js").stat().st_size <= 32 * 1024
