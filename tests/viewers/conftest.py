"""Real trackers and viewers on loopback, in an environment of their own: 'make test-viewers'."""

from __future__ import annotations

import os
from pathlib import Path

import models
import numpy as np
import pytest

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
