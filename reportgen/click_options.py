"""The options of the table as click declares them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reportgen.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reportgen.options import Option

    Command = Callable[..., Any]


def options(
    *names: str, table: Mapping[str, Option] = OPTIONS, **changed: Any
) -> Callable[[Command], Command]:
    """Add options of the table to a command.

    Args:
        names: of the options, in the order of the help.
        table: that declares them.
        changed: what differs here from the table.
    """

    def add(command: Command) -> Command:
        for name in reversed(names):
            command = _clicked(table[name]._replace(**changed))(command)
        return command

    return add


def _clicked(option: Option) -> Callable[[Command], Command]:
    """Return an option as click declares it."""
    about = f"{option.sentence()}.".replace("`", "")
    if option.default:
        about += f"  [default: {option.default.replace('`', '')}]"
    short = (f"-{option.short}",) if option.short else ()
    if option.kind == "switch":
        switch = f"{option.flag}/{option.opposite}"
        return click.option(option.name, *short, switch, default=option.on, help=about)
    types = {"whole": int, "number": float, "choice": click.Choice(option.choices)}
    return click.option(
        option.name,
        *short,
        option.flag,
        type=types.get(option.kind, str),
        multiple=True,
        callback=None if option.several else _once,
        metavar=option.metavar or None,
        help=about,
    )


def _once(_context: click.Context, parameter: click.Parameter, values: tuple[Any, ...]) -> Any:
    """Return the one value of an option; click would take the last of several, and say nothing."""
    if len(values) > 1:
        raise click.BadParameter("it is given twice, and takes one value.", param=parameter)
    return values[0] if values else None


def typed(given: dict[str, Any]) -> dict[str, Any]:
    """Return what stands on the command line: a switch that is off there counts, a default does not."""
    context = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    return {n: v for n, v in given.items() if context.get_parameter_source(n) is not default}
