"""How fast the page opens and scrolls in headless Chromium; see README.md.

``python benchmarks/page.py`` makes the reports below once (``.cache/page``) and measures them;
``python benchmarks/page.py FOLDER …`` measures reports that exist. The page is written again first, by the
templates that stand here.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import websocket

PLACE = Path(".cache/page")
ROUNDS = 5
LONGEST = 100
"""Milliseconds that one task may take while scrolling."""
WIDTH, HEIGHT = 1440, 900

WATCH = """new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.longest = Math.max(window.longest ?? 0, entry.duration);
}).observe({type: "longtask"})"""
LOADED = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"


class Browser:
    """Headless Chromium, spoken to in its own protocol.

    A driver that listens to every request of a page, as Playwright does, makes it load half as fast.
    """

    def __init__(self, profile: str) -> None:
        program = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"
        size = f"--window-size={WIDTH},{HEIGHT}"
        flags = ("--headless=new", "--no-sandbox", "--remote-debugging-port=0", size)
        self.process = subprocess.Popen(
            [program, *flags, f"--user-data-dir={profile}"],
            stdout=-3,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        said = next(line for line in self.process.stderr if "listening on" in line)
        self.socket = websocket.create_connection(said.split()[-1], suppress_origin=True)
        self.calls = 0

    def call(self, method: str, session: str | None = None, **parameters: object) -> Any:
        """Return what Chromium answers."""
        self.calls += 1
        asked = {"id": self.calls, "method": method, "params": parameters}
        self.socket.send(json.dumps(asked | ({"sessionId": session} if session else {})))
        while (answer := json.loads(self.socket.recv())).get("id") != self.calls:
            pass
        return answer["result"]

    def close(self) -> None:
        """End Chromium."""
        self.call("Browser.close")
        self.process.wait()


class Tab:
    """One page of the browser."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        to = {"targetId": self.target, "flatten": True}
        self.session = browser.call("Target.attachToTarget", **to)["sessionId"]
        time.sleep(0.3)

    def call(self, method: str, **parameters: object) -> Any:
        """Return what the page answers."""
        return self.browser.call(method, self.session, **parameters)

    def value(self, expression: str) -> Any:
        """Return what a line of JavaScript gives."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)[
            "result"
        ].get("value")

    def close(self) -> None:
        """Close it."""
        self.browser.call("Target.closeTarget", targetId=self.target)


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


def scrolled(tab: Tab) -> float:
    """Return the longest task, in milliseconds, while the page is scrolled to its end and back; 0 below 50."""
    tab.value(WATCH)
    height = tab.value("document.documentElement.scrollHeight")
    middle = {"x": WIDTH // 2, "y": HEIGHT // 2, "deltaX": 0}
    for by in (HEIGHT, -HEIGHT):
        for _ in range(0, height, HEIGHT):
            tab.call("Input.dispatchMouseEvent", type="mouseWheel", deltaY=by, **middle)
            time.sleep(0.03)
    time.sleep(0.2)
    return float(tab.value("window.longest ?? 0"))


def opened(tab: Tab, folder: Path) -> tuple[float, float]:
    """Return the milliseconds until DOMContentLoaded, and how many of them the main thread computed."""
    tab.call("Performance.enable", timeDomain="threadTicks")
    tab.call("Page.navigate", url=(folder / "index.html").resolve().as_uri())
    while tab.value("document.readyState") == "loading" or not tab.value(LOADED):
        time.sleep(0.02)
    metrics = tab.call("Performance.getMetrics")["metrics"]
    busy = next(one["value"] for one in metrics if one["name"] == "TaskDuration")
    while tab.value("document.readyState") != "complete":
        time.sleep(0.05)
    time.sleep(0.5)
    return float(tab.value(LOADED)), 1_000 * busy


def main() -> None:
    """Print a table of all reports."""
    folders = [Path(name) for name in sys.argv[1:]]
    if not folders:
        for name in BOUNDS:
            if not (PLACE / name / "report.json").is_file():
                make(name)
        folders = [PLACE / name for name in BOUNDS]
    print(f"{dt.date.today()}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")  # noqa: DTZ011
    print(
        "| report | elements | kB | DOMContentLoaded, ms (bound) | of it CPU "
        "| longest task while scrolling, ms (bound) |"
    )
    print("|---|---|---|---|---|---|")
    for folder in folders:
        subprocess.run([sys.executable, "-m", "reportgen", "render", folder], check=True, stdout=-3)
    with tempfile.TemporaryDirectory() as profile, contextlib.closing(Browser(profile)) as browser:
        for folder in folders:
            times, tasks, elements = [], [], 0
            for _ in range(ROUNDS):
                tab = Tab(browser)
                times.append(opened(tab, folder))
                elements = tab.value("document.querySelectorAll('*').length")
                tasks.append(scrolled(tab))
                tab.close()
            size = (folder / "index.html").stat().st_size // 1_000
            bound = BOUNDS.get(folder.name, 400)
            longest = f"{max(tasks):.0f}" if max(tasks) else "< 50"
            loaded, busy = (statistics.median(column) for column in zip(*times, strict=True))
            print(
                f"| {folder.name} | {elements:,} | {size:,} | {loaded:.0f} ({bound}) | {busy:.0f} "
                f"| {longest} ({LONGEST}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
