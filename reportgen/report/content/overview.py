"""What the network is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from reportgen.network.facts import Origin, OutputFacts, TensorFacts
from reportgen.network.samples import sample_of
from reportgen.network.tasks import Task

if TYPE_CHECKING:
    from reportgen.network.samples import Sample


class ModelFile(msgspec.Struct, frozen=True):
    """The file that was loaded.

    Attributes:
        name: file name, or its whole path with ``--show-paths``.
        bytes: size.
        sha256: hex digest of its bytes.
    """

    name: str
    bytes: int
    sha256: str


class OverviewContent(msgspec.Struct, frozen=True, tag="overview"):
    """Attributes are printed as they are; sizes in bytes, FLOPs for one image at two a multiply-add.

    Attributes:
        layers: all layers at every depth, nested models and operations included.
        flops: None where the forward pass could not be traced.
        activation_bytes: largest sum of layer outputs that are alive at one moment, for one image.
        classes: class names, where given.
        uncounted: TensorFlow's types of operations that ``flops`` leaves out: with any, it is a lower bound.
        origin: of which file the network is and how it was had from it; None of a live model.
    """

    name: str
    class_name: str
    tasks: tuple[Task, ...]
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[OutputFacts, ...]
    layers: int
    parameters: int
    trainable_parameters: int
    non_trainable_parameters: int
    weight_bytes: int
    flops: int | None
    activation_bytes: int | None
    input_shapes: tuple[tuple[int, ...], ...]
    dtype_policy: str
    optimizer: str | None
    learning_rate: float | None
    loss: str | None
    file: ModelFile | None
    versions: tuple[tuple[str, str], ...]
    command: str
    seed: int
    meta: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] = ()
    uncounted: tuple[str, ...] = ()
    origin: Origin | None = None

    @property
    def sample(self) -> Sample:
        """What the network's inputs are called."""
        return sample_of(self.inputs, self.input_shapes)
