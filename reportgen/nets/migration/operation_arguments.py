"""The stored arguments of a call of TensorFlow's functions, taken one by one; what nobody takes is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.nets.migration.errors import OperationError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Made(NamedTuple):
    """What takes the place of a function.

    Attributes:
        operation: its module and class, as in ``numpy.Add``.
        options: it is made with.
        more: it is called on, behind the first argument.
    """

    operation: str
    options: Mapping[str, Any] = {}
    more: tuple[Any, ...] = ()


class Arguments:
    """The stored arguments of a call by their names in TensorFlow, without the first one.

    Args:
        given: by name; ``name`` and what is None say nothing.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = {k: v for k, v in given.items() if v is not None and k != "name"}

    def tensor(self, name: str) -> Any:
        """Take a tensor as it was stored, or a constant as Keras 3 writes it.

        Raises:
            OperationError: there is none.
        """
        if name not in self._given:
            raise OperationError(f"is called without {name}")
        found = self._given.pop(name)
        return found[:3] if is_reference(found) else constant(found)

    def value(self, name: str, default: Any = None) -> Any:
        """Take a plain value.

        Raises:
            OperationError: it is computed by the network.
        """
        found = self._given.pop(name, default)
        if holds_reference(found):
            raise OperationError(f"is called with a computed {name}")
        return found

    def whole(self, name: str, default: Any = None) -> Any:
        """Take a whole number, or a list of such.

        Raises:
            OperationError: it is none.
        """
        found = self.value(name, default)
        held = found if isinstance(found, list) else [found]
        if not all(map(is_whole, held)):
            raise OperationError(f"is called with {name}={str(found)[:40]}")
        return found

    def axis(self, default: Any = None) -> Any:
        """Take ``axis``: a whole number, a list of such, or nothing."""
        return self.whole("axis", default) if "axis" in self._given else default

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Take what is true or false."""
        return bool(self.value(name, default))

    def only(self, name: str, *allowed: Any) -> None:
        """Take an argument that may have some values only.

        Raises:
            OperationError: it has another one.
        """
        found = self.value(name)
        if found is not None and found not in allowed:
            raise OperationError(f"is called with {name}={str(found)[:40]}")

    def off(self, *names: str) -> None:
        """Take arguments that must not be true.

        Raises:
            OperationError: one is.
        """
        for name in names:
            if self.value(name):
                raise OperationError(f"is called with {name}")

    def end(self) -> None:
        """Check that nothing is left.

        Raises:
            OperationError: an argument is, which no rule knows.
        """
        if self._given:
            raise OperationError(f"is called with {next(iter(self._given))[:40]!r}")


def is_reference(node: Any) -> bool:
    """Tell a layer's name, the number of its call and of its tensor."""
    return (
        isinstance(node, list)
        and len(node) >= 3
        and isinstance(node[0], str)
        and all(map(is_whole, node[1:3]))
    )


def holds_reference(node: Any) -> bool:
    """Tell whether a tensor of the network stands anywhere in a value."""
    if is_reference(node):
        return True
    if isinstance(node, dict):
        return any(holds_reference(item) for item in node.values())
    return isinstance(node, list) and any(holds_reference(item) for item in node)


def constant(value: Any) -> Any:
    """Write a constant as Keras 3 does: a number as it is, numbers in lists as an array.

    Raises:
        OperationError: it is neither.
    """
    if isinstance(value, int | float):
        return value
    kinds = _kinds(value)
    if not kinds or not kinds <= {bool, int, float} or (bool in kinds and len(kinds) > 1):
        raise OperationError(f"is called on {str(value)[:40]!r}")
    dtype = "float32" if float in kinds else "bool" if bool in kinds else "int32"
    return {"class_name": "__numpy__", "config": {"value": value, "dtype": dtype}}


def _kinds(value: Any) -> set[type]:
    """Return the kinds of the values in nested lists."""
    if isinstance(value, list):
        return set().union(*map(_kinds, value))
    return {type(value)}


def is_whole(value: Any) -> bool:
    """Tell a whole number, which true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)
