"""What trackers are told: numbers by hand, the files of a report and nothing else, TensorBoard read back."""

from __future__ import annotations

import io
import json

import models
import numpy as np
import pytest
from PIL import Image

from reportgen import build_report
from reportgen.errors import ReportError, ReportgenError, UsageError
from reportgen.integrations import mlflow, tensorboard, wandb
from reportgen.integrations.tracked import staged, tracked


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A classifier with probes, a data set and numbers about its training."""
    images, labels = models.images(8), np.arange(8) % 2
    return build_report(
        models.saved("classifier"),
        probes=images,
        data=(np.repeat(images, 2, 0), np.repeat(labels, 2)),
        meta={"learning_rate": 0.5, "data set": "of <b>ours</b>"},
        title="Run *1*",
        skip=("features", "relevance"),
        output=tmp_path_factory.mktemp("trackers") / "report",
    )


def test_numbers_are_those_of_the_report_and_of_keras(made):
    model = models.model("classifier")
    found = tracked(made.report)
    images, labels = np.repeat(models.images(8), 2, 0), np.repeat(np.arange(8) % 2, 2)
    right = (model.predict(images.astype("float32"), verbose=0).argmax(-1) == labels).mean()
    assert found.numbers["accuracy"] == pytest.approx(right)
    assert found.numbers["accuracy_low"] <= right <= found.numbers["accuracy_high"]
    assert found.numbers["parameters"] == model.count_params()
    assert found.numbers["images"] == 16
    findings = [one.severity for one in made.report.findings if not one.accepted]
    assert found.numbers["findings/warning"] == findings.count("warning")
    assert found.texts["meta/learning_rate"] == "0.5"
    assert found.texts["title"] == "Run *1*"
    assert found.texts["verdict"] == made.report.summary.verdict


def test_what_is_sent_is_the_report_and_nothing_else(made):
    (made.path / "secret.txt").write_text("mine")
    (made.path / "assets" / "mine.png").write_bytes(b"mine")
    left = made.path / "assets" / f"{'0' * 20}.png"  # as a build that was killed leaves it
    left.write_bytes(b"an image")
    with staged(made) as files:
        names = {path.relative_to(files.path).as_posix() for path in files.path.rglob("*.*")}
        assert {"report.html", "summary.md", "report.json", "folder/index.html"} <= names
        assert not any("secret" in name or "mine" in name or left.name in name for name in names)
        pictures = [n for n in names if n.endswith((".png", ".webp", ".svg")) and "folder/" in n]
        assert files.pictures == len(made.report.assets) <= len(pictures)
        page = (files.path / "folder" / "index.html").read_text()
        assert page == (made.path / "index.html").read_text()
        assert f"{files.pictures} pictures" in files.sentence("there")
        held = files.path
    assert not held.exists()
    left.unlink()
    (made.path / "secret.txt").unlink()
    (made.path / "assets" / "mine.png").unlink()


def test_the_look_and_the_model_card_come_along(tmp_path):
    (tmp_path / "look" / "parts").mkdir(parents=True)
    (tmp_path / "look" / "parts" / "footer.html").write_text("of the house")
    (tmp_path / "card.yaml").write_text("license: MIT")
    made = build_report(
        models.saved("binary"),
        sections="overview",
        templates=tmp_path / "look",
        card=tmp_path / "card.yaml",
        output=tmp_path / "out",
    )
    with staged(made) as files:
        assert "of the house" in (files.path / "report.html").read_text()
        assert (files.path / "folder" / "model_card.md").is_file()


@pytest.mark.parametrize(
    ("name", "taken"),
    [("verdict", "reportgen.verdict"), ("meta/lr (%)", "reportgen.meta/lr ___"), ("ü" * 400, None)],
)
def test_tags_have_names_that_mlflow_takes(name, taken):
    found = mlflow.tag_name(name)
    assert found == (taken or "reportgen." + "_" * 240)


def test_a_page_alone_and_a_folder_that_is_none_are_refused(tmp_path, made):
    with pytest.raises(UsageError, match="page alone"), staged(tmp_path / "a.html"):
        pass
    with pytest.raises(ReportError), staged(tmp_path):
        pass
    with pytest.raises(UsageError, match="page alone"):
        tensorboard.log_report(tmp_path / "a.html", tmp_path)


def test_tensorboard_reads_numbers_summary_pictures_and_hyperparameters(made, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2
    from tensorboard.util.tensor_util import make_ndarray

    tensorboard.log_report(made, tmp_path / "logs", step=7)
    log = EventAccumulator(str(tmp_path / "logs"), size_guidance={"tensors": 0})
    log.Reload()

    def of(tag):
        (event,) = log.Tensors(tag)
        assert event.step == 7
        return make_ndarray(event.tensor_proto)

    for name, value in tracked(made.report).numbers.items():
        assert of(f"reportgen/{name}") == pytest.approx(value)
    assert of("reportgen/summary").item().decode().startswith("# Run")
    width, height, png = of("reportgen/probe/1")
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.size) == ("PNG", (int(width), int(height)))
    assert log.summary_metadata["reportgen/probe/1"].plugin_data.plugin_name == "images"
    assert log.summary_metadata["reportgen/accuracy"].plugin_data.plugin_name == "scalars"
    given = plugin_data_pb2.HParamsPluginData.FromString(
        log.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    ).session_start_info.hparams
    assert given["learning_rate"].number_value == 0.5
    assert given["data set"].string_value == "of <b>ours</b>"


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("mlflow", mlflow.log_report),
        ("wandb", wandb.log_report),
        ("tensorboard", lambda made: tensorboard.log_report(made, "logs")),
    ],
)
def test_what_is_not_installed_is_named_with_its_extra(made, monkeypatch, module, call):
    import builtins

    real = builtins.__import__

    def without(name, *rest, **more):
        if name.partition(".")[0] == module:
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ReportgenError, match=rf"pip install 'keras-reportgen\[{module}\]'"):
        call(made)


def test_a_report_that_is_damaged_is_an_error_and_nothing_is_sent(made, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "report.json").write_text(json.dumps({"schema": [1, 0]}))
    with pytest.raises(ReportError):
        tensorboard.log_report(broken, tmp_path / "logs")
    assert not (tmp_path / "logs").exists()
