"""The README's calls of trackers, on the real ones."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import mlflow
import wandb

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
(TRACKERS,) = [
    block
    for block in re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    if "wandb" in block
]


def test_the_calls_of_trackers(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made.path, tmp_path / "report")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/store.db")
    with mlflow.start_run() as active, wandb.init(mode="offline", dir=str(tmp_path)) as run:
        exec(TRACKERS, {})  # noqa: S102 - it is the README's
        kept = dict(run.summary)
    told = mlflow.get_run(active.info.run_id).data.metrics
    assert told["reportgen/parameters"] == kept["reportgen/parameters"] == 819
    assert list((tmp_path / "logs" / "run-7").glob("events.*"))
