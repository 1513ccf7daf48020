"""The house's own promises: packages, steps of a section, light imports, escaped templates."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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


def test_pins_hold_everything_that_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [re.split(r"[<>=;\[ ]", text)[0] for text in project["dependencies"]]
    tools = (ROOT / "requirements" / "test.in").read_text().splitlines()
    pins = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "requirements" / "test.txt").read_text().splitlines()
    }
    wanted = [*declared, *(t for t in tools if t and not t.startswith("#"))]
    assert {name.lower().replace("_", "-") for name in wanted} <= pins


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
        for pattern in (r"\|\s*safe", r"\sstyle=", r"<style", r"\son\w+=", r"https?://"):
            assert not re.search(pattern, text), (path.name, pattern)
        assert len(re.findall(r"<script", text)) == (path.name == "report.html")


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
    """CONTRIBUTING shows the tree, one line a folder; the tests mirror it, but for the fuzz targets."""
    shown = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    rooms = {path.parent for path in (ROOT / "reportgen").rglob("__init__.py")}
    for room in rooms - {ROOT / "reportgen"}:
        assert f"{room.name}/" in shown, room
    mirrored = {
        path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")
    }
    assert all((ROOT / "reportgen" / folder).is_dir() for folder in mirrored - {Path("fuzz")})


def test_nothing_stands_for_what_cannot_be_measured():
    """``or 0.0`` makes the best or the worst value of NaN and None."""
    for path in sorted((ROOT / "reportgen").rglob("*.py")):
        assert not re.search(r"\bor 0\.0\b", path.read_text("utf-8")), path


def test_the_documented_limits_are_those_that_hold():
    from reportgen import settings

    text = (ROOT / "docs/security.md").read_text("utf-8")
    rows = re.findall(r"\| ([\d,]+) \| `([A-Z_]+)` \|", text)
    assert {name for _, name in rows} >= {
        n for n in vars(settings) if n.startswith("MAX_HISTORY_C")
    }
    assert len(rows) == 16
    for value, name in rows:
        assert getattr(settings, name) == int(value.replace(",", "")), name
