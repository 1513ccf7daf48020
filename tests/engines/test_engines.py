"""Engines are one kind of executor: they run functions, lose nothing and listen to nobody else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from ipaddress import ip_address

import models
import pytest

from reportgen.engines.opening import ENGINES, open_executor
from reportgen.engines.places import is_loopback_alone, is_remote
from reportgen.errors import ReportgenError, UsageError

BOTH = [pytest.param(name, marks=pytest.mark.engines) for name in ("ray", "dask")]
# Started in a process of its own: a cluster stays with the interpreter that began it.
OPENED = """
import os, sys
from reportgen.engines.opening import open_executor

if __name__ == "__main__":
    with open_executor(sys.argv[1], jobs=2, address=None, retries=1) as engine:
        {body}
"""


def in_engine(name, body, folder):
    """Run a body in a process that has opened an engine, and return what it printed."""
    script = folder / "opened.py"
    script.write_text(OPENED.format(body=body.strip().replace("\n", "\n        ")))
    done = subprocess.run(
        [sys.executable, script, name],
        env=models.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def test_threads_run_what_is_submitted_and_end():
    with open_executor("local", jobs=2, address=None, retries=0) as engine:
        futures = [engine.executor.submit(pow, 2, k) for k in range(8)]
        assert sum(future.result() for future in futures) == 255
        assert (engine.workers, engine.window, engine.cancelled()) == (2, 8, False)
    assert engine.cancelled()


def test_threads_are_told_to_stop_and_what_waits_never_begins():
    begun = threading.Event()

    def task(cancelled):
        begun.set()
        while not cancelled():
            pass

    def interrupted():
        with open_executor("local", jobs=1, address=None, retries=0) as engine:
            futures.extend(engine.executor.submit(task, engine.cancelled) for _ in range(3))
            begun.wait()
            raise KeyboardInterrupt

    futures = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [future.cancelled() for future in futures] == [False, True, True]
    assert futures[0].done()


@pytest.mark.parametrize("name", BOTH)
def test_a_cluster_of_our_own_runs_functions_and_listens_on_loopback_only(tmp_path, name):
    body = """
print(sum(future.result() for future in [engine.executor.submit(pow, 2, k) for k in range(8)]))
print(engine.workers, engine.window, engine.executor.submit(engine.cancelled).result())
print(type(engine.executor.submit(divmod, 1, 0).exception()).__mro__)
import psutil
me = psutil.Process()
family = [me, *me.children(recursive=True)]
for process in family:
    for held in process.net_connections("inet"):
        if held.status == "LISTEN":
            print(held.laddr.ip)
"""
    total, numbers, kinds, *listening = in_engine(name, body, tmp_path)
    assert (total, numbers) == ("255", "2 8 False")
    assert "ZeroDivisionError" in kinds
    assert listening
    for text in listening:
        address = ip_address(text)
        assert (getattr(address, "ipv4_mapped", None) or address).is_loopback, text


@pytest.mark.parametrize("name", BOTH)
def test_a_task_whose_worker_was_lost_is_run_again_and_one_that_raises_is_not(tmp_path, name):
    (tmp_path / "fragile.py").write_text(
        "import os, pathlib\n\n"
        "def fragile(mark):\n"
        "    if not pathlib.Path(mark).exists():\n"
        "        pathlib.Path(mark).touch()\n"
        "        os.kill(os.getpid(), 9)\n"
        "    return 'again'\n\n"
        "def raises(mark):\n"
        "    with open(mark, 'a') as file:\n"
        "        file.write('begun ')\n"
        "    raise ValueError(mark)\n"
    )
    body = f"""
from fragile import fragile, raises
print(engine.executor.submit(fragile, {str(tmp_path / "mark")!r}).result())
print(engine.executor.submit(raises, {str(tmp_path / "raised")!r}).exception() is not None)
"""
    assert in_engine(name, body, tmp_path)[-2:] == ["again", "True"]
    assert (tmp_path / "raised").read_text() == "begun "


@pytest.mark.parametrize("name", ["ray", "dask"])
def test_an_engine_that_is_not_installed_says_what_to_do(monkeypatch, name):
    for module in ("ray", "dask", "distributed"):
        monkeypatch.setitem(sys.modules, module, None)
    with (
        pytest.raises(
            ReportgenError, match=rf"pip install 'keras-reportgen\[{name}\]'\.$"
        ) as caught,
        open_executor(name, jobs=1, address=None, retries=0),
    ):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("bound", "alone"), [("127.0.0.1", True), ("0.0.0.0", False)])  # noqa: S104
def test_what_is_bound_to_loopback_alone_is_told_from_what_is_not(bound, alone):
    with socket.create_server((bound, 0)) as server:
        assert is_loopback_alone(f"127.0.0.1:{server.getsockname()[1]}") is alone
    assert not is_loopback_alone("10.0.0.7:6379")


@pytest.mark.parametrize("name", BOTH)
def test_a_cluster_that_does_not_answer(tmp_path, name):
    code = (
        "from reportgen.cli import run\n"
        f"raise SystemExit(run(['batch', 's3://bucket/a.keras', '-o', 'out', '--engine', {name!r}, "
        "'--address', '127.0.0.1:1']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=models.environment(), capture_output=True, text=True,
        check=False, cwd=tmp_path, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"reportgen: --engine {name}: no cluster can be reached at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_threads_have_no_address():
    with pytest.raises(UsageError, match="choose its --engine"):
        open_executor("local", jobs=1, address="127.0.0.1:6379", retries=0)


@pytest.mark.parametrize(
    ("address", "remote"),
    [
        (None, False), ("127.0.0.1:6379", False), ("localhost:8786", False), ("tcp://127.0.0.1:8786", False),
        ("ray://[::1]:10001", False), ("auto", True), ("10.0.0.7:6379", True), ("ray://head:10001", True),
        ("tls://scheduler:8786", True), ("127.0.0.1.example.org:1", True), ("localhost.evil", True),
    ],
)  # fmt: skip
def test_all_but_loopback_is_remote(address, remote):
    assert is_remote(address) is remote


def test_every_engine_has_an_extra_of_its_name():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(ENGINES) - {"local"} <= set(project["optional-dependencies"])


def test_processors_are_those_of_this_process():
    from reportgen.engines.processors import processors

    assert 1 <= processors() <= (os.cpu_count() or 1)
