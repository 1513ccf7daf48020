"""Fold a network's graph: linear chains, and blocks that repeat by structure.

Calls stand in the order of execution. A call's token is its class, its output's shape and how far back
its sources stand, so two blocks with the same classes, shapes and wiring have the same tokens whatever
their layers are called, and a repetition is a run of tokens that equals itself one period later. What is
read from afar (a skip into a decoder) is read of every repetition, or ends the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from reportgen.network.facts import InputRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reportgen.network.facts import NetworkFacts, Source

MOST_NODES = 40
"""What fits on one screen."""
LEAST_SAVED = 6
"""Calls that a fold must spare the reader; smaller repetitions are clearer written out."""


class Unit(NamedTuple):
    """A node of the whole graph: an input, or a call that makes tensors.

    Attributes:
        id: the input, or a call's id.
        layer: structural path; for an input that of its InputLayer, or empty.
        container: id of the innermost call that it happens inside of.
        sources: ids of the units that it reads.
    """

    id: Source
    layer: str
    class_name: str
    shape: tuple[int, ...]
    container: str | None
    sources: tuple[Source, ...]

    @property
    def name(self) -> str:
        """What the diagram calls it."""
        return self.id.name if isinstance(self.id, InputRef) else self.id


class Run(NamedTuple):
    """A block that stands ``repeats`` times in a row from unit ``start`` on, ``period`` units each."""

    start: int
    period: int
    repeats: int

    @property
    def end(self) -> int:
        """The unit behind the last repetition."""
        return self.start + self.period * self.repeats


class Folded(NamedTuple):
    """The overview's graph.

    Attributes:
        nodes: units of each node, indices into the whole graph, first repetitions only.
        fold_of: run of each node, None outside of runs.
        edges: pairs of nodes.
        runs: the blocks that repeat.
    """

    nodes: tuple[tuple[int, ...], ...]
    fold_of: tuple[int | None, ...]
    edges: tuple[tuple[int, int], ...]
    runs: tuple[Run, ...]


def whole_graph(facts: NetworkFacts) -> tuple[Unit, ...]:
    """Return every input and every call that makes tensors, in the order of execution."""
    input_layers = [
        f.path for f in facts.layers if f.class_name == "InputLayer" and f.parent is None
    ]
    named = {path.rpartition("/")[2]: path for path in input_layers}
    spare = [path for path in input_layers if path not in {t.name for t in facts.inputs}]
    units = []
    for tensor in facts.inputs:
        layer = named.get(tensor.name) or (spare.pop(0) if spare else "")
        shape = tuple(n or 0 for n in tensor.shape[1:])
        units.append(Unit(InputRef(tensor.name), layer, "Input", shape, None, ()))
    for call in facts.calls:
        if call.leaf or call.merges:
            shape = call.shapes[0] if call.shapes else ()
            container = call.parent if call.leaf else call.id
            units.append(Unit(call.id, call.layer, call.class_name, shape, container, call.reads))
    known = {unit.id for unit in units}
    return tuple(
        unit._replace(sources=tuple(s for s in unit.sources if s in known)) for unit in units
    )


def fold(units: Sequence[Unit], most: int = MOST_NODES) -> Folded:
    """Return the overview: chains contracted, repetitions folded, at most ``most`` nodes.

    Where blocks and chains are still too many, first each repeated block becomes one node, then
    neighbours in the order of execution are joined.
    """
    position = {unit.id: index for index, unit in enumerate(units)}
    sources = [tuple(position[s] for s in unit.sources) for unit in units]
    runs = find_runs(units, sources)
    shapes = [unit.shape for unit in units]
    folded = _contract(sources, runs, shapes)
    if len(folded.nodes) > most:
        folded = _contract(sources, runs, shapes, whole_blocks=True)
    if len(folded.nodes) > most:
        folded = _join_neighbours(sources, runs, folded, most)
    return folded


def find_runs(units: Sequence[Unit], sources: Sequence[tuple[int, ...]]) -> tuple[Run, ...]:
    """Return the repetitions that save most, none overlapping, in the order of execution."""
    tokens = _tokens(units, sources)
    open_edges, fan_out = _crossings(len(units), sources)
    taken = np.zeros(len(units), bool)
    chosen = []
    for start, period, length in _candidates(tokens, _readers(len(units), sources)):
        run = _aligned(start, period, length, open_edges, fan_out)
        connected = any(
            run.start <= source < run.start + run.period
            for index in range(run.start + run.period, run.start + 2 * run.period)
            for source in (sources[index] if index < len(sources) else ())
        )
        spared = run.period * (run.repeats - 1)
        if not connected or spared < LEAST_SAVED or taken[run.start : run.end].any():
            continue
        taken[run.start : run.end] = True
        chosen.append(run)
    return tuple(sorted(chosen))


def _tokens(units: Sequence[Unit], sources: Sequence[tuple[int, ...]]) -> np.ndarray:
    numbers: dict[object, int] = {}
    return np.array(
        [
            numbers.setdefault(
                (unit.class_name, unit.shape, tuple(index - s for s in sources[index])),
                len(numbers),
            )
            for index, unit in enumerate(units)
        ]
    )


def _readers(count: int, sources: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Return the units that read each unit, ascending."""
    readers: list[list[int]] = [[] for _ in range(count)]
    for index, read in enumerate(sources):
        for source in dict.fromkeys(read):
            readers[source].append(index)
    return readers


def _candidates(tokens: np.ndarray, readers: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """Return (start, period, length) of every maximal repetition, the most saving first."""
    found = []
    reach = np.array([(r[-1] - index if r else 0) for index, r in enumerate(readers)])
    for period in range(1, len(tokens) // 2 + 1):
        equal = tokens[:-period] == tokens[period:]
        for index in np.flatnonzero(equal & (reach[:-period] > 2 * period)).tolist():
            afar = {r for r in readers[index] if r - index > 2 * period}
            equal[index] = afar <= set(readers[index + period])
        same = np.concatenate([[False], equal, [False]])
        change = np.flatnonzero(same[1:] != same[:-1])
        for start, end in zip(change[::2], change[1::2], strict=True):
            length = int(end - start) + period
            count = length // period
            if period * (count - 1) >= LEAST_SAVED:
                found.append((int(start), period, length))
    return sorted(found, key=lambda c: (-c[1] * (c[2] // c[1] - 1), c[1], c[0]))


def _crossings(count: int, sources: Sequence[tuple[int, ...]]) -> tuple[list[int], list[int]]:
    """Return how many earlier units are still read at the cut in front of each unit.

    And, second, the largest number of readers among those units.
    """
    last = list(range(count))
    readers = [0] * count
    for index, read in enumerate(sources):
        for source in set(read):
            last[source] = index
            readers[source] += 1
    crossing, fan_out = [0] * count, [0] * count
    for source, end in enumerate(last):
        for cut in range(source + 1, end + 1):
            crossing[cut] += 1
            fan_out[cut] = max(fan_out[cut], readers[source])
    return crossing, fan_out


def _aligned(
    start: int, period: int, length: int, crossing: Sequence[int], fan_out: Sequence[int]
) -> Run:
    """Cut a repetition where fewest tensors cross: behind a merge, in front of a branch."""

    def quality(shift: int) -> tuple[int, int, int]:
        cut = start + shift
        lost = int((length - shift) // period < length // period)
        return (crossing[cut] + lost, -fan_out[cut], shift)

    shift = min(range(min(period, length - period)), key=quality, default=0)
    return Run(start + shift, period, (length - shift) // period)


def _representative(count: int, runs: Iterable[Run]) -> list[int]:
    """Map every unit to itself, or to its place in the first repetition."""
    first = list(range(count))
    for run in runs:
        for index in range(run.start, run.end):
            first[index] = run.start + (index - run.start) % run.period
    return first


def _contract(
    sources: Sequence[tuple[int, ...]],
    runs: tuple[Run, ...],
    shapes: Sequence[tuple[int, ...]],
    *,
    whole_blocks: bool = False,
) -> Folded:
    """Contract linear chains of one resolution, never across the border of a block."""
    count = len(sources)
    first = _representative(count, runs)
    region: list[int | None] = [None] * count
    for number, run in enumerate(runs):
        region[run.start : run.start + run.period] = [number] * run.period
    edges = _edges(sources, first)
    shown = [index for index in range(count) if first[index] == index]
    outgoing: dict[int, set[int]] = {index: set() for index in shown}
    incoming: dict[int, set[int]] = {index: set() for index in shown}
    for source, target in edges:
        outgoing[source].add(target)
        incoming[target].add(source)
    node_of: dict[int, int] = {}
    nodes: list[list[int]] = []
    for index in shown:
        joined = _chain_before(index, incoming, outgoing, region, node_of)
        if joined is not None and shapes[nodes[joined][-1]][:-1] != shapes[index][:-1]:
            joined = None
        if whole_blocks and region[index] is not None and runs[region[index] or 0].start != index:
            joined = node_of[runs[region[index] or 0].start]
        if joined is None:
            joined = len(nodes)
            nodes.append([])
        node_of[index] = joined
        nodes[joined].append(index)
    return Folded(
        nodes=tuple(tuple(node) for node in nodes),
        fold_of=tuple(region[node[0]] for node in nodes),
        edges=_node_edges(edges, node_of),
        runs=runs,
    )


def _edges(sources: Sequence[tuple[int, ...]], first: Sequence[int]) -> list[tuple[int, int]]:
    """Return the edges among representatives; from one repetition to the next there is none to draw."""
    return [
        (first[source], index)
        for index, read in enumerate(sources)
        if first[index] == index
        for source in read
        if first[source] != index
    ]


def _chain_before(
    index: int,
    incoming: dict[int, set[int]],
    outgoing: dict[int, set[int]],
    region: Sequence[int | None],
    node_of: dict[int, int],
) -> int | None:
    """Return the node that ``index`` continues: its only source, which nothing else reads."""
    if len(incoming[index]) != 1:
        return None
    (source,) = incoming[index]
    alone = len(outgoing[source]) == 1 and region[source] == region[index]
    return node_of.get(source) if alone and incoming[source] else None


def _node_edges(
    edges: Iterable[tuple[int, int]], node_of: dict[int, int]
) -> tuple[tuple[int, int], ...]:
    pairs = ((node_of[a], node_of[b]) for a, b in edges)
    return tuple(dict.fromkeys(pair for pair in pairs if pair[0] != pair[1]))


def _join_neighbours(
    sources: Sequence[tuple[int, ...]], runs: tuple[Run, ...], folded: Folded, most: int
) -> Folded:
    """Join neighbouring nodes until at most ``most`` are left; runs are kept apart as long as they fit."""
    order = sorted(range(len(folded.nodes)), key=lambda n: folded.nodes[n][0])
    bucket = {node: rank * most // len(order) for rank, node in enumerate(order)}
    nodes: list[list[int]] = [[] for _ in range(most)]
    for node in order:
        nodes[bucket[node]].extend(folded.nodes[node])
    node_of = {unit: number for number, node in enumerate(nodes) for unit in node}
    first = _representative(len(sources), runs)
    forward = [(a, b) for a, b in _edges(sources, first) if node_of[a] <= node_of[b]]
    return Folded(
        nodes=tuple(tuple(sorted(node)) for node in nodes),
        fold_of=(None,) * len(nodes),
        edges=_node_edges(forward, node_of),
        runs=runs,
    )


def members(folded: Folded, node: int) -> list[int]:
    """Return the units that a node stands for, over all repetitions."""
    units = []
    for unit in folded.nodes[node]:
        run = next((r for r in folded.runs if r.start <= unit < r.start + r.period), None)
        repeats = range(run.repeats) if run else range(1)
        units += [unit + (run.period if run else 0) * k for k in repeats]
    return sorted(units)
