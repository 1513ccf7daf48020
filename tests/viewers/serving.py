"""Servers on loopback, and what a frame shows."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
import urllib.error
import urllib.request

import models

from reportgen.page.view import make_view

KEY, SECRET = "AKIADUMMYDUMMYDUMMY", "dummysecretdummysecret"
"""Of a store that asks for none."""


def free_port():
    with contextlib.closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def served(command, url, folder, seconds=120):
    """Run a server until the block ends; it listens on loopback only."""
    log = folder / "server.log"
    with log.open("wb") as sink:
        server = subprocess.Popen(
            command, cwd=folder, stdout=sink, stderr=subprocess.STDOUT, env=environment()
        )
        try:
            _wait(server, url, log, seconds)
            yield server
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def environment():
    """Nothing is sent to anybody."""
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "WANDB_MODE": "offline"}
    return models.environment(**quiet)


def _wait(server, url, log, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(url, timeout=5)  # noqa: S310 - http, on loopback
            return
        time.sleep(0.3)
    raise AssertionError(f"no answer from {url}:\n{log.read_text()[-3000:]}")


PICTURES = """async () => {
  const seen = [];
  for (const image of document.images) {
    image.loading = "eager";
    await image.decode().catch(() => {});
    seen.push(image.naturalWidth);
  }
  return seen;
}"""


def assert_shown(frame, made):
    """A frame shows the report: words, styles and every picture."""
    assert_said(frame.evaluate("document.body.innerText"), made)
    assert "system-ui" in frame.evaluate("getComputedStyle(document.body).fontFamily")
    seen = frame.evaluate(PICTURES)
    assert seen
    assert min(seen) > 0


def assert_said(text, made):
    """A text names the report and says its verdict and its first number."""
    view = make_view(made.report)
    assert made.report.summary.name in text
    assert view.headline in text
    assert view.numbers[0].text in text
