"""Progress for tests that look at what a build says it is doing."""

from __future__ import annotations

from reportgen.terminal import Silence


class Told(Silence):
    """Keeps the texts of all stages."""

    def __init__(self):
        self.texts = []

    def stage(self, text, total=None):  # noqa: ARG002 - the protocol's
        self.texts.append(text)
