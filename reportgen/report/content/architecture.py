"""What the network is made of: its layers, and how they are connected."""

from __future__ import annotations

import msgspec


class LayerRow(msgspec.Struct, frozen=True):
    """A layer at any depth.

    Attributes:
        path: structural path.
        depth: how many models or layers it is nested in.
        shapes: of the outputs of its calls, without the batch dimension, each once.
        dtypes: of its outputs, each once.
        parameters: of its own and all inner weights, as Keras counts them.
        flops: of all its calls and everything inside, for one image, two a multiply-add; None where
            the forward pass could not be traced.
        calls: how often it is called; 0 where it is not.
        sources: ids of the calls or inputs that its calls read.
        group: index of the overview's node that holds it.
        uncounted: TensorFlow's types of operations that ``flops`` leaves out: with any, it is a lower bound.
    """

    path: str
    name: str
    class_name: str
    depth: int
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    parameters: int
    trainable_parameters: int
    flops: int | None
    activation: str | None
    calls: int
    sources: tuple[str, ...]
    group: int | None
    uncounted: tuple[str, ...] = ()


class Group(msgspec.Struct, frozen=True):
    """A node of the overview: a layer, a chain of layers, or what repeats.

    Attributes:
        title: what it holds, in a few words.
        layers: paths of all layers that it stands for, over all repetitions.
        fold: index of the fold it belongs to; None outside of folds.
        shape: of its output, without the batch dimension.
    """

    title: str
    layers: tuple[str, ...]
    fold: int | None
    shape: tuple[int, ...]


class Fold(msgspec.Struct, frozen=True):
    """A block that repeats: its first repetition stands for all.

    Attributes:
        repeats: how often it stands in a row.
        layers_each: layers in one repetition.
    """

    repeats: int
    layers_each: int


class Box(msgspec.Struct, frozen=True):
    """A node as drawn; lengths in CSS pixels, the origin at the upper left.

    Attributes:
        lines: its text, the first line emphasised.
        title: the whole text, where a line was cut.
        path: of the layer that it links to; empty for none.
        kind: ``layer``, ``input`` or ``group``.
    """

    x: int
    y: int
    width: int
    height: int
    lines: tuple[str, ...]
    title: str
    path: str
    kind: str


class Frame(msgspec.Struct, frozen=True):
    """A cluster as drawn: a nested model, or a fold."""

    x: int
    y: int
    width: int
    height: int
    label: str


class Diagram(msgspec.Struct, frozen=True):
    """A laid-out graph.

    Attributes:
        edges: SVG path data, each ending at the node that reads.
        engine: what laid it out.
    """

    width: int
    height: int
    boxes: tuple[Box, ...]
    frames: tuple[Frame, ...]
    edges: tuple[str, ...]
    engine: str


class ArchitectureContent(msgspec.Struct, frozen=True, tag="architecture"):
    """The layer table and two diagrams.

    Attributes:
        layer_count: layers at every depth; the groups hold each of them once.
        overview_nodes: nodes of the overview.
        overview: chains and repeated blocks folded; None where no engine could lay it out.
        full: every call of every layer.
        flops: for one image; None where the forward pass could not be traced.
        own_flops: of them what the model computes itself, between its layers.
        uncounted: like a row's, of the whole network.
    """

    layer_count: int
    overview_nodes: int
    layers: tuple[LayerRow, ...]
    groups: tuple[Group, ...]
    folds: tuple[Fold, ...]
    overview: Diagram | None
    full: Diagram | None
    parameters: int
    trainable_parameters: int
    flops: int | None
    own_flops: int = 0
    uncounted: tuple[str, ...] = ()
