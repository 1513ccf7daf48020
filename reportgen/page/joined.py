"""The sections' data by what a reader asks about: one card a probe, one card a layer.

A report keeps its facts by section, since each is measured on its own. The page shows them by probe and by
layer; this module joins them. It is pure: a report in, tuples out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from reportgen.report.content.activations import ActivationsContent
from reportgen.report.content.architecture import ArchitectureContent
from reportgen.report.content.features import FeaturesContent
from reportgen.report.content.probes import ProbesContent, SegmentationResult
from reportgen.report.content.relevance import RelevanceContent
from reportgen.report.content.weights import WeightsContent
from reportgen.values import CAM_FAMILY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reportgen.report.content.activations import CallRow, MapRow, ShownCall
    from reportgen.report.content.architecture import LayerRow
    from reportgen.report.content.features import UnitFeature
    from reportgen.report.content.probes import ProbeResult
    from reportgen.report.content.relevance import Agreement, Contrast, RelevanceMap, TargetFacts
    from reportgen.report.content.weights import Variable
    from reportgen.report.findings import Finding
    from reportgen.report.leaves import Figure
    from reportgen.report.model import Report

Part = TypeVar("Part", "Variable", "CallRow", "ShownCall", "UnitFeature")
Wanted = TypeVar("Wanted")
ROWS = 12
"""Rows of a long table that are shown before it is asked for more."""


class Explained(NamedTuple):
    """The maps of one target of one probe, in the order of the methods.

    Attributes:
        agreements: of these maps with each other.
    """

    target: TargetFacts
    maps: tuple[RelevanceMap, ...]
    agreements: tuple[Agreement, ...]


class ProbeCard(NamedTuple):
    """All that is known about one probe.

    Attributes:
        number: its index among the probes.
        probe: its predictions; None where the section Probes is missing.
        explained: the predicted class first.
        best: the map of the prediction that stands for it: a supported one before a weak one, of the CAM
            family where one is, since its areas are seen in a tile, else the one with the largest advantage;
            None where none beats chance.
        layers: calls whose maps are shown, with this probe's row.
    """

    number: int
    name: str
    probe: ProbeResult | None
    explained: tuple[Explained, ...]
    contrasts: tuple[Contrast, ...]
    best: RelevanceMap | None
    layers: tuple[tuple[ShownCall, MapRow], ...]

    @property
    def reservation(self) -> str:
        """What to know of the map over what stands for the probe, or why there is none; empty without one."""
        maps = [m for e in self.explained if e.target.role == "predicted" for m in e.maps]
        if self.best:
            return "weak map" if self.best.verdict == "weak" else ""
        if not maps:
            return ""
        return "no supported map" if any(m.verdict for m in maps) else "maps not tested"

    @property
    def picture(self) -> Figure | None:
        """What stands for the probe: the best map over it, a mask over it, or the probe itself."""
        if self.best and self.best.overlay:
            return self.best.overlay
        if self.probe is None:
            return next((m.overlay for e in self.explained for m in e.maps if m.overlay), None)
        for output in self.probe.outputs[:1]:
            if isinstance(output, SegmentationResult):
                return output.overlay
        received = (one.figure for one in self.probe.received if one.figure)
        return next(received, self.probe.given)


class LayerCard(NamedTuple):
    """All that is known about one layer.

    Attributes:
        row: None where the section Architecture is missing.
        readers: paths of the layers that read it.
        matters: whether it is among the rows that are shown first.
    """

    path: str
    name: str
    class_name: str
    depth: int
    row: LayerRow | None
    variables: tuple[Variable, ...]
    calls: tuple[CallRow, ...]
    shown: tuple[ShownCall, ...]
    units: tuple[UnitFeature, ...]
    findings: tuple[Finding, ...]
    readers: tuple[str, ...]
    matters: bool = True

    @property
    def parameters(self) -> int:
        """How many it holds, those inside of it included."""
        return self.row.parameters if self.row else sum(v.count for v in self.variables)

    @property
    def flops(self) -> int:
        """For one image; 0 where they are not known."""
        return (self.row.flops or 0) if self.row else 0

    @property
    def worst(self) -> str:
        """The most severe finding that is not accepted; empty for none."""
        found = {finding.severity for finding in self.findings if not finding.accepted}
        return next((s for s in ("error", "warning", "info") if s in found), "")


def probe_cards(report: Report) -> tuple[ProbeCard, ...]:
    """Join predictions, relevance and maps of layers by probe, in the order of the probes."""
    probes = content_of(report, ProbesContent)
    relevance = content_of(report, RelevanceContent)
    activations = content_of(report, ActivationsContent)
    known = {probe.index: probe for probe in probes.probes} if probes else {}
    maps = relevance.maps if relevance else ()
    names = {one.probe: one.name for one in maps} | {p.index: p.name for p in known.values()}
    return tuple(
        _probe_card(index, names[index], known.get(index), relevance, activations)
        for index in (known or sorted(names))
    )


def _probe_card(
    index: int,
    name: str,
    probe: ProbeResult | None,
    relevance: RelevanceContent | None,
    activations: ActivationsContent | None,
) -> ProbeCard:
    explained = _explained(index, relevance) if relevance else ()
    predicted = [m for e in explained if e.target.role == "predicted" for m in e.maps]
    shown = [
        m for m in predicted if m.verdict in {"supported", "weak"} and m.overlay and m.evidence
    ]
    contrasts = relevance.contrasts if relevance else ()
    return ProbeCard(
        number=index,
        name=name,
        probe=probe,
        explained=explained,
        contrasts=tuple(one for one in contrasts if one.probe == index),
        best=max(shown, key=_for_a_tile, default=None),
        layers=tuple(
            (call, row)
            for call in (activations.shown if activations else ())
            for row in call.rows
            if row.probe == index
        ),
    )


def _for_a_tile(one: RelevanceMap) -> tuple[bool, bool, float]:
    advantage = one.evidence.advantage if one.evidence else -math.inf
    return one.verdict == "supported", one.method in CAM_FAMILY, advantage


def _explained(index: int, relevance: RelevanceContent) -> tuple[Explained, ...]:
    """Group a probe's maps by target; targets are told apart by all that they are, not by name alone."""
    groups: dict[TargetFacts, list[RelevanceMap]] = {}
    for one in relevance.maps:
        if one.probe == index:
            groups.setdefault(one.target, []).append(one)
    agreed = [one for one in relevance.agreements if one.probe == index]
    ordered = sorted(groups.items(), key=lambda item: item[0].role != "predicted")
    return tuple(
        Explained(target, tuple(maps), tuple(a for a in agreed if a.target == target.name))
        for target, maps in ordered
    )


def layer_cards(report: Report) -> tuple[LayerCard, ...]:
    """Join architecture, weights, activations, features and findings by layer, in the network's order."""
    architecture = content_of(report, ArchitectureContent)
    weights = content_of(report, WeightsContent)
    activations = content_of(report, ActivationsContent)
    features = content_of(report, FeaturesContent)
    rows = {row.path: row for row in architecture.layers} if architecture else {}
    variables = _by_layer(weights.variables if weights else ())
    calls = _by_layer(activations.calls if activations else ())
    shown = _by_layer(activations.shown if activations else ())
    units = _by_layer(features.units if features else ())
    findings: dict[str, list[Finding]] = {}
    for finding in report.findings:
        findings.setdefault(finding.where.layer, []).append(finding)
    readers = _readers(rows.values())
    cards = [
        LayerCard(
            path=path,
            name=rows[path].name if path in rows else path,
            class_name=_class_name(path, rows, variables, calls),
            depth=rows[path].depth if path in rows else 0,
            row=rows.get(path),
            variables=variables.get(path, ()),
            calls=calls.get(path, ()),
            shown=shown.get(path, ()),
            units=units.get(path, ()),
            findings=tuple(findings.get(path, ())),
            readers=readers.get(path, ()),
        )
        for path in dict.fromkeys((*rows, *variables, *calls))
    ]
    cards.sort(
        key=lambda card: card.class_name != "InputLayer" or card.depth > 0
    )  # Sequential ends with it
    chosen = _that_matter(cards)
    return tuple(card._replace(matters=index in chosen) for index, card in enumerate(cards))


def _by_layer(parts: Iterable[Part]) -> dict[str, tuple[Part, ...]]:
    grouped: dict[str, list[Part]] = {}
    for part in parts:
        grouped.setdefault(part.layer, []).append(part)
    return {layer: tuple(held) for layer, held in grouped.items()}


def _class_name(
    path: str,
    rows: Mapping[str, LayerRow],
    variables: Mapping[str, tuple[Variable, ...]],
    calls: Mapping[str, tuple[CallRow, ...]],
) -> str:
    if path in rows:
        return rows[path].class_name
    held = variables.get(path)
    return held[0].layer_class if held else calls[path][0].class_name


def _readers(rows: Iterable[LayerRow]) -> dict[str, tuple[str, ...]]:
    """Return the layers that read each layer; a source is the id of a call, ``path#2`` from the second on."""
    known = {row.path: row for row in rows}
    readers: dict[str, dict[str, None]] = {}
    for row in known.values():
        for source in row.sources:
            path = source if source in known else source.rpartition("#")[0]
            readers.setdefault(path, {})[row.path] = None
    return {path: tuple(found) for path, found in readers.items()}


def _that_matter(cards: Sequence[LayerCard]) -> frozenset[int]:
    """Return the indices of the rows that are shown first, at most ``ROWS``; of a short list all.

    Findings come first, then both ends, the layers with most parameters and operations, and those with maps.
    """
    if len(cards) <= ROWS + 4:
        return frozenset(range(len(cards)))
    rank = {"error": 0, "warning": 1}
    inner = [index for index, card in enumerate(cards) if not _holds_others(cards, index)]
    found = sorted(
        (index for index, card in enumerate(cards) if card.worst in rank),
        key=lambda index: rank[cards[index].worst],
    )
    weighty = sorted(inner, key=lambda index: -cards[index].parameters)
    busy = sorted(inner, key=lambda index: -cards[index].flops)
    shown = [index for index, card in enumerate(cards) if card.shown or card.units]
    ends = [0, len(cards) - 1]
    order = [*found[: ROWS - 4], *ends, *weighty[:2], *busy[:1], *shown, *weighty]
    return frozenset(list(dict.fromkeys(order))[:ROWS])


def _holds_others(cards: Sequence[LayerCard], index: int) -> bool:
    return index + 1 < len(cards) and cards[index + 1].depth > cards[index].depth


def content_of(report: Report, kind: type[Wanted]) -> Wanted | None:
    """Return the content of this type, or None where the section is missing or was not made."""
    return next((s.content for s in report.sections if isinstance(s.content, kind)), None)
