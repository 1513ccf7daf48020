"""What was judged: findings with their evidence, and the checks that passed or do not apply."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["error", "warning", "info"]


class Where(msgspec.Struct, frozen=True):
    """What a finding is about; empty where it is about the whole network.

    Attributes:
        layer: structural path.
        variable: path of the variable.
        channels: the first of them, at most 16.
        probe: index of the probe.
        more: how many channels it is about beside ``channels``.
    """

    layer: str = ""
    variable: str = ""
    channels: tuple[int, ...] = ()
    probe: int | None = None
    more: int = 0


class Finding(msgspec.Struct, frozen=True):
    """Something that a rule found.

    Attributes:
        rule: its id.
        severity: ``error`` for certain facts, ``warning`` for reliable measurements, else ``info``.
        observed: what was measured, in words.
        threshold: what it was held against.
        why: why it matters.
        action: what to do.
        source: where the rule or its threshold comes from.
        accepted: what accepts it (an ``ignore`` pattern); such findings are shown and do not count.
    """

    rule: str
    severity: Severity
    title: str
    where: Where
    observed: str
    threshold: str
    why: str
    action: str
    source: str
    accepted: str = ""


class Check(msgspec.Struct, frozen=True):
    """A rule that found nothing.

    Attributes:
        reason: why it does not apply; empty where it passed.
    """

    rule: str
    title: str
    threshold: str
    source: str
    reason: str = ""
