"""Numbers and names as a reader would say them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


def count_text(value: int) -> str:
    """Return 25.6 M for 25,610,269; below a thousand the number itself."""
    return _scaled(value, 1000, ("", " K", " M", " G", " T"))


def flops_text(value: int, uncounted: Collection[str] = ()) -> str:
    """Return 7.76 GFLOPs, or at least so many where operations are not counted."""
    text = _scaled(value, 1000, (" FLOPs", " KFLOPs", " MFLOPs", " GFLOPs", " TFLOPs"))
    return f"at least {text}" if uncounted else text


def bytes_text(value: int) -> str:
    """Return 17.9 MiB."""
    return _scaled(value, 1024, (" B", " KiB", " MiB", " GiB", " TiB"))


def _scaled(value: float, base: int, units: tuple[str, ...]) -> str:
    step = 0
    amount = float(value)
    while abs(amount) >= base - 0.5 and step < len(units) - 1:
        amount /= base
        step += 1
    if step == 0:
        return f"{int(value)}{units[0]}"
    digits = 2 if amount < 9.995 else 1 if amount < 99.95 else 0
    return f"{amount:.{digits}f}{units[step]}"


def share_text(part: int, whole: int) -> str:
    """Return 12.5 %; what is not nothing never reads 0.0 %, what is not all never 100 %."""
    if whole == 0:
        return "0 %"
    share = 100 * part / whole
    if part == 0:
        return "0 %"
    if share < 0.05:
        return "< 0.1 %"
    if part < whole and share >= 99.95:
        return "> 99.9 %"
    return f"{share:.1f} %" if part < whole else "100 %"


def number_text(value: float | None) -> str:
    """Return a measured number with four significant digits; an en dash for none."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        text = f"{value:.4g}"
        return text if "e" not in text else f"{value:,.0f}"
    return _scientific(value, 3)


def short_text(value: float | None) -> str:
    """Return a measured number with three significant digits, for the cells of a dense table."""
    if value is None:
        return "–"
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 or not value else _scientific(value, 1)


def _scientific(value: float, digits: int) -> str:
    """Return 1.5e-7: a number with its power of ten, without the zeros that say nothing."""
    if not math.isfinite(value):
        return f"{value:g}"
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def percent_text(value: float | None) -> str:
    """Return a probability as 93.5 %; certainty only where it is exact."""
    if value is None:
        return "–"
    if 0 < value < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= value < 1:
        return "> 99.9 %"
    return f"{100 * value:.1f} %"


def size_text(shape: tuple[int | None, ...]) -> str:
    """Return 3×3×32; an open size as ?."""
    return "×".join("?" if n is None else str(n) for n in shape) or "scalar"


def plural(count: int, noun: str, many: str = "") -> str:
    """Return ``1 channel`` or ``3 channels``; ``many`` is the plural where it does not end in s alone."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {many or noun + 's'}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'NAME'?`` where one of the known names is near, else nothing."""
    from difflib import get_close_matches

    match = get_close_matches(name, sorted(known), 1)
    return f"; did you mean {match[0]!r}?" if match else ""


def readable_name(name: str) -> str:
    """Return a file name as text that UTF-8 can hold."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
