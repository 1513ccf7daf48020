"""Why Keras or TensorFlow failed, in one line: their messages bury it in frames, arguments and call stacks."""

from __future__ import annotations

import re

from reportgen.errors import ReportgenError, without_folders

MOST = 300
"""Characters of a cause that are told."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_CALLING = re.compile(r"Exception encountered when calling (?:layer )?\S+[^\n]*\n")
_ARGUMENTS = re.compile(r"\n\s*(?:Arguments received by|Call arguments received by)")
_NODE = re.compile(r"\[\[(?:\{\{function_node [^}]*\}\})?\{\{node ([^}]+)\}\}")


def cause(error: BaseException | None) -> str:
    """Return why something failed: Keras's own sentence, the kind of error, and the layer where that is known.

    Keras puts the call in front and the arguments behind, once for every nested model; TensorFlow puts the
    stack of the trace in front. No folders stand in it, and at most ``MOST`` characters.
    """
    if error is None or isinstance(error, ReportgenError):
        return str(error or "for an unknown reason")
    quoted = isinstance(error, KeyError) and error.args  # whose text is quoted, line ends and all
    text = _COLOUR.sub("", str(error.args[0] if quoted else error)).strip()
    where = next((note for note in getattr(error, "__notes__", ()) if note.startswith("in ")), "")
    if text.startswith("Graph execution error"):
        text, where = _of_graph(text, where)
    for words in ("Exception encountered: ", "Error encountered:"):
        text = text.rsplit(words, 1)[-1].lstrip()
    while match := _CALLING.match(text):
        text = text[match.end() :].lstrip()
    text = _ARGUMENTS.split(text, maxsplit=1)[0]
    kind = type(error).__name__
    line = without_folders(" ".join(text.split()))
    said = f"{kind} {where}".strip()
    if not line:
        return said
    shown = line if len(line) <= MOST else line[: MOST - 1] + "…"
    return f"{shown} ({said})"


def _of_graph(text: str, where: str) -> tuple[str, str]:
    """Return the sentence of a failed graph, which stands in front of the first node, and that node."""
    node = _NODE.search(text)
    lines = [line.strip() for line in text[: node.start() if node else None].splitlines()]
    said = [line for line in lines if line]
    return (said[-1] if said else ""), where or (f"in {node.group(1)}" if node else "")


def noted(error: Exception, layer: str) -> None:
    """Note the layer in which something failed, for ``cause``."""
    if not getattr(error, "__notes__", None):
        error.add_note(f"in the layer {layer!r}")
