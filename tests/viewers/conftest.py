"""Real trackers and viewers on loopback, in an environment of their own: 'make test-viewers'."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import fsspec
import models
import numpy as np
import pytest
from serving import KEY, SECRET, free_port, served

from reportgen import build_report

SHOTS = os.environ.get("REPORTGEN_SHOTS", "")
"""A folder that pictures of the viewers go to, for a look at them."""


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A classifier with probes and a data set."""
    images, labels = models.images(8), np.arange(8) % 2
    return build_report(
        models.saved("classifier"),
        probes=images,
        data=(images, labels),
        meta={"learning_rate": 0.5},
        title="Cats and dogs",
        skip="features",
        single_file=True,
        output=tmp_path_factory.mktemp("viewers") / "report",
    )


@pytest.fixture
def page(browser, request):
    """A tab as wide as a laptop; pictured at the end where somebody wants to look."""
    context = browser.new_context(viewport={"width": 1500, "height": 900})
    tab = context.new_page()
    yield tab
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        tab.screenshot(path=str(Path(SHOTS) / f"{request.node.name}.png"))
    context.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server that speaks S3 and lives as long as the tests, and its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with served(command, f"{url}/moto-api/", tmp_path_factory.mktemp("moto")):
        yield url


@pytest.fixture
def bucket(server, monkeypatch):
    """A bucket that holds nothing; processes that a test starts find it too."""
    for name, value in {
        "AWS_ENDPOINT_URL": server, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    system = fsspec.filesystem("s3")
    system.mkdir("bucket")
    yield system
    system.rm("bucket", recursive=True)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
