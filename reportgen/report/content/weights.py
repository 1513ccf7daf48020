"""Whether the weights look as weights should."""

from __future__ import annotations

import msgspec

from reportgen.report.content.health import BatchNormHealth, KernelHealth
from reportgen.report.leaves import Figure, Histogram


class Variable(msgspec.Struct, frozen=True):
    """A weight tensor and its statistics over finite values, in float64 and stored to six digits.

    What it is stands as in ``network.facts.VariableFacts``, from ``path`` to ``trainable`` and from
    ``initializer`` on.

    Attributes:
        count: elements; ``zeros``, ``nan`` and ``inf`` are counts among them.
        min: None, as all statistics, where no value is finite.
        std: population standard deviation.
        p1: 1st percentile, linearly interpolated as NumPy does; likewise p25 to p99.
        l2: Euclidean norm.
        histogram: its counts sum to ``count - nan - inf``.
        digest: of type, shape and values, so that two reports compare without their models.
        health: of floating-point kernels and embeddings.
    """

    path: str
    layer: str
    layer_class: str
    name: str
    role: str
    shape: tuple[int, ...]
    dtype: str
    trainable: bool
    count: int
    zeros: int
    nan: int
    inf: int
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    p1: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p99: float | None
    l2: float | None
    histogram: Histogram
    digest: str
    initializer: str | None = None
    compute_dtype: str = ""
    health: KernelHealth | None = None
    shared_by: tuple[str, ...] = ()


class RoleScale(msgspec.Struct, frozen=True):
    """The axis that the histogram sparklines of one role share.

    Attributes:
        low: left end.
        high: right end; values outside are counted in the outermost bars.
    """

    role: str
    low: float
    high: float


class KernelPicture(msgspec.Struct, frozen=True):
    """The kernels of the first convolution.

    Attributes:
        layer: its path.
        filters: how many are shown.
        total: how many there are.
        low: value of the darkest (or coldest) colour.
        high: value of the brightest (or warmest) colour.
        colours: what the colours mean, in words.
    """

    layer: str
    figure: Figure
    filters: int
    total: int
    low: float
    high: float
    colours: str


class WeightsContent(msgspec.Struct, frozen=True, tag="weights"):
    """Every variable of every layer, in the order of the layers.

    Attributes:
        count: elements of all variables.
        bytes: size of all variables in the types they have.
        depth: mean and standard deviation, and norm per element, of kernels over depth.
        batch_norms: every BatchNormalization.
    """

    variables: tuple[Variable, ...]
    scales: tuple[RoleScale, ...]
    count: int
    bytes: int
    zeros: int
    nan: int
    inf: int
    depth: Figure | None = None
    kernels: KernelPicture | None = None
    batch_norms: tuple[BatchNormHealth, ...] = ()
