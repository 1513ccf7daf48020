"""The options of a build as the README's table: ``python -m reportgen.options_table README.md`` writes it."""

from __future__ import annotations

import sys
from pathlib import Path

from reportgen.options import OPTIONS

TABLE_BEGINS = "<!-- Written by: python -m reportgen.options_table README.md -->"
TABLE_ENDS = "<!-- The end of the options. -->"


def readme_table() -> str:
    """Return the options as the README's table."""
    rows = ["| option | what it does |", "|---|---|"]
    for option in OPTIONS.values():
        words = option.sentence()
        if option.default:
            words += f" (default: {option.default})"
        if option.more:
            words += f". {option.more}"
        shown = f"`[tool.reportgen.{option.name}]`"
        if option.has_flag:
            value = option.metavar or "|".join(option.choices)
            flag = option.opposite if option.on else option.flag
            shown = f"`{' '.join(filter(None, (flag, value)))}`"
        if option.short:
            shown = f"`-{option.short}`, {shown}"
        rows.append(f"| {_cell(shown)} | {_cell(words)} |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def with_table(text: str) -> str:
    """Return a document with the options between its two marks."""
    before, begin, rest = text.partition(TABLE_BEGINS)
    _, end, after = rest.partition(TABLE_ENDS)
    if not begin or not end:
        raise ValueError(f"{TABLE_BEGINS} and {TABLE_ENDS} must stand in the document.")
    return f"{before}{begin}\n\n{readme_table()}\n\n{end}{after}"


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(with_table(path.read_text("utf-8")), "utf-8")
