"""The moments of all calls side by side: what a pass returns, and what sums over many images are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.network.facts import CallId
from reportgen.network.protocol import Moments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


class Channels(Mapping[CallId, Moments]):
    """The moments of every call, cut on demand out of arrays that hold all channels side by side.

    Args:
        columns: mean, mean square, low, high, zeros and, where there are any, non-finite values and NaN, each
            (n, channels of all calls) float32, as in ``Moments``.
        spans: first channel, the one behind the last, and values an image and channel, by call; calls that
            hand on the same tensor have the same channels.
        samples: (n, samples of all calls) float32: all channels at a few positions, None where none were taken.
        sampled: first sample, and the one behind the last, by call.
    """

    def __init__(
        self,
        columns: Sequence[NDArray[Any]],
        spans: Mapping[CallId, tuple[int, int, int]],
        samples: NDArray[Any] | None = None,
        sampled: Mapping[CallId, tuple[int, int]] | None = None,
    ) -> None:
        self.columns = tuple(columns)
        self.spans = spans
        self.samples = samples
        self.sampled = sampled or {}

    def __getitem__(self, call: CallId) -> Moments:
        """Return the moments of a call."""
        start, end, positions = self.spans[call]
        mean, square, low, high, zeros, *rest = (column[:, start:end] for column in self.columns)
        non_finite, nan = rest or (zeros * 0, zeros * 0)
        return Moments(mean, square, low, high, zeros, non_finite, nan, positions)

    def __iter__(self) -> Iterator[CallId]:
        """Go through the calls in the order of execution."""
        return iter(self.spans)

    def __len__(self) -> int:
        """Return how many calls there are."""
        return len(self.spans)


def channels_of(moments: Mapping[CallId, Moments]) -> Channels:
    """Return the moments of separate calls side by side."""
    if isinstance(moments, Channels):
        return moments
    ends, spans = 0, {}
    for call, one in moments.items():
        start, ends = ends, ends + one.mean.shape[1]
        spans[call] = (start, ends, one.positions)
    rows = zip(*(one[:7] for one in moments.values()), strict=True)
    return Channels([np.concatenate(column, axis=1) for column in rows], spans)
