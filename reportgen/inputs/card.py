"""Read a model card: YAML of known keys, whose values are texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from reportgen.errors import CardError
from reportgen.files import read_regular, reason_of
from reportgen.report.card import TITLES, ModelCard
from reportgen.settings import MAX_CARD_BYTES
from reportgen.wording import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    import yaml


def read_card(path: Path) -> ModelCard:
    """Return the card that a YAML file holds.

    Values stay as they are written: ``1.10`` is no number and ``no`` no switch. Aliases are refused, since ten
    lines of them make a gigabyte.

    Raises:
        CardError: no readable YAML of a mapping, an alias, an unknown key, or a value that is no text.
    """
    import yaml

    try:
        text = read_regular(path, MAX_CARD_BYTES).decode("utf-8-sig")
        node = _composer()(text).get_single_node()
        if node is not None and not isinstance(node, yaml.MappingNode):
            raise CardError(f"{path}: a model card is a mapping, as in 'intended_use: …'.")
        return _card(path, node)
    except OSError as error:
        raise CardError(f"{path} cannot be read: {reason_of(error)}.") from None
    except UnicodeDecodeError:
        raise CardError(f"{path} is no text in UTF-8.") from None
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        said = " ".join(filter(None, (error.context, error.problem)))
        raise CardError(f"{path}{where}: {said}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CardError(f"{path} is no YAML: {' '.join(str(error).split())[:200]}.") from None


def _composer() -> type[yaml.SafeLoader]:
    """Return a reader of YAML that knows texts, lists and mappings alone, and no aliases."""
    import yaml

    class Composer(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - read, never changed

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()  # type: ignore[no-untyped-call]
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                problem = "anchors and aliases are not taken"
                raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
            return super().compose_node(parent, index)

    return Composer


def _card(path: Path, node: Any) -> ModelCard:
    said: dict[str, tuple[str, ...]] = {}
    for key_node, value_node in node.value if node is not None else ():
        key = str(key_node.value) if isinstance(key_node.value, str) else "?"
        where = f"{path}, line {key_node.start_mark.line + 1}"
        if key not in TITLES:
            known = ", ".join(TITLES)
            near = did_you_mean(key, TITLES)
            raise CardError(f"{where}: unknown key {key[:80]!r}{near or '.'} The keys are {known}.")
        if key in said:
            raise CardError(f"{where}: {key} stands there twice.")
        said[key] = _texts(value_node, f"{where}: {key}")
    try:
        return msgspec.convert(said, ModelCard)
    except msgspec.ValidationError as error:
        raise CardError(f"{path}: {error}.") from None


def _texts(node: Any, where: str) -> tuple[str, ...]:
    """Return a text's paragraphs, or the texts of a list."""
    import yaml

    if isinstance(node, yaml.ScalarNode):
        parts = str(node.value).split("\n\n")
        return tuple(" ".join(part.split()) for part in parts if part.strip())
    if isinstance(node, yaml.SequenceNode):
        items = [item.value for item in node.value if isinstance(item, yaml.ScalarNode)]
        if len(items) == len(node.value):
            return tuple(" ".join(item.split()) for item in items if item.strip())
    raise CardError(f"{where} takes a text, or a list of texts.")
