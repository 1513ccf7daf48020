"""How long an index of 1,000 reports takes, and how fast it opens in headless Chromium; see README.md.

``python benchmarks/index.py`` makes one report of the small example, copies it 1,000 times with other names,
numbers and ``--meta`` (``.cache/index``), each report.json filled up to 300 kB, and measures both.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

PLACE = Path(".cache/index")
REPORTS = 1_000
BYTES = 300_000
ROUNDS = 5
INDEX_BOUND = 5.0
"""Seconds until the index is written."""
PAGE_BOUND = 400
"""Milliseconds until DOMContentLoaded."""
LOADED = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"


def make() -> None:
    """Make the reports where they are missing."""
    model = PLACE / "model"
    if not model.is_dir():
        command = ["-m", "reportgen", "demo", "--example", "fashion", "-q", "-o", str(model)]
        subprocess.run([sys.executable, *command], check=True)
    known = json.loads((model / "report.json").read_bytes())
    for k in range(REPORTS):
        folder = PLACE / "reports" / f"team {k % 10}" / f"run {k:04}"
        if (folder / "report.json").is_file():
            continue
        (folder / "assets").mkdir(parents=True, exist_ok=True)
        shutil.copy(model / "index.html", folder / "index.html")
        picture = known["summary"]["picture"]["src"]
        shutil.copy(model / picture, folder / picture)
        (folder / "report.json").write_bytes(_data(known, k))


def _data(known: dict[str, Any], k: int) -> bytes:
    """Return the report.json of one copy, filled up with checks that passed."""
    summary = {
        **known["summary"],
        "name": f"network {k * 7919 % REPORTS}",
        "created": f"2026-{1 + k % 12:02}-{1 + k % 28:02}T12:00:00Z",
        "counts": {"error": k % 3, "warning": k % 7, "info": k % 5},
        "accuracy": round(0.5 + k / (2 * REPORTS), 4),
        "interval": [0.45 + k / (2 * REPORTS), min(1.0, 0.55 + k / (2 * REPORTS))],
        "meta": [["commit", f"{k:07x}"], ["lr", f"1e-{k % 5}"], ["seed", str(k)]],
    }
    data = {**known, "summary": summary}
    missing = BYTES - len(json.dumps(data))
    check = known["passed"][0]
    each = len(json.dumps(check)) + 2
    data["passed"] = [*known["passed"], *[check] * max(0, -(-missing // each))]
    return json.dumps(data).encode()


def index() -> float:
    """Write the index in a process of its own and return its seconds."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "reportgen", "index", str(PLACE / "reports"), "--force"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def opened() -> tuple[float, float]:
    """Return the milliseconds until DOMContentLoaded and those of them that the main thread computed."""
    uri = (PLACE / "reports" / "index.html").resolve().as_uri()
    place, found = os.environ.get("CHROMIUM", "/usr/bin/chromium"), []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=place, args=["--no-sandbox"])
        for _ in range(ROUNDS):
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            page.goto(uri, wait_until="domcontentloaded")
            metrics = session.send("Performance.getMetrics")["metrics"]
            busy = next(one["value"] for one in metrics if one["name"] == "TaskDuration")
            page.wait_for_load_state()
            found.append((float(page.evaluate(LOADED)), 1_000 * busy))
            page.close()
        browser.close()
    loaded, busy = (statistics.median(column) for column in zip(*found, strict=True))
    return loaded, busy


def main() -> None:
    """Measure and print one line of each; fail beyond a bound."""
    make()
    data = [path.stat().st_size for path in (PLACE / "reports").rglob("report.json")]
    seconds = statistics.median(index() for _ in range(ROUNDS))
    milliseconds, busy = opened()
    page = (PLACE / "reports" / "index.html").stat().st_size
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    today = dt.datetime.now(dt.UTC).date()
    print(f"{today}, {os.cpu_count()} cores, load {load:.1f}, medians of {ROUNDS}")
    print(f"{len(data):,} reports of {statistics.mean(data) / 1e3:.0f} kB: index {seconds:.2f} s")
    print(
        f"page of {page / 1e3:.0f} kB: DOMContentLoaded {milliseconds:.0f} ms, of it CPU {busy:.0f}"
    )
    sys.exit(seconds > INDEX_BOUND or milliseconds > PAGE_BOUND)


if __name__ == "__main__":
    main()
