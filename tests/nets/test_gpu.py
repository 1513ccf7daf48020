"""The GPU that is asked for: what the driver says, by an ``nvidia-smi`` that answers as the real one does."""

import sys

import pytest
from zoo import make

from reportgen import build_report
from reportgen.errors import ModelError
from reportgen.nets import gpu


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Put a driver's tool first on the path, which prints a text and notes what it was asked."""

    def put(text, code=0):
        tool = tmp_path / "nvidia-smi"
        tool.write_text(
            f"#!{sys.executable}\nimport sys, pathlib\n"
            f"pathlib.Path({str(tmp_path / 'asked')!r}).write_text(' '.join(sys.argv[1:]))\n"
            f"sys.stdout.write({text!r})\nsys.exit({code})\n"
        )
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        return tmp_path / "asked"

    return put


def test_name_and_memory_are_the_drivers(driver):
    asked = driver("NVIDIA H100 80GB HBM3, 71204, 81559\n")
    found = gpu.of_driver("1")
    assert found == gpu.Gpu("NVIDIA H100 80GB HBM3", 71204 * 2**20, 81559 * 2**20)
    assert str(found) == "NVIDIA H100 80GB HBM3, 69.5 GiB of 79.6 GiB free"
    assert asked.read_text().split() == ["--id=1", *gpu._QUERY]


@pytest.mark.parametrize(
    ("text", "code"),
    [("", 0), ("No devices were found\n", 6), ("Tesla T4, [N/A], [N/A]\n", 0), ("a\n", 0)],
)
def test_a_driver_that_says_nothing_is_not_believed(driver, text, code):
    driver(text, code)
    assert gpu.of_driver("0") is None


def test_without_the_drivers_tool_nothing_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu.of_driver("0") is None


@pytest.mark.parametrize(
    ("visible", "card"), [(None, "0"), ("2,3", "2"), ("GPU-8f1c", "GPU-8f1c"), ("", "0")]
)
def test_the_card_is_the_first_that_is_visible(monkeypatch, visible, card):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu._which() == card


def test_a_build_without_one_says_what_to_do(tmp_path):
    with pytest.raises(ModelError, match=r"sees no GPU here\. --device cpu"):
        build_report(make("functional"), output=tmp_path / "report", device="gpu")
    assert not (tmp_path / "report").exists()
