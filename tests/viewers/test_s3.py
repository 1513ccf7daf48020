"""S3, as moto's server on loopback speaks it: a report from it and to it, over HTTP, by s3fs."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys

import fsspec
import models
import pytest
from datasets import WRITERS, samples
from pages import check_page
from PIL import Image
from serving import KEY, SECRET

from reportgen import build_report
from reportgen.errors import InputError, ModelError, OutputError
from reportgen.version import __version__

LEAN = {"sections": ("overview", "probes")}
CLASSES = ["cat", "dog", "elk", "gnu", "hen", "owl", "pig"]


@pytest.fixture
def s3(bucket):
    """A bucket with a model, a labelled data set and a CSV of it."""
    bucket.pipe_file("bucket/model.keras", models.saved("classifier").read_bytes())
    for k, (label, image) in enumerate(zip(("cat", "dog") * 3, models.images(6), strict=True)):
        with bucket.open(f"bucket/set/{label}/{k}.png", "wb") as file:
            Image.fromarray(image).save(file, "PNG")
    bucket.touch("bucket/set/elk/")  # a folder that somebody made in the console
    bucket.pipe_file("bucket/set/labels.csv", b"file,label\ncat/0.png,cat\ndog/1.png,dog\n")
    bucket.pipe_file("bucket/log.csv", b"epoch,loss,val_loss\n0,1.0,1.1\n1,0.5,0.7\n")
    return bucket


def down(s3, folder, place):
    shutil.rmtree(place, ignore_errors=True)
    s3.invalidate_cache()
    for path in s3.find(folder):
        target = place / path[len(folder) + 1 :]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(s3.cat_file(path))
    return place


def command(*words):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "reportgen", "build", *words],
        capture_output=True, text=True, check=False, env=models.environment(),
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_a_report_from_s3_to_s3_says_nothing_that_is_secret(s3, tmp_path, server):
    code, out, err = command(
        "s3://bucket/model.keras", "-v", "-p", "s3://bucket/set/*/[01].png", "--data", "s3://bucket/set",
        "--history", "s3://bucket/log.csv", "--classes", classes_in(tmp_path), "--show-paths", "--single-file",
        "--sections", "overview,probes,evaluation,history", "-o", "s3://bucket/reports/7",
    )  # fmt: skip
    assert code == 0, err
    assert out.splitlines()[-1] == "s3://bucket/reports/7/index.html"
    place = down(s3, "bucket/reports/7", tmp_path / "down")
    report = check_page(place)
    (evaluated,) = [s for s in report["sections"] if s["kind"] == "evaluation"]
    assert evaluated["content"]["images"] == 6
    pictures = [p for p in (place / "assets").iterdir() if p.suffix not in {".css", ".js"}]
    assert f"Sending {len(pictures)} pictures and the page" in err
    assert "to s3://bucket/reports/7" in err
    told = out + err + "".join(p.read_text("utf-8") for p in place.glob("*.*"))
    for secret in (KEY, SECRET, server, server.partition("//")[2], "Authorization", "Signature="):
        assert secret not in told
    written = "".join(p.read_text("utf-8") for p in place.glob("*.*"))
    assert "s3://" not in written
    assert "bucket" not in written


def classes_in(folder):
    path = folder / "classes.txt"
    path.write_text("\n".join(CLASSES))
    return str(path)


def test_viewers_are_told_what_the_files_are(s3):
    build_report(
        "s3://bucket/model.keras", probes="s3://bucket/set/cat", output="s3://bucket/r", **LEAN
    )
    wanted = {".html": "text/html", ".css": "text/css", ".js": "javascript", ".png": "image/png",
              ".webp": "image/webp", ".json": "application/json"}  # fmt: skip
    seen = set()
    for path in s3.find("bucket/r"):
        kind = os.path.splitext(path)[1]  # noqa: PTH122 - no path of this machine
        if kind in wanted:
            s3.invalidate_cache()  # listings do not say it
            assert wanted[kind] in s3.info(path)["ContentType"], path
            seen.add(kind)
    assert seen >= {".html", ".css", ".js", ".json"}


def test_of_a_csv_only_the_listed_files_are_fetched(s3, monkeypatch):
    original, seen = type(s3)._get_file, []

    async def noting(self, remote, local, **more):
        seen.append(remote)
        return await original(self, remote, local, **more)

    monkeypatch.setattr(type(s3), "_get_file", noting)
    made = build_report(
        "s3://bucket/model.keras", data="s3://bucket/set/labels.csv", classes=CLASSES, output="s3://bucket/r",
        sections=("overview", "evaluation"),
    )  # fmt: skip
    assert made.report.sections[1].content.images == 2
    fetched = sorted(path.partition("bucket/")[2] for path in seen)
    assert fetched == ["model.keras", "set/cat/0.png", "set/dog/1.png", "set/labels.csv"]


def test_an_update_in_place_leaves_no_stale_picture(s3, tmp_path):
    first = build_report(
        "s3://bucket/model.keras", probes="s3://bucket/set/cat", output="s3://bucket/r", **LEAN
    )
    second = build_report(
        "s3://bucket/model.keras", probes="s3://bucket/set/dog", output="s3://bucket/r", **LEAN
    )
    gone = set(first.report.assets) - set(second.report.assets)
    place = down(s3, "bucket/r", tmp_path / "down")
    assert gone
    assert not gone & {path.name for path in (place / "assets").iterdir()}
    check_page(place)  # which knows every file that may be there


@pytest.mark.parametrize("fails_at", ["assets/", "report.json", "index.html"])
def test_a_failure_in_the_middle_leaves_the_old_page_whole(s3, tmp_path, monkeypatch, fails_at):
    build_report(
        "s3://bucket/model.keras", probes="s3://bucket/set/cat", output="s3://bucket/r", **LEAN
    )
    before = down(s3, "bucket/r", tmp_path / "before")
    held = {p.relative_to(before): p.read_bytes() for p in before.rglob("*") if p.is_file()}
    original, seen = type(s3)._put_file, []

    async def failing(self, local, remote, **more):
        seen.append(remote)
        if fails_at in remote and len(seen) > 2:
            raise PermissionError(f"Access Denied for {KEY}")
        return await original(self, local, remote, **more)

    monkeypatch.setattr(type(s3), "_put_file", failing)
    with pytest.raises(OutputError, match="access is denied") as caught:
        build_report(
            "s3://bucket/model.keras", probes="s3://bucket/set/dog", output="s3://bucket/r", **LEAN
        )
    assert KEY not in str(caught.value)
    after = down(s3, "bucket/r", tmp_path / "after")
    shown = {name for name in held if name.parts[0] in {"assets", "index.html"}}
    assert all((after / name).read_bytes() == held[name] for name in shown)
    monkeypatch.undo()


def test_what_is_no_report_is_refused_before_the_build(s3):
    with pytest.raises(OutputError, match="not empty and no report"):
        build_report("s3://bucket/none.keras", output="s3://bucket/set", **LEAN)
    with pytest.raises(OutputError, match="s3://nobody/r: there is no such bucket"):
        build_report("s3://bucket/none.keras", output="s3://nobody/r", **LEAN)


def test_what_the_store_says_is_one_sentence(s3, tmp_path, monkeypatch):
    with pytest.raises(ModelError, match=r"s3://bucket/none\.keras: there is nothing of that name"):
        build_report("s3://bucket/none.keras", output=tmp_path / "r", **LEAN)
    with pytest.raises(InputError, match="s3://nobody/x: there is nothing of that name"):
        build_report(
            models.saved("classifier"), probes="s3://nobody/x", output=tmp_path / "r", **LEAN
        )
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = f"127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{dead}")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    code, out, err = command("s3://bucket/model.keras", "-o", "s3://bucket/r")
    assert code == 7
    assert err.count("\n") == 1
    assert "s3://bucket/r: the store does not answer" in err
    assert dead not in out + err


def test_a_page_alone(s3):
    made = build_report("s3://bucket/model.keras", output="s3://bucket/pages/cats.html", **LEAN)
    assert s3.find("bucket/pages") == ["bucket/pages/cats.html"]
    assert made.place == "s3://bucket/pages/cats.html"
    assert __version__ in json.dumps(s3.cat_file("bucket/pages/cats.html")[:2000].decode())


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_data_sets_in_large_files_are_read_from_the_store(s3, tmp_path, kind):
    """Several by a pattern, and their folder; nothing is copied here, and a file that is cut off is counted."""
    given = samples(40)
    for number, part in enumerate((given[:15], given[15:])):
        held = WRITERS[f"x.{kind}"](tmp_path / f"test-{number}.{kind}", part).read_bytes()
        s3.pipe_file(f"bucket/large/test-{number}.{kind}", held)
    options = {"sections": ("evaluation",), "output": tmp_path / "out", "cache": tmp_path / "cache"}
    options["classes"] = CLASSES
    model = models.saved("classifier")
    made = [
        build_report(model, data=f"s3://bucket/large{end}", **options) for end in ("", f"/*.{kind}")
    ]
    here = build_report(model, data=str(tmp_path / f"test-*.{kind}"), **options)
    found = [next(s.content for s in one.report.sections) for one in (*made, here)]
    assert found[0].images == 40
    assert found[0] == found[1] == found[2]
    if kind == "tar":
        s3.pipe_file("bucket/large/test-1.tar", held[: len(held) // 2])
        cut = build_report(model, data="s3://bucket/large", **options)
        content = next(s.content for s in cut.report.sections)
        assert 15 < content.images < 40
        assert content.broken_count == 1
    s3.pipe_file(f"bucket/large/test-2.{kind}", s3.cat_file(f"bucket/large/test-0.{kind}"))
    with pytest.raises(InputError, match="are the same"):
        build_report(model, data="s3://bucket/large", **options)
    with pytest.raises(InputError, match="No file matches"):
        build_report(model, data=f"s3://bucket/large/no-*.{kind}", **options)
