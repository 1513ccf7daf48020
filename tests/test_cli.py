"""The command line: exit codes, one line a failure, and nothing half-written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import jsonschema
import models
import numpy as np
import pages
import pytest
from PIL import Image

from reportgen import build_report, cli
from reportgen.examples_root import example_root
from reportgen.settings import SECTIONS

PICTURES = models.images()


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def reportgen(capsys, *arguments):
    """Run the command line in this process; return its exit code, stdout and lines on stderr."""
    capsys.readouterr()
    code = cli.run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, [line for line in err.splitlines() if line.strip()]


def refused(capsys, code, *arguments):
    """Assert that a quiet build fails with ``code`` and one line, and return the line."""
    found, out, lines = reportgen(capsys, *arguments)
    assert (found, out) == (code, "")
    (line,) = lines
    assert line.startswith("reportgen: ")
    assert "Traceback" not in line
    return line


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Reports without probes by the name of their model; tests work on copies."""
    place = tmp_path_factory.mktemp("reports")
    return {name: cli_build(place / name, models.saved(name)) for name in ("binary", "classifier")}


@pytest.fixture
def old(tmp_path, reports):
    """A report that stands already; what fails must not touch it."""
    folder = shutil.copytree(reports["binary"], tmp_path / "out")
    before = pages.tree(folder)
    yield folder
    assert pages.tree(folder) == before


def cli_build(folder, model, *arguments):
    assert cli.run(["build", str(model), "-o", str(folder), "-q", *map(str, arguments)]) == 0
    return folder


def write_images(folder, pictures=PICTURES):
    folder.mkdir()
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{index}.png")
    return folder


# -- what works ----------------------------------------------------------------------------------


def test_build_makes_a_page_and_prints_its_path(tmp_path, capsys):
    probes = write_images(tmp_path / "probes")
    code, out, lines = reportgen(
        capsys, "build", models.saved("classifier"), "-o", "new/out", "-p", probes, "--hide-names"
    )
    assert code == 0
    assert Path(out.strip()) == Path("new/out/index.html")
    assert any("checks passed" in line for line in lines)
    report = pages.check_page(tmp_path / "new/out")
    command = pages.content(report, "overview")["command"]
    assert command.startswith("reportgen build classifier.keras")
    assert "--hide-names" in command
    assert str(tmp_path) not in command
    p = models.model("classifier").predict(PICTURES, verbose=0)
    tops = [result["top"][0]["index"] for result in pages.outputs(report)]
    assert tops == p.argmax(axis=1).tolist()


def test_every_option_arrives(tmp_path, capsys):
    Path("names.txt").write_text("\n".join("abcdefg"))
    Path("labels.csv").write_text("0.png,b\n1.png,c\n")
    folder = cli_build(
        tmp_path / "out",
        models.saved("classifier"),
        *("-p", write_images(tmp_path / "one"), "-p", write_images(tmp_path / "two")),
        *("--max-probes", 5, "--classes", "names.txt", "--labels", "labels.csv"),
        *("--resize", "pad", "--preprocess", "symmetric", "--title", "A title"),
        *("--meta", "commit=1a2b", "--meta", "run=7", "--skip", "weights", "--seed", 3),
    )
    report = pages.check_page(folder)
    overview, probes = (pages.content(report, kind) for kind in ("overview", "probes"))
    assert "weights" not in [s["kind"] for s in report["sections"]]
    assert report["summary"]["name"] == "A title"
    assert overview["meta"] == [["commit", "1a2b"], ["run", "7"]]
    assert overview["seed"] == 3
    assert overview["classes"] == list("abcdefg")
    assert (len(probes["probes"]), probes["total"]) == (5, 12)
    assert probes["preprocessing"]["mode"] == "symmetric"
    assert probes["labelled"] >= 1


def test_preprocess_function_from_a_module_here(tmp_path, capsys, monkeypatch):
    Path("tenfold_of_mine.py").write_text("def tenth(x):\n    return x / 10\n")
    probes = write_images(tmp_path / "probes")
    folder = cli_build(
        tmp_path / "out",
        models.saved("plain"),
        *("-p", probes, "--preprocess", "tenfold_of_mine:tenth"),
    )
    (received,) = pages.content(pages.check_page(folder), "probes")["probes"][0]["received"]
    assert received["high"] == pytest.approx(PICTURES[0].max() / 10, rel=1e-5)


def test_demo_needs_no_arguments(tmp_path, capsys):
    code, out, _ = reportgen(capsys, "demo", "--example", "fashion")
    assert code == 0
    assert out.strip() == str(Path("reportgen-demo/index.html"))
    report = pages.check_page(tmp_path / "reportgen-demo")
    assert len(pages.outputs(report)) == 8


def test_the_photographs_of_the_demo_are_recognised(tmp_path):
    """What ``reportgen demo`` shows first, without what takes its time: the weights are stored as float16."""
    example = example_root() / "photographs"
    build_report(
        example / "model.keras", probes=example / "probes", labels=example / "labels.csv",
        classes=example / "classes.txt", output=tmp_path / "out", sections=("overview", "weights", "probes"),
    )  # fmt: skip
    report = pages.check_page(tmp_path / "out")
    probes = pages.content(report, "probes")["probes"]
    best = {one["name"]: one["outputs"][0]["top"][0]["name"] for one in probes}
    assert best["coffee.jpg"] == "espresso"
    assert best["camera.jpg"] == "tripod"
    assert best["chelsea.jpg"] in {"tabby", "tiger cat", "Egyptian cat"}
    assert len(best) == 7
    assert "rounded-kernel" not in {finding["rule"] for finding in report["findings"]}


def test_schema_describes_report_json(tmp_path, capsys):
    code, out, _ = reportgen(capsys, "schema")
    assert code == 0
    schema = json.loads(out)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for name in ("segmentation", "nan", "two_outputs", "autoencoder", "multilabel", "vector"):
        size = 16 if name in {"segmentation", "autoencoder"} else 12
        np.save("probes.npy", models.images(2, size))
        features = ("--skip", "features")
        if name in {"nan", "multilabel"}:
            features = ("--feature-steps", 2, "--units", "class:0")
        folder = cli_build(tmp_path / name, models.saved(name), "-p", "probes.npy", *features)
        report = json.loads((folder / "report.json").read_bytes())
        validator.validate(report)
    report["summary"]["state"] = "fine"
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(report)


def test_render_mends_a_page_that_does_not_match(tmp_path, capsys, reports):
    folder = shutil.copytree(reports["classifier"], tmp_path / "out")
    whole = pages.tree(folder)
    (folder / "index.html").write_text("<p>half a pa")
    (folder / "summary.md").unlink()
    for path in (folder / "assets").glob("*.css"):
        path.unlink()
    code, out, _ = reportgen(capsys, "render", folder)
    assert (code, out.strip()) == (0, str(folder / "index.html"))
    assert pages.tree(folder) == whole
    pages.check_page(folder)


def test_render_follows_a_changed_report(tmp_path, capsys, reports):
    folder = shutil.copytree(reports["classifier"], tmp_path / "out")
    report = json.loads((folder / "report.json").read_bytes())
    report["summary"]["name"] = "Renamed <by hand>"
    changed = json.dumps(report).encode()
    (folder / "report.json").write_bytes(changed)
    assert reportgen(capsys, "render", folder)[0] == 0
    assert (folder / "report.json").read_bytes() == changed
    assert "Renamed <by hand>" in pages.page_text(folder)
    pages.check_page(folder)


@pytest.mark.parametrize("command", [["--help"], ["build", "--help"], ["render", "REPORT"]])
def test_light_commands_import_nothing_heavy(tmp_path, reports, command):
    folder = shutil.copytree(reports["classifier"], tmp_path / "out")
    arguments = [str(folder) if word == "REPORT" else word for word in command]
    code = (
        "import sys\nfrom reportgen.cli import run\n"
        f"code = run({arguments!r})\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'PIL', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'{code} {sorted(heavy)}' if code or heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=models.environment(),
    )
    assert (done.returncode, done.stderr) == (0, "")


# -- usage: 2 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["bild"],
        ["build"],
        ["build", "MODEL", "-o", "new", "--nonsense"],
        ["build", "MODEL", "-o", "new", "--resize", "squash"],
        ["build", "MODEL", "-o", "new", "--max-probes", "many"],
    ],
)
def test_usage_errors_of_the_parser(tmp_path, capsys, arguments):
    given = [models.saved("classifier") if word == "MODEL" else word for word in arguments]
    code, out, lines = reportgen(capsys, *given)
    assert (code, out) == (2, "")
    assert any("Error" in line for line in lines)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-probes", "0"], "at least 1"),
        (["--preprocess", "imagenet"], "symmetric"),
        (["--sections", "weihgts"], "'weights'"),
        (["--skip", ",".join(SECTIONS)], "no section"),
        (["--meta", "novalue"], "KEY=VALUE"),
        (["--input-size", "big"], "224x224"),
        (["--threshold", "7"], "between 0 and 1"),
    ],
)
def test_usage_errors_of_values(tmp_path, capsys, old, arguments, said):
    line = refused(capsys, 2, "build", models.saved("classifier"), "-o", old, "-q", *arguments)
    assert said in line


def test_build_without_output_is_a_usage_error(tmp_path, capsys):
    assert "-o OUT" in refused(capsys, 2, "build", models.saved("classifier"))
    assert list(tmp_path.iterdir()) == []


# -- a section that fails: 3 ---------------------------------------------------------------------


@pytest.fixture
def failing_weights(monkeypatch):
    from reportgen import pipeline

    def fail(context, observed):
        raise ZeroDivisionError("at /home/somebody/secret/weights.py")

    broken = [s._replace(collect=fail) if s.kind == "weights" else s for s in pipeline.SECTIONS]
    monkeypatch.setattr(pipeline, "SECTIONS", tuple(broken))


@pytest.mark.usefixtures("failing_weights")
def test_failed_section_is_a_notice_and_the_rest_goes_on(tmp_path, capsys):
    np.save("probes.npy", PICTURES)
    arguments = ["build", models.saved("classifier"), "-o", "out", "-p", "probes.npy"]
    code, _, lines = reportgen(capsys, *arguments)
    assert code == 3
    assert any(f"1 of {len(SECTIONS)} sections failed (Weights)" in line for line in lines)
    report = pages.check_page(tmp_path / "out")
    assert report["summary"]["state"] == "incomplete"
    assert pages.section(report, "weights")["content"] is None
    assert "ZeroDivisionError" in pages.notices(report, "weights", "error")
    assert len(pages.outputs(report)) == 6
    assert "Traceback" not in pages.page_text(tmp_path / "out")
    for name, data in pages.tree(tmp_path / "out").items():
        assert b"somebody" not in data, name


@pytest.mark.usefixtures("failing_weights")
def test_strict_writes_nothing(tmp_path, capsys):
    line = refused(
        capsys, 3, "build", models.saved("classifier"), "-o", "new/out", "--strict", "-q"
    )
    assert "Weights" in line
    assert not Path("new").exists()


def test_strict_keeps_the_old_report(tmp_path, capsys, old, failing_weights):
    refused(capsys, 3, "build", models.saved("classifier"), "-o", old, "--strict", "-q")


@pytest.mark.usefixtures("failing_weights")
def test_the_command_line_takes_back_what_a_file_is_strict_about(tmp_path, capsys):
    configure("strict = true")
    build = ["build", models.saved("classifier"), "-o", "out", "-q"]
    refused(capsys, 3, *build)
    assert not Path("out").exists()
    assert reportgen(capsys, *build, "--no-strict")[0] == 3
    assert pages.check_page(tmp_path / "out")["summary"]["state"] == "incomplete"


# -- the model: 5 --------------------------------------------------------------------------------


def _lambda(path):
    import keras

    entry = keras.Input((4, 4, 3))
    keras.Model(entry, keras.layers.Lambda(lambda x: x * 2, name="double")(entry)).save(path)


def _custom(path):
    import keras

    class Blinker(keras.layers.Layer):
        def call(self, x):
            return x

    entry = keras.Input((4, 4, 3))
    keras.Model(entry, Blinker(name="blink")(entry)).save(path)


def _truncated(path):
    data = models.saved("classifier").read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _flipped(path):
    """Damage the weights inside the archive."""
    data = bytearray(models.saved("classifier").read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


def _other_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


def _not_json(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{")
        archive.writestr("model.weights.h5", "")


def _folder(path):
    path.mkdir()


def _lfs(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n")


BAD_MODELS = {
    "missing": ("m.keras", lambda path: None, "no model file"),
    "folder": ("m.keras", _folder, "folder"),
    "empty": ("m.keras", lambda path: path.write_bytes(b""), "empty"),
    "text": ("m.keras", lambda path: path.write_text("not a model\n"), "zip"),
    "text-h5": ("m.h5", lambda path: path.write_text("not a model\n"), "HDF5"),
    "suffix": ("m.txt", lambda path: path.write_text("not a model\n"), ".keras"),
    "truncated": ("m.keras", _truncated, "truncated or damaged"),
    "flipped": ("m.keras", _flipped, "damaged"),
    "other-zip": ("m.keras", _other_zip, "no Keras model"),
    "not-json": ("m.keras", _not_json, "not JSON"),
    "lfs": ("m.h5", _lfs, "git lfs pull"),
    "tflite": ("m.tflite", lambda path: path.write_bytes(b"\x1c\0\0\0TFL3"), "Netron"),
    "onnx": ("m.onnx", lambda path: path.write_bytes(b"\x08\x07"), "Netron"),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_bad_model(tmp_path, capsys, old, kind):
    name, make, said = BAD_MODELS[kind]
    make(tmp_path / name)
    line = refused(capsys, 5, "build", name, "-o", old, "-q")
    assert said in line
    assert name in line
    line = refused(capsys, 5, "build", name, "-o", "new/er", "-q")
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("make", "names", "flag"),
    [(_lambda, "'double'", "--allow-code"), (_custom, "Blinker", "--custom-objects")],
)
def test_a_model_that_needs_a_flag_is_reported_without_being_built(
    tmp_path, capsys, make, names, flag
):
    make(tmp_path / "m.keras")
    code, _, _ = reportgen(capsys, "build", "m.keras", "-o", "new", "-q")
    assert code == 0
    report = pages.check_page(tmp_path / "new")
    said = pages.notices(report, "overview", level="warning")
    assert names in said
    assert flag in said
    assert pages.content(report, "overview")["origin"]["way"] == "stored"
    assert len(pages.content(report, "architecture")["layers"]) == 2


def test_lambda_runs_with_permission(tmp_path):
    _lambda(tmp_path / "l.keras")
    pages.check_page(cli_build(tmp_path / "out", "l.keras", "--allow-code"))


@pytest.mark.parametrize("how", ["blinker.py", "blinker_module", "blinker_module:Blinker"])
def test_custom_class_is_given(tmp_path, how):
    _custom(tmp_path / "c.keras")
    source = (
        "import keras\n\n\nclass Blinker(keras.layers.Layer):\n"
        "    def call(self, x):\n        return x\n"
    )
    Path("blinker.py").write_text(source)
    Path("blinker_module.py").write_text(source)
    sys.modules.pop("blinker_module", None)
    pages.check_page(cli_build(tmp_path / "out", "c.keras", "--custom-objects", how))


@pytest.mark.parametrize("option", ["--custom-objects", "--preprocess"])
def test_code_of_the_user_imports_what_a_build_leaves_out(tmp_path, option):
    """Packages that only wrappers of Keras use are not imported; code of the user's may use them."""
    if option == "--custom-objects":
        _custom(tmp_path / "c.keras")
        given = [option, "blinker.py"]
    else:
        shutil.copy(models.saved("classifier"), tmp_path / "c.keras")
        given = [option, "halves:halved", "-p", str(write_images(tmp_path / "images"))]
    Path("blinker.py").write_text(
        "import keras\nimport scipy.ndimage\n\n\nclass Blinker(keras.layers.Layer):\n"
        "    def call(self, x):\n        return x\n"
    )
    Path("halves.py").write_text(
        "import scipy.ndimage\n\n\ndef halved(images):\n    return images / 2\n"
    )
    command = [sys.executable, "-m", "reportgen", "build", "c.keras", "-o", "out", "-q"]
    command += ["--sections", "overview,probes"]
    done = subprocess.run(
        [*command, *given],
        capture_output=True,
        text=True,
        check=False,
        env=models.environment(),
    )
    assert (done.returncode, done.stderr) == (0, "")
    pages.check_page(tmp_path / "out")


# -- other input: 6 ------------------------------------------------------------------------------


def test_broken_images_among_good_ones_are_a_notice(tmp_path, capsys):
    folder = write_images(tmp_path / "probes", PICTURES[:3])
    whole = (folder / "0.png").read_bytes()
    (folder / "empty.png").write_bytes(b"")
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("no image")
    code, _, lines = reportgen(
        capsys, "build", models.saved("classifier"), "-o", "out", "-p", folder
    )
    assert code == 0
    report = pages.check_page(tmp_path / "out")
    said = pages.notices(report, level="warning")
    assert all(name in said for name in ("empty.png", "cut.png", "text.png"))
    assert [p["name"] for p in pages.content(report, "probes")["probes"]] == [
        "0.png",
        "1.png",
        "2.png",
    ]
    assert any("empty.png" in line for line in lines)
    assert said.count("A probe was left out") == 3


def _none_readable(folder):
    (folder / "a.png").write_bytes(b"")
    (folder / "b.jpg").write_text("no image")


def _no_images(folder):
    (folder / "notes.txt").write_text("no image")


def _pickled(folder):
    np.save(folder / "p.npy", np.array([{"run": "me"}], dtype=object), allow_pickle=True)


BAD_PROBES = {
    "none readable": (_none_readable, "", "a.png"),
    "no images": (_no_images, "", "holds no images"),
    "missing": (lambda folder: None, "missing.png", "missing.png"),
    "no match": (lambda folder: None, "*.png", "*.png"),
    "pickled": (_pickled, "p.npy", "pickled"),
    "wrong rank": (lambda f: np.save(f / "r.npy", np.zeros((1, 2, 3, 4, 5))), "r.npy", "shape"),
    "text": (lambda f: np.save(f / "t.npy", np.array(["a", "b"])), "t.npy", "numbers"),
    "damaged": (lambda f: (f / "d.npz").write_bytes(b"PK\x03\x04nothing"), "d.npz", "d.npz"),
    "empty array": (lambda f: np.save(f / "e.npy", np.zeros((0, 12, 12, 3))), "e.npy", "empty"),
}


@pytest.mark.parametrize("kind", BAD_PROBES)
def test_bad_probes(tmp_path, capsys, old, kind):
    make, name, said = BAD_PROBES[kind]
    Path("probes").mkdir()
    make(tmp_path / "probes")
    given = tmp_path / "probes" / name
    model = models.saved("classifier")
    assert said in refused(capsys, 6, "build", model, "-o", old, "-q", "-p", given)
    refused(capsys, 6, "build", model, "-o", "new", "-q", "-p", given)
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("--classes", "one\ntwo\n", "2 class names"),
        ("--classes", "[1, {", "JSON"),
        ("--classes", "", "no class names"),
        ("--labels", "one-column\n", "file,label"),
        ("--labels", "other.png,3\n", "None of the labels"),
        ("--labels", "", "no labels"),
    ],
)
def test_bad_names_and_labels(tmp_path, capsys, old, option, content, said):
    Path("given.txt").write_text(content)
    np.save("probes.npy", PICTURES)
    model = models.saved("classifier")
    arguments = ["-p", "probes.npy", option, "given.txt"]
    if option == "--labels":
        arguments[1] = str(write_images(tmp_path / "probes"))
    assert said in refused(capsys, 6, "build", model, "-o", old, "-q", *arguments)
    assert "gone.txt" in refused(
        capsys, 6, "build", model, "-o", old, "-q", *arguments[:3], "gone.txt"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--preprocess", "no_such_module:f"], "no_such_module"),
        (["--preprocess", "json:nothing"], "nothing"),
        (["--custom-objects", "no_such_module"], "no_such_module"),
        (["--custom-objects", "gone.py"], "no such file"),
    ],
)
def test_code_that_cannot_be_imported(tmp_path, capsys, old, given, said):
    np.save("probes.npy", PICTURES)
    arguments = ["build", models.saved("classifier"), "-o", old, "-q", "-p", "probes.npy"]
    assert said in refused(capsys, 6, *arguments, *given)


def test_render_of_what_is_no_report(tmp_path, capsys):
    Path("empty").mkdir()
    assert "reportgen build" in refused(capsys, 6, "render", "empty")
    assert list(Path("empty").iterdir()) == []
    assert "gone" in refused(capsys, 6, "render", "gone")
    assert not Path("gone").exists()
    Path("empty/report.json").write_text('{"schema": [99, 0]}')
    assert "newer reportgen" in refused(capsys, 6, "render", "empty")
    Path("empty/report.json").write_text('{"schema": [1, 0]}')
    assert "damaged" in refused(capsys, 6, "render", "empty")
    Path("empty/report.json").write_text("no json")
    assert "not a report" in refused(capsys, 6, "render", "empty")


# -- [tool.reportgen] ----------------------------------------------------------------------------


def configure(text, folder="."):
    Path(folder, "pyproject.toml").write_text(f"[tool.reportgen]\n{text}\n")


def test_configuration_is_read_and_the_command_line_wins(tmp_path, monkeypatch):
    write_images(tmp_path / "pictures")
    configure('title = "From the file"\nmax-probes = 2\nprobes = "pictures"\nhide_names = true')
    below = tmp_path / "a/b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    report = pages.check_page(cli_build(tmp_path / "one", models.saved("classifier")))
    names = [p["name"] for p in pages.content(report, "probes")["probes"]]
    assert report["summary"]["name"] == "From the file"
    assert names == ["probe 1", "probe 2"]
    report = pages.check_page(
        cli_build(tmp_path / "two", models.saved("classifier"), "--title", "Typed")
    )
    assert report["summary"]["name"] == "Typed"
    assert len(pages.content(report, "probes")["probes"]) == 2


def test_configuration_takes_every_option_of_build(tmp_path):
    from reportgen.cli import build

    write_images(tmp_path / "pictures")
    Path("names.txt").write_text("\n".join("abcdefg"))
    Path("labels.csv").write_text("0.png,b\npictures/0.png,b\n")
    Path("history.csv").write_text("epoch,loss\n0,2\n1,1\n")
    Path("notes.md").write_text("# Mine")
    Path("card.yaml").write_text("license: MIT")
    Path("look").mkdir()
    Path("trusted.toml").write_text(
        '[tool.reportgen]\noutput = "made"\nprobes = ["pictures"]\nmax-probes = 3\nclasses = "names.txt"\n'
        'labels = "labels.csv"\nresize = "crop"\norientation = "exif"\nbands = "0"\ninput-size = "12x12"\n'
        'preprocess = "none"\n'
        'threshold = 0.4\ncustom-objects = []\nallow-code = false\nweights-only = false\ntitle = "T"\n'
        'notes = "notes.md"\ncard = "card.yaml"\ntemplates = "look"\n'
        'images = true\ndata-images = "all"\nbase-url = "https://reports.example/"\n'
        'meta = {commit = "1a2b", run = "7"}\nhide-names = true\nshow-paths = false\n'
        'sections = ["overview", "probes"]\nskip = ["weights"]\nlayers = ["features"]\n'
        'data = "labels.csv"\nhistory = "history.csv"\nrelevance = ["gradcam"]\nrelevance-layer = "features"\n'
        'relevance-baseline = "mean"\nsingle-file = false\n'
        'target = ["b"]\nquick = true\nunits = ["features:0"]\nfeature-method = "maco"\n'
        'feature-steps = 2\ndiversity = 2\ncaricature = "0"\nbudget = 9.5\nfull = true\n'
        'jobs = 1\nengine = "local"\nretries = 0\n'
        'seed = 5\ndevice = "cpu"\ncache = "kept"\nfresh = true\n'
        'fail-on = "error"\nignore = ["int8-friendliness"]\njunit = "findings.xml"\n'
        "strict = true\nforce = true\nopen = false\nquiet = true\nverbose = false\nmlflow = false"
    )
    given = {line.partition(" =")[0] for line in Path("trusted.toml").read_text().splitlines()[1:]}
    known = {
        option.opts[-1].removeprefix("--") for option in build.params if option.opts[0][0] == "-"
    }
    elsewhere = {
        "architecture",
        "like",
        "mlflow-run",
        "data-features",
        "address",
    }  # for weights alone; tested with a real server or a cluster; for data sets in large files
    assert given == known - {"config"} - elsewhere
    assert cli.run(["build", str(models.saved("classifier")), "--config", "trusted.toml"]) == 0
    report = pages.check_page(tmp_path / "made")
    overview = pages.content(report, "overview")
    assert overview["meta"] == [["commit", "1a2b"], ["run", "7"]]
    assert "--meta commit=1a2b --meta run=7" in overview["command"]
    assert report["ignore"] == ["int8-friendliness"]
    assert report["notes"]["source"] == "# Mine"
    assert report["card"]["license"] == ["MIT"]
    assert Path("findings.xml").read_text().startswith("<?xml")
    assert overview["seed"] == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.reportgen]\nmax_prbes = 3\n", "max_prbes"),
        ("[tool.reportgen\n", "pyproject.toml"),
        ("[tool]\nreportgen = 3\n", "table"),
        ('[tool.reportgen]\nmax-probes = "many"\n', "max_probes"),
        ("[tool.reportgen]\nthreshold = 7\n", "threshold"),
        ("[tool.reportgen]\ntitle = 7\n", "title"),
        ("[tool.reportgen]\nprobes = 7\n", "probes"),
        ("[tool.reportgen]\nmeta = 7\n", "option"),
        ("[tool.reportgen]\nhistory = 7\n", "history"),
        ("[tool.reportgen]\nsections = 7\n", "option"),
        ("[tool.reportgen]\nquiet = 7\n", "quiet"),
    ],
)
def test_bad_configuration(tmp_path, capsys, old, text, said):
    Path("pyproject.toml").write_text(text)
    line = refused(capsys, 6, "build", models.saved("classifier"), "-o", old, "-q")
    assert said in line
    assert "pyproject.toml" in line


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ('custom-objects = ["evil.py"]', "--custom-objects"),
        ('custom_objects = "evil"', "--custom-objects"),
        ("allow-code = true", "--allow-code"),
        ('preprocess = "evil:scale"', "--preprocess"),
        ('templates = "look"', "--templates"),
        ('output = "/elsewhere"', "--output"),
        ("force = true", "--force"),
        ('cache = "/elsewhere"', "--cache"),
        ('junit = "/elsewhere.xml"', "--junit"),
    ],
)
def test_a_file_that_was_found_may_not_run_code_or_write(tmp_path, capsys, old, text, flag):
    """The folder of a model that somebody sent may bring a pyproject.toml."""
    Path("evil.py").write_text("open('ran', 'w').close()\nscale = abs\n")
    configure(text)
    line = refused(capsys, 6, "build", models.saved("classifier"), "-o", old, "-q")
    assert flag in line
    assert "--config" in line
    assert refused(capsys, 6, "check", old) == line
    assert not Path("ran").exists()


@pytest.mark.parametrize("key", ["notes", "card"])
def test_a_file_that_was_found_may_name_texts_of_its_own_folder(tmp_path, capsys, key):
    """What they hold is shown on the page, which is shared."""
    here, away = Path("texts.md"), tmp_path.parent / "secret.md"
    for path in (here, away):
        path.write_text("license: open\n")
    Path("link.md").symlink_to(away)
    build = ("build", models.saved("classifier"), "-o", "told", "-q", "--sections", "overview")
    for name in (away, "../secret.md", "link.md"):
        configure(f'{key} = "{name}"')
        line = refused(capsys, 6, *build)
        assert f"--{key}" in line
        assert "same folder only" in line
    assert not Path("told").exists()
    configure(f'{key} = "texts.md"')
    assert cli.run([str(word) for word in build]) == 0
    assert "open" in Path("told/report.json").read_text("utf-8")
    Path("mine.toml").write_text(f'{key} = "{away}"')
    assert cli.run([*map(str, build), "--config", "mine.toml"]) == 0


@pytest.mark.parametrize("head", ["[tool.reportgen]", ""])
def test_a_file_that_was_named_may(tmp_path, capsys, head):
    """Its paths count from its folder, its options stand in the table or at the top."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "tenths_in_a_file.py").write_text("def tenth(x):\n    return x / 10\n")
    Path("pyproject.toml").write_text("[tool.reportgen]\nno-such-option = 1\n")
    (folder / "report.toml").write_text(
        f'{head}\ncustom-objects = ["tenths_in_a_file.py"]\noutput = "out"\n'
        'junit = "found.xml"\ncache = "kept"\n'
    )
    build = ["build", models.saved("classifier"), "--config", folder / "report.toml", "-q"]
    assert reportgen(capsys, *build)[0] == 0
    pages.check_page(folder / "out")
    assert (folder / "found.xml").is_file()
    assert reportgen(capsys, "check", folder / "out", "--config", folder / "report.toml")[0] == 0
    assert "gone.toml" in refused(capsys, 6, *build[:3], "gone.toml")


def test_check_reads_the_same_file_as_build(tmp_path, capsys):
    """A single pattern is no list of letters, and --junit may stand in a named file."""
    folder = cli_build(tmp_path / "out", models.saved("binary"))
    configure('ignore = "int8-friendliness"')
    assert reportgen(capsys, "check", folder)[0] == 0
    Path("mine.toml").write_text('junit = "found.xml"\n[tool.ruff]\nline-length = 100\n')
    assert reportgen(capsys, "check", folder, "--config", "mine.toml")[0] == 0
    assert Path("found.xml").read_text().startswith("<?xml")


def test_options_of_a_named_file_are_not_lost_beside_other_tools(tmp_path, capsys, old):
    Path("mine.toml").write_text('fail-on = "bogus"\n[tool.ruff]\nline-length = 100\n')
    line = refused(
        capsys, 6, "build", models.saved("binary"), "-o", old, "-q", "--config", "mine.toml"
    )
    assert "--fail-on takes error or warning" in line


def test_the_vector_of_a_unit_counts_from_the_folder_of_the_file(tmp_path):
    from reportgen.configuration import read_configuration

    (tmp_path / "pyproject.toml").write_text(
        '[tool.reportgen]\nunits = ["l:direction=v.npy", "l:3"]\n'
    )
    found = read_configuration(tmp_path)
    assert found == {"units": [f"l:direction={tmp_path / 'v.npy'}", "l:3"]}


def test_nothing_of_the_folder_where_it_is_called_is_imported(tmp_path):
    """A downloaded folder may hold modules with the names of libraries."""
    for name in (
        "json",
        "re",
        "pygraphviz",
        "shutil",
        "subprocess",
        "typing",
        "encodings",
        "matplotlib",
    ):
        Path(f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').write({name!r})\n")
    Path("matplotlibrc").write_text("text.usetex: True\nbackend: module://evil\n")
    command = [
        str(Path(sys.executable).with_name("reportgen")),
        "build",
        str(models.saved("classifier")),
    ]
    done = subprocess.run([*command, "-o", "out"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not Path("ran").exists()
    report = pages.check_page(tmp_path / "out")
    assert pages.content(report, "architecture")["overview"]["boxes"]


# -- the output: 7 -------------------------------------------------------------------------------


def test_output_that_is_a_file(tmp_path, capsys):
    Path("out").write_text("mine")
    assert "file" in refused(capsys, 7, "build", models.saved("classifier"), "-o", "out", "-q")
    assert "out" in refused(capsys, 7, "build", models.saved("classifier"), "-o", "out/in", "-q")
    assert Path("out").read_text() == "mine"


def test_output_that_is_another_folder(tmp_path, capsys):
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    line = refused(capsys, 7, "build", models.saved("classifier"), "-o", "out", "-q")
    assert "--force" in line
    assert pages.tree(tmp_path / "out") == {"mine.txt": b"mine"}


def test_output_that_another_build_holds(tmp_path, capsys, old):
    from reportgen.page.output import locked

    with locked(old):
        line = refused(capsys, 7, "build", models.saved("classifier"), "-o", old, "-q")
        assert "Another build" in line
        assert "Another build" in refused(capsys, 7, "render", old)


def test_output_that_cannot_be_written(tmp_path, capsys, old, monkeypatch):
    from reportgen.page import publish

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publish.os, "replace", full)
    line = refused(capsys, 7, "build", models.saved("classifier"), "-o", old, "-q")
    assert "No space left on device" in line


# -- interrupted: 130, and what nobody expects: 1 ------------------------------------------------


@pytest.mark.parametrize("stage", ["make_context", "make_sections", "publish"])
def test_interrupt_keeps_the_old_report(tmp_path, capsys, old, monkeypatch, stage):
    from reportgen import build

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(build, stage, interrupted)
    line = refused(capsys, 130, "build", models.saved("classifier"), "-o", old, "-q")
    assert "interrupted" in line
    refused(capsys, 130, "build", models.saved("classifier"), "-o", "new", "-q")
    assert not Path("new").exists()


def test_unexpected_error_is_one_line(tmp_path, capsys, old, monkeypatch):
    from reportgen import build

    def broken(*_, **__):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(build, "make_context", broken)
    line = refused(capsys, 1, "build", models.saved("classifier"), "-o", old, "-q")
    assert "RuntimeError: two lines" in line


def test_an_option_of_one_value_is_not_given_twice(capsys):
    assert cli.run(["build", "model.keras", "--data", "x-0.tar", "--data", "x-1.tar"]) == 2
    assert "'--data': it is given twice, and takes one value" in capsys.readouterr().err
    assert cli.run(["build", "model.keras", "--data", "x-0.tar", "x-1.tar"]) == 2
    assert "A pattern is quoted" in capsys.readouterr().err
