"""Model files are read once in a process that can be ended, before HDF5 sees them in ours."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import h5py
import keras
import models
import numpy as np
import pytest

from reportgen import children
from reportgen.children import ChildError, run_file
from reportgen.errors import ModelError
from reportgen.nets import inspection, loading, stored
from reportgen.nets.loading import check_model_file, load_model

HANG = Path(__file__).parents[1] / "cases" / "hang.h5"


@pytest.fixture
def saved(tmp_path):
    """Return the folder of one model in both formats, and the bytes of its weights."""
    model = keras.Sequential([keras.Input((7,)), keras.layers.Dense(5), keras.layers.Dense(3)])
    for ending in ("keras", "h5"):
        model.save(tmp_path / f"good.{ending}")
    return tmp_path, sum(w.nbytes for w in model.get_weights())


def refused(path, phrase):
    with pytest.raises(ModelError, match=phrase) as caught:
        check_model_file(path)
    assert path.name in str(caught.value)


def test_a_file_on_which_hdf5_loops_for_ever_is_given_up(monkeypatch):
    """One byte of a healthy file is changed; the library answers to no signal."""
    monkeypatch.setattr(stored, "INSPECTION_SECONDS", 1)
    began = time.monotonic()
    refused(HANG, "reading it once was given up, it took longer than 1.00")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("kind", ["hdf5", "zip"])
def test_all_data_sets_are_read(saved, kind):
    folder, size = saved
    read = inspection.inspect_hdf5 if kind == "hdf5" else inspection.inspect_zip
    found = read(str(folder / f"good.{'h5' if kind == 'hdf5' else 'keras'}"), 200)
    assert found["bytes"] == size


def external(file):
    file["led"] = h5py.ExternalLink("/etc/passwd", "/")


def soft(file):
    file["led"] = h5py.SoftLink("/elsewhere")


def virtual(file):
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "data", shape=(4,))
    file.create_virtual_dataset("led", layout)


def outside(file):
    file.create_dataset("led", (4,), "f4", external=[("other.bin", 0, 16)])


def declared(file):
    file.create_dataset("large", (10**9,), "f4", chunks=(1000,))


def packed(file):
    file.create_dataset("large", data=np.zeros(10**7, np.float32), compression="gzip")


@pytest.mark.parametrize(
    ("make", "phrase"),
    [
        (external, "'led' is a link that leads elsewhere"),
        (soft, "'led' is a link that leads elsewhere"),
        (virtual, "'/led' keeps its data in another file"),
        (outside, "'/led' keeps its data in another file"),
        (declared, "'/large' declares 4,000,000,000 bytes and stores 0"),
        (packed, "'/large' declares 40,000,000 bytes and stores"),
    ],
)
@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_what_leads_out_of_the_file_or_inflates_is_refused(saved, tmp_path, make, phrase, ending):
    folder, _ = saved
    path = folder / "odd.h5"
    path.write_bytes((folder / "good.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        make(file)
    if ending == "keras":
        weights, path = path.read_bytes(), folder / "odd.keras"
        with zipfile.ZipFile(folder / "good.keras") as source, zipfile.ZipFile(path, "w") as target:
            for name in source.namelist():
                target.writestr(name, weights if name.endswith(".h5") else source.read(name))
    refused(path, phrase)


def test_a_group_that_holds_itself_is_read_once(saved):
    folder, _ = saved
    with h5py.File(folder / "good.h5", "r+") as file:
        file["model_weights/again"] = file["model_weights"]
    check_model_file(folder / "good.h5")


def test_a_member_is_read_like_a_file(tmp_path):
    content = bytes(range(256)) * 40
    (tmp_path / "whole").write_bytes(b"before" + content + b"after")
    with (tmp_path / "whole").open("rb") as raw:
        part = inspection.Window(raw, 6, len(content))
        assert part.read() == content
        assert part.seek(-10, os.SEEK_END) == len(content) - 10
        assert part.read(99) == content[-10:]
        part.seek(300)
        assert part.read(5) == content[300:305]
        assert part.tell() == 305


def test_a_file_that_changes_while_it_is_read_is_told(saved, monkeypatch):
    folder, _ = saved
    path = folder / "good.keras"
    read = loading.read_stored

    def swapped(*given):
        found = read(*given)
        monkeypatch.setattr(
            stored, "stamp_of", lambda _path: (0, 0, 0, len(list(folder.iterdir())))
        )
        (folder / "more").touch()
        return found

    monkeypatch.setattr(loading, "read_stored", swapped)
    monkeypatch.setattr(loading, "_explain_error", lambda error, *_: error)

    def noisy(*arguments, **more):
        (folder / "another").touch()
        return model(*arguments, **more)

    model = keras.models.load_model
    monkeypatch.setattr(keras.models, "load_model", noisy)
    with pytest.raises(ModelError, match="was changed while it was read"):
        load_model(path)


# -- children --------------------------------------------------------------------------------------


def script(folder, text):
    path = folder / "script.py"
    path.write_text(text)
    return path


def test_a_child_answers(tmp_path):
    path = script(
        tmp_path, "import sys\nprint(sys.stdin.read(), sys.argv[1:])\nsys.exit('last line')"
    )
    answer = run_file(path, "a", "b", given="given", seconds=20)
    assert answer == (1, "given ['a', 'b']\n", "last line")


def test_a_child_that_takes_too_much_memory_is_ended(tmp_path):
    path = script(tmp_path, "import time\nheld = bytearray(400 * 2**20)\ntime.sleep(60)")
    with pytest.raises(ChildError, match="more than 200 MiB of memory"):
        run_file(path, seconds=60, memory=200 * 2**20)


def test_a_child_that_takes_too_long_is_ended(tmp_path):
    path = script(tmp_path, "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)")
    with pytest.raises(ChildError, match=r"took longer than 0\.5 seconds"):
        run_file(path, seconds=0.5)


def test_a_child_ends_by_itself_where_its_parent_was_killed(tmp_path):
    """A loop that hears nothing would go on for ever."""
    mark = tmp_path / "pid"
    path = script(
        tmp_path,
        f"import os\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\nwhile True:\n    pass",
    )
    code = (
        "from pathlib import Path\nfrom reportgen.children import run_file\n"
        f"run_file(Path({str(path)!r}), seconds=1)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], env=models.environment())
    wait_for((tmp_path / "pid").is_file)
    parent.kill()
    parent.wait()
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: children.resident_bytes(pid) in {None, 0})


def wait_for(holds, seconds=30):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_child_imports_nothing_from_where_it_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").write_text("raise SystemExit('imported')")
    monkeypatch.setenv("PYTHONPATH", "")
    path = script(tmp_path, "import json, os\nprint(json.dumps(os.listdir()))")
    assert run_file(path, seconds=20).out == "[]\n"


def test_memory_of_a_process_that_is_gone():
    assert children.resident_bytes(2**22 + 1) is None
    assert (children.resident_bytes(os.getpid()) or 0) > 10 * 2**20
