"""What the network is made of: overview, whole graph and layer table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen.errors import reason_text
from reportgen.observe import Collected, SectionMaker
from reportgen.report.content.architecture import (
    ArchitectureContent,
    Fold,
    Group,
    LayerRow,
)
from reportgen.report.leaves import Notice
from reportgen.sections.architecture.diagram import (
    Cluster,
    LayoutError,
    Node,
    draw,
    draw_in_columns,
)
from reportgen.sections.architecture.folding import fold, members, whole_graph
from reportgen.wording import plural, share_text, size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.context import Context
    from reportgen.network.facts import CallFacts, LayerFacts, NetworkFacts
    from reportgen.report.content.architecture import (
        Diagram,
    )
    from reportgen.sections.architecture.folding import Folded, Unit


_SHORT = {
    "BatchNormalization": "BatchNorm",
    "LayerNormalization": "LayerNorm",
    "GlobalAveragePooling2D": "GlobalAvgPool2D",
    "GlobalMaxPooling2D": "GlobalMaxPool2D",
    "DepthwiseConv2D": "DepthwiseConv",
    "SeparableConv2D": "SeparableConv",
}


def collect(context: Context, _: Any) -> Collected:
    """Return the layer table, the folded overview and the whole graph."""
    facts = context.network.facts
    units = whole_graph(facts)
    folded = fold(units)
    groups, group_of = _groups(facts, units, folded)
    notices = _notices(context)
    overview, full = None, None
    if units:
        try:
            overview = _draw_overview(units, folded, groups)
            full = _draw_full(facts, units)
        except LayoutError as error:
            notices.append(
                Notice(
                    "warning",
                    f"The diagrams could not be laid out: {reason_text(error)}. The layer table below is "
                    "complete; 'pip install pygraphviz' brings an engine.",
                )
            )
    content = ArchitectureContent(
        layer_count=len(facts.layers),
        overview_nodes=len(folded.nodes),
        layers=_rows(facts, group_of),
        groups=groups,
        folds=_folds(facts, units, folded),
        overview=overview,
        full=full,
        parameters=facts.parameters,
        trainable_parameters=facts.trainable_parameters,
        flops=facts.flops,
        own_flops=facts.own_flops,
        uncounted=facts.uncounted,
    )
    return Collected(content, _sentence(content, facts), tuple(notices))


def _groups(
    facts: NetworkFacts, units: Sequence[Unit], folded: Folded
) -> tuple[tuple[Group, ...], dict[str, int]]:
    """Return the overview's nodes with all layers that they stand for; every layer is in one of them."""
    group_of: dict[str, int] = {}
    for node in range(len(folded.nodes)):
        for unit in members(folded, node):
            group_of.setdefault(units[unit].layer, node)
    _place_containers(facts.layers, group_of)
    layers: list[list[str]] = [[] for _ in folded.nodes]
    for layer in facts.layers:
        if layer.path in group_of:
            layers[group_of[layer.path]].append(layer.path)
    groups = [
        Group(
            title=_title([units[u] for u in folded.nodes[node]]),
            layers=tuple(layers[node]),
            fold=folded.fold_of[node],
            shape=units[folded.nodes[node][-1]].shape,
        )
        for node in range(len(folded.nodes))
    ]
    unused = tuple(layer.path for layer in facts.layers if layer.path not in group_of)
    if unused:
        title = "not called" if units else "layers"
        groups.append(Group(title=title, layers=unused, fold=None, shape=()))
    return tuple(groups), group_of


def _place_containers(layers: Sequence[LayerFacts], group_of: dict[str, int]) -> None:
    """Put a nested model where its first inner layer is, and its own inputs with it."""
    for layer in reversed(layers):
        if layer.path in group_of:
            continue
        inner = (group_of[i.path] for i in layers if i.parent == layer.path and i.path in group_of)
        first = min(inner, default=None)
        if first is not None:
            group_of[layer.path] = first
    for layer in layers:
        if layer.path not in group_of and layer.parent in group_of:
            group_of[layer.path] = group_of[layer.parent]


def _title(units: Sequence[Unit]) -> str:
    """Name the classes in a chain, each run of one class once."""
    parts: list[tuple[str, int]] = []
    for unit in units:
        if parts and parts[-1][0] == unit.class_name:
            parts[-1] = (unit.class_name, parts[-1][1] + 1)
        else:
            parts.append((unit.class_name, 1))
    return " · ".join(name if count == 1 else f"{name} ×{count}" for name, count in parts)


def _folds(facts: NetworkFacts, units: Sequence[Unit], folded: Folded) -> tuple[Fold, ...]:
    return tuple(
        Fold(run.repeats, len({units[i].layer for i in range(run.start, run.start + run.period)}))
        for run in folded.runs
        if facts.calls
    )


def _draw_overview(units: Sequence[Unit], folded: Folded, groups: Sequence[Group]) -> Diagram:
    nodes = []
    for number, members_ in enumerate(folded.nodes):
        first = units[members_[0]]
        single = len(members_) == 1
        kind = "input" if first.class_name == "Input" and single else "group"
        name = first.name if kind == "input" else _lines_of(groups[number].title)
        lines = (name,) if isinstance(name, str) else name
        count = len(members_)
        tail = size_text(groups[number].shape) + (f" · {count} layers" if count > 1 else "")
        fold_of = folded.fold_of[number]
        cluster = None if fold_of is None else str(fold_of)
        nodes.append(Node((*lines, tail), f"group-{number}", kind, cluster))
    clusters = {
        str(number): Cluster(f"× {run.repeats}")
        for number, run in enumerate(folded.runs)
        if number in folded.fold_of
    }
    return draw_in_columns(nodes, folded.edges, clusters)


def _lines_of(title: str) -> tuple[str, ...]:
    """Break a chain's title into at most three lines."""
    parts = [_SHORT.get(part, part) for part in title.split(" · ")]
    if len(parts) > 4:
        return (" · ".join(parts[:2]), "…", " · ".join(parts[-2:]))
    return tuple(" · ".join(parts[i : i + 2]) for i in range(0, len(parts), 2))


def _draw_full(facts: NetworkFacts, units: Sequence[Unit]) -> Diagram:
    position = {unit.id: number for number, unit in enumerate(units)}
    containers = {call.id: call for call in facts.calls if not call.leaf}
    clusters = {
        call.id: Cluster(f"{call.id} ({call.class_name})", call.parent)
        for call in containers.values()
    }
    nodes = [
        Node(
            (
                unit.name.rpartition("/")[2],
                unit.class_name,
                size_text(unit.shape),
            ),
            unit.layer,
            "input" if unit.class_name == "Input" else "layer",
            unit.container if unit.container in clusters else None,
        )
        for unit in units
    ]
    edges = [(position[s], number) for number, unit in enumerate(units) for s in unit.sources]
    return draw(nodes, edges, clusters)


def _rows(facts: NetworkFacts, group_of: dict[str, int]) -> tuple[LayerRow, ...]:
    calls: dict[str, list[CallFacts]] = {}
    for call in facts.calls:
        calls.setdefault(call.layer, []).append(call)
    flops, uncounted = _flops_inside(facts)
    depth = {layer.path: 0 for layer in facts.layers}
    for layer in facts.layers:
        if layer.parent is not None:
            depth[layer.path] = depth[layer.parent] + 1
    input_shapes = {
        unit.layer: unit.shape for unit in whole_graph(facts) if unit.class_name == "Input"
    }
    rows = []
    for layer in facts.layers:
        own = calls.get(layer.path, [])
        shapes = dict.fromkeys(shape for call in own for shape in call.shapes)
        if not own and layer.path in input_shapes:
            shapes = dict.fromkeys([input_shapes[layer.path]])
        rows.append(
            LayerRow(
                path=layer.path,
                name=layer.name,
                class_name=layer.class_name,
                depth=depth[layer.path],
                shapes=tuple(shapes),
                dtypes=tuple(dict.fromkeys(d for call in own for d in call.dtypes)),
                parameters=layer.parameters,
                trainable_parameters=layer.trainable_parameters,
                flops=flops.get(layer.path, 0) if facts.flops is not None else None,
                activation=layer.activation,
                calls=len(own),
                sources=tuple(dict.fromkeys(str(s) for call in own for s in call.inputs)),
                group=group_of.get(layer.path),
                uncounted=tuple(uncounted.get(layer.path, ())),
            )
        )
    return tuple(rows)


def _flops_inside(facts: NetworkFacts) -> tuple[dict[str, int], dict[str, dict[str, None]]]:
    """Return the operations of each layer with everything inside of it, over all calls, and what they lack."""
    by_id = {call.id: call for call in facts.calls}
    total: dict[str, int] = {}
    lacking: dict[str, dict[str, None]] = {}
    for call in facts.calls:
        at: CallFacts | None = call
        while at is not None:
            total[at.layer] = total.get(at.layer, 0) + call.flops
            lacking.setdefault(at.layer, {}).update(dict.fromkeys(call.uncounted))
            at = by_id.get(at.parent or "")
    return total, lacking


def _notices(context: Context) -> list[Notice]:
    problem = context.network.facts.trace_problem
    if problem is None:
        return []
    why = (
        "; Overview says why."
        if "overview" in context.settings.chosen_sections
        else f": {problem}."
    )
    text = f"The forward pass could not be traced, so there is no graph{why}"
    return [Notice("warning", text)]


def _sentence(content: ArchitectureContent, facts: NetworkFacts) -> str:
    shared = sum(1 for row in content.layers if row.calls > 1)
    drawn = {content.folds[group.fold] for group in content.groups if group.fold is not None}
    folds = "; ".join(
        f"a block of {plural(fold.layers_each, 'layer')} repeats {fold.repeats} times"
        for fold in sorted(drawn, key=lambda f: (-f.repeats * f.layers_each, f.repeats))[:2]
    )
    heaviest = max(
        (
            row
            for row in content.layers
            if not any(r.path.startswith(f"{row.path}/") for r in content.layers)
        ),
        key=lambda row: row.parameters,
        default=None,
    )
    layers, blocks = content.layer_count, content.overview_nodes
    parts = [f"{layers} layer{'' if layers == 1 else 's'}"]
    # Of layers that are called again and again there are more blocks than layers.
    if 0 < blocks <= layers:
        parts[0] += f" in {blocks} block{'' if blocks == 1 else 's'}"
    if folds:
        parts.append(folds)
    if shared:
        parts.append(f"{shared} layer{'s are' if shared > 1 else ' is'} called more than once")
    if heaviest is not None and heaviest.parameters and facts.parameters:
        share = share_text(heaviest.parameters, facts.parameters)
        parts.append(f"{heaviest.path} holds {share} of the parameters")
    return "; ".join(parts) + "."


SECTION = SectionMaker("architecture", "Architecture", collect)
