"""Folding a graph: chains, blocks that repeat by structure, and never more than fits a screen."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reportgen.sections.architecture.folding import LEAST_SAVED, MOST_NODES, Unit, fold, members

IMAGE = (16, 16, 8)


class Graph:
    """Writes a graph down unit by unit."""

    def __init__(self):
        self.units = []
        self.add("Input", ())

    def add(self, class_name, sources, shape=IMAGE, name=None):
        """Add a unit that reads the units numbered ``sources``, and return its number."""
        number = len(self.units)
        self.units.append(
            Unit(
                name or f"unit{number}",
                f"layer{number}",
                class_name,
                shape,
                None,
                tuple(self.units[s].id for s in sources),
            )
        )
        return number

    def chain(self, source, *classes, shape=IMAGE):
        """Add units one behind the other, and return the last one's number."""
        for class_name in classes:
            source = self.add(class_name, (source,), shape)
        return source

    def residual(self, source, *, shape=IMAGE, classes=("Conv2D", "BatchNorm", "ReLU", "Conv2D")):
        """Add a block whose input is added to what it makes of it."""
        made = self.chain(source, *classes, shape=shape)
        return self.chain(self.add("Add", (made, source), shape), "ReLU", shape=shape)


class Seen(NamedTuple):
    """A folded graph as the tests look at it."""

    nodes: list[list[str]]
    runs: list[tuple[int, int]]
    held: list[int]


def seen(graph):
    """Fold, check what holds for every graph, and return the classes of each node and the runs."""
    folded = fold(graph.units)
    held = conserved(graph.units, folded)
    return Seen(
        [[graph.units[u].class_name for u in node] for node in folded.nodes],
        [(run.period, run.repeats) for run in folded.runs],
        held,
    )


def conserved(units, folded, most=MOST_NODES):
    """Every unit stands in exactly one node, and no edge leads back."""
    held = [members(folded, node) for node in range(len(folded.nodes))]
    assert sorted(u for group in held for u in group) == list(range(len(units)))
    assert len(folded.nodes) <= most
    assert len(folded.fold_of) == len(folded.nodes)
    assert len(set(folded.edges)) == len(folded.edges)
    for tail, head in folded.edges:
        assert folded.nodes[tail][0] < folded.nodes[head][0]
    return [len(group) for group in held]


def test_chain_is_one_node_behind_its_input():
    graph = Graph()
    graph.chain(0, "Conv2D", "BatchNorm", "ReLU", "Conv2D")
    assert seen(graph).nodes == [["Input"], ["Conv2D", "BatchNorm", "ReLU", "Conv2D"]]


def test_chain_ends_where_the_resolution_changes():
    graph = Graph()
    end = graph.chain(0, "Conv2D", "ReLU")
    graph.chain(end, "Pool", "Conv2D", shape=(8, 8, 16))
    assert seen(graph).nodes == [["Input"], ["Conv2D", "ReLU"], ["Pool", "Conv2D"]]


@pytest.mark.parametrize("repeats", [2, 3, 8, 35])
def test_residual_blocks_fold(repeats):
    graph = Graph()
    end = graph.chain(0, "Conv2D")
    for _ in range(repeats):
        end = graph.residual(end)
    graph.chain(end, "Pool", "Dense", shape=(10,))
    found = seen(graph)
    assert found.runs == [(6, repeats)]
    assert found.nodes == [
        ["Input"],
        ["Conv2D"],
        ["Conv2D", "BatchNorm", "ReLU", "Conv2D"],
        ["Add", "ReLU"],
        ["Pool", "Dense"],
    ]
    assert found.held == [1, 1, 4 * repeats, 2 * repeats, 2]


def test_fold_is_joined_to_what_stands_around_it():
    graph = Graph()
    end = graph.chain(0, "Conv2D")
    for _ in range(3):
        end = graph.residual(end)
    graph.chain(end, "Dense", shape=(10,))
    folded = fold(graph.units)
    of = {u: n for n in range(len(folded.nodes)) for u in members(folded, n)}
    first, add = of[2], of[6]
    assert set(folded.edges) == {(0, of[1]), (of[1], first), (of[1], add), (first, add)} | {
        (add, of[len(graph.units) - 1])
    }


def test_names_do_not_matter():
    plain, named = Graph(), Graph()
    for graph in (plain, named):
        end = 0
        for _ in range(4):
            end = graph.residual(end)
    letters = [f"{chr(97 + i * 7 % 26)}{i % 5}" * 2 for i in range(len(named.units))]
    renamed = {unit.id: name for unit, name in zip(named.units, letters, strict=True)}
    units = [
        unit._replace(
            id=renamed[unit.id], layer="x", sources=tuple(renamed[s] for s in unit.sources)
        )
        for unit in named.units
    ]
    assert len(set(letters)) == len(letters)
    assert fold(units) == fold(plain.units)
    assert fold(units).runs[0].repeats == 4


@pytest.mark.parametrize("different", ["class", "shape", "wiring"])
def test_what_differs_is_not_folded(different):
    graph = Graph()
    end = graph.chain(0, "Conv2D")
    for odd in (False, True, False, True):
        classes = ("Conv2D", "BatchNorm", "ReLU", "Conv2D")
        shape = IMAGE
        if different == "class" and odd:
            classes = ("Conv2D", "LayerNorm", "ReLU", "Conv2D")
        if different == "shape" and odd:
            shape = (16, 16, 9)
        made = graph.chain(end, *classes, shape=shape)
        skipped = end + 1 if different == "wiring" and odd else end
        end = graph.add("Add", (made, skipped), shape)
    # The pair of an even and an odd block repeats; neither block alone does.
    assert seen(graph).runs == [(10, 2)]


def test_small_repetitions_are_written_out():
    graph = Graph()
    graph.chain(0, *["Conv2D", "ReLU"] * (LEAST_SAVED // 2))
    assert seen(graph).runs == []
    graph = Graph()
    graph.chain(0, *["Conv2D", "ReLU"] * (LEAST_SAVED // 2 + 1))
    assert seen(graph).runs == [(2, LEAST_SAVED // 2 + 1)]


def test_siblings_are_no_repetition():
    """Equal branches side by side do not stand in a row."""
    graph = Graph()
    ends = [graph.chain(0, *["Conv2D"] * 7, shape=(k, k, 1)) for k in (5, 5, 5)]
    graph.add("Concatenate", ends)
    found = seen(graph)
    assert all(period == 1 for period, _ in found.runs)
    assert found.held[-1] == 1


def inception(graph, source, width=8):
    branches = [
        graph.chain(source, *["Conv2D", "BatchNorm", "ReLU"] * length) for length in (1, 2, 3)
    ]
    branches.append(graph.chain(source, "Pool", "Conv2D"))
    return graph.add("Concatenate", branches, (16, 16, width))


def test_inception_blocks_fold_with_their_branches():
    graph = Graph()
    end = graph.chain(0, "Conv2D")
    for _ in range(4):
        end = inception(graph, end)
    graph.chain(end, "Dense", shape=(10,))
    found = seen(graph)
    assert found.runs == [(21, 4)]
    branches = [node for node in found.nodes if node[0] in {"Conv2D", "Pool"} and len(node) > 1]
    assert sorted(map(len, branches)) == [2, 3, 6, 9]
    assert found.held[found.nodes.index(["Concatenate"])] == 4


def unet(depth, blocks=1):
    graph = Graph()
    end, skips = 0, []
    for level in range(depth):
        size = 2 ** (10 - level)
        for _ in range(blocks):
            end = graph.chain(end, "Conv2D", "ReLU", "Conv2D", shape=(size, size, 8))
        skips.append(end)
        end = graph.chain(end, "Pool", shape=(size // 2, size // 2, 8))
    for level in reversed(range(depth)):
        size = 2 ** (10 - level)
        up = graph.chain(end, "UpSampling", shape=(size, size, 8))
        joined = graph.add("Concatenate", (up, skips[level]), (size, size, 16))
        end = graph.chain(joined, "Conv2D", shape=(size, size, 8))
    return graph, skips


def test_skips_of_a_unet_are_edges_and_nothing_is_folded():
    graph, skips = unet(4)
    folded = fold(graph.units)
    conserved(graph.units, folded)
    assert folded.runs == ()
    of = {u: n for n in range(len(folded.nodes)) for u in members(folded, n)}
    joins = [i for i, unit in enumerate(graph.units) if unit.class_name == "Concatenate"]
    for skip, join in zip(skips, reversed(joins), strict=True):
        assert (of[skip], of[join]) in folded.edges


def test_block_that_is_read_from_afar_is_not_folded_with_blocks_that_are_not():
    graph = Graph()
    ends = [0]
    for _ in range(6):
        ends.append(graph.residual(ends[-1]))
    late = graph.chain(ends[-1], *["Dense"] * 3, shape=(5,))
    graph.add("Concatenate", (late, ends[2]))
    folded = fold(graph.units)
    conserved(graph.units, folded)
    assert [(run.start, run.period, run.repeats) for run in folded.runs] == [(1, 6, 2), (13, 6, 4)]
    node = next(n for n in range(len(folded.nodes)) if ends[2] in members(folded, n))
    assert (node, len(folded.nodes) - 1) in folded.edges


def test_blocks_that_are_all_read_at_the_end_are_folded():
    graph = Graph()
    ends = [0]
    for _ in range(6):
        ends.append(graph.residual(ends[-1]))
    graph.add("Concatenate", ends[1:])
    assert seen(graph).runs == [(6, 6)]


def test_equal_graphs_fold_equally():
    assert fold(unet(5)[0].units) == fold(unet(5)[0].units)


def test_long_irregular_graph_fits_a_screen():
    graph = Graph()
    end = 0
    for step in range(120):
        end = graph.residual(end, shape=(16, 16, step + 1))
    found = seen(graph)
    assert len(found.nodes) <= MOST_NODES
    assert sum(found.held) == 721


def test_empty_graph():
    assert fold([]) == ((), (), (), ())


@st.composite
def graphs(draw):
    """Random graphs with repetitions planted in them."""
    graph = Graph()
    alphabet = draw(st.integers(1, 3))
    for _ in range(draw(st.integers(0, 12))):
        last = len(graph.units) - 1
        kind = draw(st.sampled_from(["unit", "chain", "blocks", "branches"]))
        if kind == "unit":
            sources = draw(st.lists(st.integers(0, last), max_size=3))
            graph.add(
                f"C{draw(st.integers(0, alphabet))}",
                dict.fromkeys(sources),
                (draw(st.integers(1, 2)),),
            )
        elif kind == "chain":
            graph.chain(last, *["C0", "C1"] * draw(st.integers(1, 8)))
        elif kind == "blocks":
            for _ in range(draw(st.integers(1, 5))):
                last = graph.residual(last)
        else:
            for _ in range(draw(st.integers(1, 4))):
                last = inception(graph, last)
    return graph.units


@given(graphs(), st.integers(2, MOST_NODES))
def test_any_graph_is_conserved(units, most):
    folded = fold(units, most)
    conserved(units, folded, most)
    for run in folded.runs:
        assert run.repeats >= 2
        assert run.period * (run.repeats - 1) >= LEAST_SAVED
        classes = [unit.class_name for unit in units[run.start : run.end]]
        assert classes == classes[: run.period] * run.repeats
    ends = [run.end for run in folded.runs]
    assert all(run.start >= end for run, end in zip(folded.runs[1:], ends, strict=False))


@given(graphs())
def test_neighbours_stay_connected(units):
    """What an edge of the graph connects is one node, or is connected in the overview."""
    folded = fold(units, 10**6)
    of = {u: n for n in range(len(folded.nodes)) for u in members(folded, n)}
    position = {unit.id: index for index, unit in enumerate(units)}
    inside = {
        u: number for number, run in enumerate(folded.runs) for u in range(run.start, run.end)
    }
    for index, unit in enumerate(units):
        for source in (position[s] for s in unit.sources):
            along = inside.get(source) is not None and inside.get(source) == inside.get(index)
            same = of[source] == of[index] or along
            later = (
                index in inside
                and index >= folded.runs[inside[index]].start + folded.runs[inside[index]].period
            )
            assert same or later or (of[source], of[index]) in folded.edges
