"""How fast the page opens and scrolls in headless Chromium; see README.md.

``python benchmarks/page.py`` makes the reports below once (``.cache/page``) and measures them;
``python benchmarks/page.py FOLDER …`` measures reports that exist. The page is written again first, by the
templates that stand here.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import Page

PLACE = Path(".cache/page")
ROUNDS = 5
LONGEST = 100
"""Milliseconds that one task may take while scrolling."""
WIDTH, HEIGHT = 1440, 900

WATCH = """() => {
  window.longest = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration);
  }).observe({type: "longtask"});
}"""
LOADED = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"


def make(name: str) -> None:
    """Build one of the reports: networks with random weights, whose pages are as long as trained ones'."""
    import keras

    import reportgen

    rng = np.random.default_rng(0)
    common: dict[str, Any] = {"output": PLACE / name, "skip": "features"}
    if name == "192 layers, 16 probes":
        model = keras.applications.ResNet50V2(weights=None, input_shape=(64, 64, 3), classes=10)
        images = rng.integers(0, 256, (16, 64, 64, 3), dtype=np.uint8)
        reportgen.build_report(model, probes=images, max_probes=16, **common)
    else:
        model = keras.applications.DenseNet169(weights=None, input_shape=(32, 32, 3), classes=1000)
        images = rng.integers(0, 256, (2_000, 32, 32, 3), dtype=np.uint8)
        labels = np.arange(2_000) % 1_000
        reportgen.build_report(model, data=(images, labels), quick=True, **common)


BOUNDS = {"192 layers, 16 probes": 400, "598 layers, 1,000 classes": 1_000}
"""Milliseconds until DOMContentLoaded."""


def scrolled(page: Page) -> float:
    """Return the longest task, in milliseconds, while the page is scrolled to its end and back; 0 below 50."""
    page.evaluate(WATCH)
    page.mouse.move(WIDTH // 2, HEIGHT // 2)
    height = page.evaluate("document.documentElement.scrollHeight")
    for by in (HEIGHT, -HEIGHT):
        for _ in range(0, height, HEIGHT):
            page.mouse.wheel(0, by)
            page.wait_for_timeout(30)
    page.wait_for_timeout(200)
    return float(page.evaluate("window.longest"))


def opened(page: Page, folder: Path) -> tuple[float, float]:
    """Return the milliseconds until DOMContentLoaded, and how many of them the main thread computed."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto((folder / "index.html").resolve().as_uri(), wait_until="domcontentloaded")
    metrics = session.send("Performance.getMetrics")["metrics"]
    busy = next(one["value"] for one in metrics if one["name"] == "TaskDuration")
    page.wait_for_load_state()
    return float(page.evaluate(LOADED)), 1_000 * busy


def main() -> None:
    """Print a table of all reports."""
    folders = [Path(name) for name in sys.argv[1:]]
    if not folders:
        for name in BOUNDS:
            if not (PLACE / name / "report.json").is_file():
                make(name)
        folders = [PLACE / name for name in BOUNDS]
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    print(f"{dt.date.today()}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")  # noqa: DTZ011
    print(
        "| report | elements | kB | DOMContentLoaded, ms (bound) | longest task while scrolling, ms (bound) |"
    )
    print("|---|---|---|---|---|")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for folder in folders:
            subprocess.run(
                [sys.executable, "-m", "reportgen", "render", folder], check=True, stdout=-3
            )
            times, tasks, elements = [], [], 0
            for _ in range(ROUNDS):
                page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
                times.append(opened(page, folder))
                elements = page.evaluate("document.querySelectorAll('*').length")
                tasks.append(scrolled(page))
                page.close()
            size = (folder / "index.html").stat().st_size // 1_000
            bound = BOUNDS.get(folder.name, 400)
            longest = f"{max(tasks):.0f}" if max(tasks) else "< 50"
            loaded, busy = (statistics.median(column) for column in zip(*times, strict=True))
            print(
                f"| {folder.name} | {elements:,} | {size:,} | {loaded:.0f} ({bound}) | {busy:.0f} "
                f"| {longest} ({LONGEST}) |",
                flush=True,
            )
        browser.close()


if __name__ == "__main__":
    main()
