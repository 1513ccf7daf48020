"""What every test stands on: TensorFlow quiet and on the processor, property tests without a deadline."""

import gc
import os
import tempfile

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
# A worker a core: more threads wait for each other.
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
os.environ["TF_NUM_INTEROP_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

# No test finds what another run has finished.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="reportgen-test-cache-")

import pytest
from hypothesis import settings

settings.register_profile("reportgen", deadline=None, derandomize=True)
settings.load_profile("reportgen")

DEAR = (
    "test_real_models", "test_features", "test_cli", "test_build", "test_real_relevance", "test_trust",
    "test_browser", "test_real_findings", "test_keras_network", "test_kill", "test_loading", "test_faults",
    "test_ascent", "test_relevance_shapes", "test_passes", "test_batch_failures", "test_batch_resume",
)  # fmt: skip
"""Files that take longest, begun first so that no worker is left with one at the end."""


def pytest_collection_modifyitems(items):
    for item in items:
        if "browser" in item.fixturenames:
            item.add_marker("pages")
        elif item.path.stem.startswith("test_real_"):
            item.add_marker("large")
    items.sort(key=lambda item: DEAR.index(item.path.stem) if item.path.stem in DEAR else len(DEAR))


@pytest.fixture(scope="module", autouse=True)
def heap_at_rest():
    """Keep collections, which Keras asks for, from walking over all earlier files' networks again."""
    yield
    gc.freeze()


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, or the one that ``CHROMIUM`` names."""
    from playwright.sync_api import sync_playwright

    place = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=place, args=["--no-sandbox"])
        yield chromium
        chromium.close()
