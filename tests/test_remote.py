"""Object stores, on fsspec's store in memory: what is fetched, sent and refused, and what nobody sees."""

from __future__ import annotations

import csv
import gc
import io
import json
import logging
import re
import sys
import tempfile
from pathlib import Path

import fsspec
import models
import numpy as np
import pytest
from click.testing import CliRunner
from pages import check_page
from PIL import Image
from told import Told

from reportgen import build_report
from reportgen.addresses import is_address, parse_address
from reportgen.cli import cli
from reportgen.configuration import read_configuration
from reportgen.errors import (
    ConfigurationError,
    DataError,
    InputError,
    ModelError,
    OutputError,
    ProbeError,
    ReportgenError,
    UsageError,
)
from reportgen.inputs.data_source import list_data
from reportgen.inputs.dataset import DataSet
from reportgen.inputs.fitting import InputShape
from reportgen.integrations.keras import ReportCallback
from reportgen.remote import fetching
from reportgen.remote.fetching import Sources, fetched
from reportgen.remote.sending import send
from reportgen.settings import make_settings
from reportgen.stores import Store, _reason
from reportgen.terminal import quieten

LEAN = {"sections": ("overview", "probes")}


@pytest.fixture
def store():
    """A store that holds nothing."""
    system = fsspec.filesystem("memory")
    for path in system.find("/"):
        system.rm_file(path)
    system.pseudo_dirs[:] = [""]
    return system


def png(seed=0):
    held = io.BytesIO()
    Image.fromarray(models.images(1, seed=seed)[0]).save(held, "PNG")
    return held.getvalue()


def put_set(store):
    for k, name in enumerate(("cat/1", "cat/2", "dog/1", "dog/2")):
        store.pipe_file(f"/b/set/{name}.png", png(k))
    store.pipe_file("/b/set/dog/notes.txt", b"x")
    store.pipe_file("/b/set/elk/notes.txt", b"x")


def put_model(store):
    store.pipe_file("/b/model.keras", models.saved("classifier").read_bytes())
    return "memory://b/model.keras"


def held(store, folder):
    return {path[len(folder) + 1 :]: store.cat_file(path) for path in store.find(folder)}


def unpacked(store, folder, place):
    for name, content in held(store, folder).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket/a.keras", True), ("http://host/a.keras", True), ("simplecache::s3://b/x", True),
        ("C:\\models\\a.keras", False), ("C:/models/a.keras", False),
        ("C://models", False), ("a::b.png", False),
        ("models/a.keras", False), ("s3", False), (Path("/b/x"), False), (None, False),
    ],
)  # fmt: skip
def test_what_is_an_address(text, expected):
    assert is_address(text) is expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://host/a", "s3, gs, az, abfs, memory"), ("file:///etc/passwd", "file://"),
        ("ftp://host/a", "s3, gs"), ("simplecache::s3://b/x", "chains"), ("zip://a::s3://b/x", "chains"),
        ("s3://b/x::http://h/a", "chains"), ("s3://KEY:SECRET@b/x", "no user"),
        ("s3://b/x?versionId=SECRET", "'[?]'"),
        ("s3://b/x#SECRET", "'#'"), ("s3://b/../x", "no name"), ("s3://b//x", "no name"), ("s3://", "no name"),
        ("s3://b/x\ny", "line break"),
    ],
)  # fmt: skip
def test_other_addresses_are_refused_and_their_secrets_not_repeated(text, said):
    with pytest.raises(UsageError, match=said) as caught:
        parse_address(text)
    assert "SECRET" not in str(caught.value)
    assert "KEY" not in str(caught.value)


def test_an_address_has_a_name_and_a_parent():
    address = parse_address("S3://bucket/models/a.keras/")
    assert str(address) == "s3://bucket/models/a.keras"
    assert (address.name, str(address.parent)) == ("a.keras", "s3://bucket/models")


def test_an_address_that_pathlib_folded_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="two slashes"):
        build_report(models.saved("classifier"), output=Path("s3://bucket/report"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_no_argument_takes_another_scheme(tmp_path, scheme):
    url = f"{scheme}://host/x"
    for given in (
        {"probes": url},
        {"probes": [url]},
        {"data": url},
        {"history": url},
        {"output": url},
    ):
        with pytest.raises(UsageError, match="are not taken: s3"):
            build_report(models.saved("classifier"), **{"output": tmp_path / "r", **given})
    with pytest.raises(UsageError, match="are not taken: s3"):
        build_report(url, output=tmp_path / "r")


def test_a_copied_data_set_is_told_by_what_the_store_says(store):
    """Every machine, and the next run, has the same identity, until the store has another file."""
    put_set(store)

    def identity():
        with fetched(Sources(None, data="memory://b/set"), Told()) as given:
            source = list_data(given.data, make_settings({}), copied=True)
            data = DataSet(source, [InputShape("image", (8, 8, 1), "float32")], make_settings({}))
            return data.identity(data.shards(4)[0])

    first = identity()
    assert identity() == first
    store.pipe_file("/b/set/dog/2.png", png(3))
    assert identity() != first


@pytest.fixture
def sent(store, tmp_path):
    """All of it from a store and to it."""
    put_set(store)
    store.pipe_file("/b/log.csv", b"epoch,loss,val_loss\n0,1.0,1.1\n1,0.5,0.7\n")
    told = Told()
    folder = build_report(
        put_model(store),
        probes="memory://b/set/*/1.png",
        data="memory://b/set",
        history="memory://b/log.csv",
        output="memory://b/reports/7",
        show_paths=True,
        classes=["cat", "dog", "elk", "gnu", "hen", "owl", "pig"],
        progress=told,
        sections=("overview", "probes", "evaluation", "history"),
    )
    return folder, told, unpacked(store, "/b/reports/7", tmp_path / "down")


def test_a_report_from_a_store_to_a_store_is_whole(sent):
    folder, told, down = sent
    report = check_page(down)
    assert folder.url == "memory://b/reports/7"
    assert folder.place == "memory://b/reports/7/index.html"
    assert repr(folder) == "ReportFolder('memory://b/reports/7')"
    (evaluated,) = [s for s in report["sections"] if s["kind"] == "evaluation"]
    assert evaluated["content"]["images"] == 4
    assert report["summary"]["name"] == "model"
    pictures = [p for p in (down / "assets").iterdir() if p.suffix not in {".css", ".js"}]
    (said,) = [text for text in told.texts if text.startswith("Sending")]
    assert re.fullmatch(
        rf"Sending {len(pictures)} pictures and the page, [\d.]+ [KM]iB, to memory://b/reports/7",
        said,
    )


def test_nothing_of_this_machine_is_in_it(sent):
    folder, told, down = sent
    temporary = str(Path(tempfile.gettempdir()).resolve())
    for path in down.rglob("*"):
        if path.is_file() and path.suffix in {".html", ".json", ".md", ".svg"}:
            text = path.read_text("utf-8")
            assert temporary not in text, path
            assert "memory://" not in text, path
            assert "reportgen-" not in text.replace("reportgen-report", ""), path
    assert not [text for text in told.texts if temporary in text]
    (overview,) = [s for s in folder.report.sections if s.kind == "overview"]
    assert overview.content.file.name == "model.keras"


def test_the_copy_goes_with_the_folder_and_the_inputs_with_the_build(store, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = build_report(put_model(store), output="memory://b/r", **LEAN)
    assert folder.path.is_dir()
    assert [p.name for p in tmp_path.iterdir()] == [folder.path.parent.name]
    del folder
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_failed_build_leaves_no_copy(store, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store.pipe_file("/b/bad.keras", b"no model")
    with pytest.raises(ModelError) as caught:
        build_report("memory://b/bad.keras", output="memory://b/r", **LEAN)
    assert "memory://b/bad.keras" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert not store.exists("/b/r")


def test_a_page_alone(store):
    folder = build_report(put_model(store), output="memory://b/x/cats.html", **LEAN)
    assert store.find("/b/x") == ["/b/x/cats.html"]
    assert store.cat_file("/b/x/cats.html").startswith(b"<!doctype html>")
    assert folder.place == "memory://b/x/cats.html"
    store.pipe_file("/b/x/mine.html", b"<p>mine")
    with pytest.raises(OutputError, match="no page of reportgen"):
        build_report(put_model(store), output="memory://b/x/mine.html", **LEAN)


def test_an_update_removes_what_no_page_shows_any_more_and_nothing_else(store, tmp_path):
    first = build_report(
        put_model(store), probes=models.images(4), output="memory://b/r", single_file=True, **LEAN
    )
    mine = {"/b/r/notes.txt": b"mine", "/b/r/assets/0123456789abcdef0123.png": b"not that hash"}
    for path, content in mine.items():
        store.pipe_file(path, content)
    old = set(held(store, "/b/r"))
    second = build_report(
        put_model(store), probes=models.images(3, seed=9), output="memory://b/r", **LEAN
    )
    new = held(store, "/b/r")
    gone = {f"assets/{name}" for name in set(first.report.assets) - set(second.report.assets)}
    assert gone
    assert old - set(new) == gone | {"report.html"}
    assert all(store.cat_file(path) == content for path, content in mine.items())
    for path in mine:
        store.rm_file(path)
    check_page(unpacked(store, "/b/r", tmp_path))


@pytest.mark.parametrize("fails_at", ["assets", "report.json", "summary.md", "index.html"])
def test_after_a_failure_in_the_middle_the_old_page_is_whole(
    store, tmp_path, monkeypatch, fails_at
):
    build_report(put_model(store), probes=models.images(4), output="memory://b/r", **LEAN)
    page = store.cat_file("/b/r/index.html")
    before = held(store, "/b/r")
    original, seen = type(store).put_file, []

    def failing(self, local, remote, **more):
        seen.append(remote)
        if fails_at in remote and len(seen) > 1:
            raise PermissionError("token=SECRET")
        return original(self, local, remote, **more)

    monkeypatch.setattr(type(store), "put_file", failing)
    with pytest.raises(OutputError, match="access is denied") as caught:
        build_report(
            put_model(store), probes=models.images(3, seed=9), output="memory://b/r", **LEAN
        )
    assert "SECRET" not in str(caught.value)
    after = held(store, "/b/r")
    assert after["index.html"] == page
    assert all(after[name] == before[name] for name in before if name.startswith("assets/"))
    assert fails_at == "index.html" or set(after) == set(before)
    monkeypatch.undo()
    build_report(put_model(store), probes=models.images(3, seed=9), output="memory://b/r", **LEAN)
    check_page(unpacked(store, "/b/r", tmp_path))


def test_a_first_report_that_fails_leaves_nothing(store, monkeypatch):
    def failing(self, local, remote, **more):
        if remote.endswith("report.json"):
            raise OSError("gone")
        return original(self, local, remote, **more)

    original = type(store).put_file
    monkeypatch.setattr(type(store), "put_file", failing)
    with pytest.raises(OutputError):
        build_report(put_model(store), output="memory://b/r", **LEAN)
    assert store.find("/b/r") == []


def test_the_page_is_sent_last(store, monkeypatch):
    original, seen = type(store).put_file, []

    def noting(self, local, remote, **more):
        seen.append(remote.rpartition("/b/r/")[2].split("/")[0])
        return original(self, local, remote, **more)

    monkeypatch.setattr(type(store), "put_file", noting)
    build_report(
        put_model(store), probes=models.images(4), output="memory://b/r", single_file=True, **LEAN
    )
    assert list(dict.fromkeys(seen)) == [
        "assets",
        "report.json",
        "summary.md",
        "report.html",
        "index.html",
    ]


def test_what_is_no_report_is_not_written_to(store):
    store.pipe_file("/b/r/thesis.txt", b"mine")
    with pytest.raises(OutputError, match="not empty and no report"):
        build_report(
            "memory://b/none.keras", output="memory://b/r", **LEAN
        )  # before the model is looked for
    with pytest.raises(OutputError, match="is a file"):
        build_report(put_model(store), output="memory://b/r/thesis.txt", **LEAN)
    build_report(put_model(store), output="memory://b/r", force=True, **LEAN)
    assert store.cat_file("/b/r/thesis.txt") == b"mine"
    build_report(put_model(store), output="memory://b/r", **LEAN)


def test_pictures_that_a_killed_first_report_left_are_no_obstacle(store):
    store.pipe_file("/b/r/assets/0123456789abcdef0123.png", b"x")
    build_report(put_model(store), output="memory://b/r", **LEAN)
    store.pipe_file("/b/s/assets/holiday.png", b"x")
    with pytest.raises(OutputError, match="not empty"):
        build_report(put_model(store), output="memory://b/s", **LEAN)


def test_a_store_that_lets_nothing_be_removed_still_gets_the_report(store, monkeypatch):
    build_report(put_model(store), probes=models.images(4), output="memory://b/r", **LEAN)

    def refuse(self, path):
        raise PermissionError(path)

    monkeypatch.setattr(type(store), "rm_file", refuse)
    told = Told()
    build_report(
        put_model(store),
        probes=models.images(2, seed=5),
        output="memory://b/r",
        progress=told,
        **LEAN,
    )
    assert "could not be removed: memory://b/r: access is denied" in told.texts[-1]


def local(source, **given):
    with fetched(Sources("m", **{source: given["address"]}), Told()) as found:
        path = getattr(found, source)
        root = path if path.is_dir() else path.parent
        return path, sorted(p.relative_to(root).as_posix() for p in root.rglob("*"))


def test_of_a_folder_only_images_come_and_all_its_classes(store):
    put_set(store)
    path, names = local("data", address="memory://b/set/")
    assert path.name == "set"
    assert names == ["cat", "cat/1.png", "cat/2.png", "dog", "dog/1.png", "dog/2.png", "elk"]


def test_of_a_csv_only_the_listed_files_come(store):
    put_set(store)
    store.pipe_file(
        "/b/set/labels.csv", b"file,label\ncat/1.png,cat\n./dog/2.png,dog\ndog/9.png,dog\n"
    )
    _, names = local("data", address="memory://b/set/labels.csv")
    assert names == ["cat", "cat/1.png", "dog", "dog/2.png", "labels.csv"]


def test_the_masks_that_a_csv_lists_come_too(store):
    store.pipe_file("/b/i/a.png", png())
    store.pipe_file("/b/m/a.png", png())
    store.pipe_file("/b/list.csv", b"file,mask\ni/a.png,m/a.png\n")
    _, names = local("data", address="memory://b/list.csv")
    assert names == ["i", "i/a.png", "list.csv", "m", "m/a.png"]


@pytest.mark.parametrize("name", ["../secret.png", "/etc/x.png", "a/../../x.png", "a//x.png"])
def test_a_csv_leads_nowhere_else(store, name):
    sink = io.StringIO()
    csv.writer(sink).writerows([["file", "label"], [name, "cat"]])
    store.pipe_file("/b/set/labels.csv", sink.getvalue().encode())
    store.pipe_file("/b/secret.png", png())
    with pytest.raises(DataError, match="is no name below it"):
        local("data", address="memory://b/set/labels.csv")


def test_a_name_that_leads_out_of_its_folder_is_refused(store):
    store.store["/b/set/../x.png"] = type(store.open("/b/y.png", "wb"))(store, "/b/y.png", b"x")
    with pytest.raises(InputError, match="is no name below it"):
        local("data", address="memory://b/set")


@pytest.mark.parametrize(
    ("constant", "said"), [("MAX_REMOTE_FILES", "3 files"), ("MAX_REMOTE_BYTES", "at most 3 B")]
)
def test_what_is_fetched_is_bounded(store, monkeypatch, constant, said):
    put_set(store)
    monkeypatch.setattr(fetching, constant, 3)
    with pytest.raises(InputError, match=said):
        local("data", address="memory://b/set")


def test_patterns_give_their_matches_in_the_order_of_their_numbers(store):
    for k in (1, 2, 10):
        store.pipe_file(f"/b/p/image{k}.png", png(k))
    store.pipe_file("/b/p/notes.txt", b"x")
    with fetched(Sources("m", probes=["memory://b/p/*.png", "own.png"]), Told()) as found:
        assert [Path(one).name for one in found.probes] == [
            "image1.png",
            "image2.png",
            "image10.png",
            "own.png",
        ]
        assert all(path.is_file() for path in found.probes[:-1])
    with (
        pytest.raises(ProbeError, match="No file matches"),
        fetched(Sources("m", probes="memory://b/none/*.png"), Told()),
    ):
        pass


def test_of_a_folder_of_tensorboard_only_its_events_come(store):
    store.pipe_file("/b/log/train/events.out.tfevents.1", b"x")
    store.pipe_file("/b/log/train/huge.ckpt", b"x")
    _, names = local("history", address="memory://b/log")
    assert names == ["train", "train/events.out.tfevents.1"]


def test_what_is_missing_is_said_with_its_address(store, tmp_path):
    with pytest.raises(ModelError, match=r"memory://b/none\.keras: there is nothing of that name"):
        build_report("memory://b/none.keras", output=tmp_path / "r", **LEAN)
    assert not (tmp_path / "r").exists()


def test_an_error_in_a_copy_names_the_address(store, tmp_path):
    store.pipe_file("/b/set/notes.txt", b"x")
    with pytest.raises(ProbeError, match="'memory://b/set' holds no images"):
        build_report(
            models.saved("classifier"), probes="memory://b/set", output=tmp_path / "r", **LEAN
        )


@pytest.mark.parametrize(
    ("scheme", "packages"),
    [
        ("s3", "'keras-reportgen[remote]'"), ("gs", "'keras-reportgen[remote]' gcsfs"),
        ("az", "'keras-reportgen[remote]' adlfs"),
    ],
)  # fmt: skip
def test_a_missing_package_is_named(monkeypatch, scheme, packages):
    for name in ("s3fs", "gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ReportgenError, match="need pip install") as caught:
        Store(parse_address(f"{scheme}://bucket/x"))
    assert str(caught.value).endswith(f"need pip install {packages}.")


class NoCredentialsError(Exception):
    pass


class EndpointConnectionError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError("key AKIA token=SECRET"), "access is denied"),
        (FileNotFoundError("The specified bucket does not exist"), "no such bucket"),
        (FileNotFoundError("http://SECRET"), "nothing of that name"),
        (NoCredentialsError("SECRET"), "no credentials"),
        (EndpointConnectionError("http://SECRET:9"), "does not answer"),
        (TimeoutError("SECRET"), "does not answer"),
        (ValueError("secret='SECRET'"), "failed with ValueError"),
        (OSError(28, "No space left on device"), "No space left"),
    ],
)
def test_errors_of_a_store_are_sentences_without_secrets(error, said):
    assert said in _reason(error)
    assert "SECRET" not in _reason(error)


def test_clients_log_nothing_that_is_signed(caplog):
    level = logging.getLogger().level
    quieten({"device": "gpu"}, verbose=True)
    try:
        for name in (
            "botocore.auth",
            "s3fs",
            "aiobotocore.endpoint",
            "urllib3.connectionpool",
            "azure.core",
        ):
            logging.getLogger(name).debug("Authorization: SECRET")
    finally:
        logging.getLogger().setLevel(level)
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize("key", ["probes", "data", "history"])
def test_a_file_that_was_found_may_hold_no_address_and_a_named_one_may(tmp_path, key):
    url = "s3://bucket/x"
    value = f'["here", "{url}"]' if key == "probes" else f'"{url}"'
    (tmp_path / "pyproject.toml").write_text(f"[tool.reportgen]\n{key} = {value}\n")
    with pytest.raises(ConfigurationError, match="may hold no address"):
        read_configuration(tmp_path)
    named = tmp_path / "mine.toml"
    named.write_text(f'{key} = {value}\noutput = "{url}"\n')
    found = read_configuration(tmp_path, named)
    assert found["output"] == url
    assert url in found[key]


def test_the_command_line_shows_names_only_and_says_where_the_page_is(store):
    put_set(store)
    done = CliRunner().invoke(
        cli,
        ["build", put_model(store), "-p", "memory://b/set/cat/*.png", "-o", "memory://b/r",
         "--sections", "overview,probes"],
        standalone_mode=False,
    )  # fmt: skip
    assert done.exception is None
    assert done.stdout.splitlines()[-1] == "memory://b/r/index.html"
    text = store.cat_file("/b/r/report.json").decode()
    command = json.loads(text)["sections"][0]["content"]["command"]
    assert command.startswith("reportgen build model.keras --probes '*.png'")
    assert "memory:" not in text


def test_open_shows_no_page_of_a_store(store):
    done = CliRunner().invoke(
        cli, ["build", "m.keras", "-o", "memory://b/r", "--open"], standalone_mode=False
    )
    assert isinstance(done.exception, UsageError)


def test_the_callback_of_keras_says_that_it_writes_here():
    with pytest.raises(UsageError, match="folder of this machine"):
        ReportCallback(output="s3://bucket/{epoch}")


def test_arrays_and_live_models_are_left_as_they_are():
    images = [np.zeros((4, 4, 3))]
    with fetched(Sources(images, images, (images, images)), Told()) as found:
        assert found.probes is images


def test_sending_twice_gives_the_same(store, tmp_path):
    folder = build_report(models.saved("classifier"), output=tmp_path / "r", **LEAN)
    for _ in range(2):
        send(folder.path, parse_address("memory://b/r"), Told())
    assert held(store, "/b/r") == {
        p.relative_to(folder.path).as_posix(): p.read_bytes()
        for p in folder.path.rglob("*")
        if p.is_file()
    }
