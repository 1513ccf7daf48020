"""What the layers answer to the probes."""

from __future__ import annotations

import msgspec

from reportgen.report.leaves import Figure


class CallRow(msgspec.Struct, frozen=True):
    """One call of a layer, over all images; statistics over finite values.

    Attributes:
        id: structural path, with ``#k`` from the second call on.
        values: how many there are over all images; ``zeros`` and ``non_finite`` are counts among them.
        mean: None, as all statistics, where no value is finite.
        std: population standard deviation over images, positions and channels.
        nan: how many of the non-finite values are NaN; the others are infinite.
        absorbed: whether all that reads its infinities is finite, as of what pads a maximum or masks a softmax.
        silent: channels that are exactly zero at every position of every image.
        below: for what only ReLUs read: channels whose largest value lies below zero by more than six
            standard deviations of the whole call.
        below_channels: the first of them, at most 16.
        sampled: finite values that ``median`` and ``most`` are of: of every image all channels at a fixed
            lattice of positions (four of a picture); 0 before 1.5.
        median: half of these values are at most as large, within ``quantile_error``.
        most: 99 % of them are at most as large, likewise.
        quantile_error: largest relative error of these two; values below 1.2e-38 count as zero.
    """

    id: str
    layer: str
    class_name: str
    depth: int
    shape: tuple[int, ...]
    values: int
    channels: int
    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    zeros: int
    non_finite: int
    silent: int
    below: int = 0
    below_channels: tuple[int, ...] = ()
    nan: int = 0
    absorbed: bool = False
    sampled: int = 0
    median: float | None = None
    most: float | None = None
    quantile_error: float = 0.0

    @property
    def broken(self) -> bool:
        """Whether it has values that are not finite and that nothing was made for."""
        return self.non_finite > 0 and not self.absorbed


class MapRow(msgspec.Struct, frozen=True):
    """The maps of one probe.

    Attributes:
        probe: index of the probe.
        name: of the probe.
        low: least value in the maps shown.
        high: largest value in the maps shown.
        ranges: least and largest value of each map; empty where they are no maps, and in reports before 1.4.
    """

    probe: int
    name: str
    figure: Figure
    low: float | None
    high: float | None
    ranges: tuple[tuple[float | None, float | None], ...] = ()


class TopImages(msgspec.Struct, frozen=True):
    """The images of the data set with the largest values of each channel.

    Attributes:
        channels: a column each.
        places: of the images in the data set, as in an evaluation's examples, row by row, the strongest first;
            -1 where there are fewer.
        values: the channel's largest value in each of these images.
    """

    channels: tuple[int, ...]
    places: tuple[tuple[int, ...], ...]
    values: tuple[tuple[float | None, ...], ...]
    figure: Figure


class ShownCall(msgspec.Struct, frozen=True):
    """A call whose outputs are shown as pictures.

    Attributes:
        kind: ``maps``, ``tokens`` (a token grid), ``steps`` (a row of them, channels one below the other) or
            ``strip`` (units without a place).
        channels: those shown, the most energetic first; the same for every probe.
        total: how many channels there are.
        low: value of the darkest colour, for every map of this call.
        high: value of the brightest colour.
        grid: height and width of one map as computed; of a strip (1, channels shown).
        reduced: whether every second row and column is shown.
        columns: maps side by side in a row of the picture.
        top: the strongest images of the first channels; None without a data set.
    """

    id: str
    layer: str
    class_name: str
    kind: str
    channels: tuple[int, ...]
    total: int
    low: float
    high: float
    grid: tuple[int, int]
    reduced: bool
    columns: int
    rows: tuple[MapRow, ...]
    notes: tuple[str, ...] = ()
    top: TopImages | None = None


class ActivationsContent(msgspec.Struct, frozen=True, tag="activations"):
    """Every call's statistics, and the maps of some.

    Attributes:
        images: that the statistics rest on.
        over: ``probes``, or ``data`` where they are those of a whole data set.
    """

    images: int
    calls: tuple[CallRow, ...]
    shown: tuple[ShownCall, ...]
    over: str = "probes"
