"""Addresses in object stores: a closed list of schemes, and nothing in them but names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from reportgen.errors import UsageError

SCHEMES = ("s3", "gs", "az", "abfs", "memory")
"""``memory`` is fsspec's store within this process, for tests and notebooks."""

# A scheme has two letters at least: C:\ and C:/ are drives. A chain names one store before the other.
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)(?P<chain>::.*)?://", re.DOTALL)
_FOLDED = re.compile(rf"({'|'.join(SCHEMES)}):[/\\](?![/\\])")
"""What pathlib makes of an address."""


class Address(NamedTuple):
    """A place in an object store, without anything secret.

    Attributes:
        path: the bucket or container, and what lies in it, between slashes.
    """

    scheme: str
    path: str

    @property
    def name(self) -> str:
        """The last part, as reports show it."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> Address:
        """What holds it."""
        return self._replace(path=self.path.rpartition("/")[0])

    def __truediv__(self, name: str) -> Address:
        """Return what lies below it."""
        return self._replace(path=f"{self.path}/{name}")

    def __str__(self) -> str:
        """Return the address for people and for fsspec."""
        return f"{self.scheme}://{self.path}"


def is_address(value: Any) -> bool:
    """Tell whether a value is text that begins as an address does, also one that is refused.

    Raises:
        UsageError: it was an address before pathlib took it for a path.
    """
    if isinstance(value, Path | str) and _FOLDED.match(str(value)):
        raise UsageError(
            f"{str(value).partition(':')[0]}:/ begins no address: write it with two slashes, and in Python "
            "as text, since a Path keeps one of them."
        )
    return isinstance(value, str) and _ADDRESS.match(value) is not None


def parse_address(text: str) -> Address:
    """Read an address of a store.

    Raises:
        UsageError: another scheme, a chain, a user or password, a query, or a name that is none. What was
            given is not repeated whole, since it may hold a secret.
    """
    match = _ADDRESS.match(text)
    if match is None or match["chain"] or "::" in text:
        raise UsageError("An address names one place in one store: chains with '::' are not taken.")
    scheme, path = match["scheme"].lower(), text[match.end() :].rstrip("/")
    if scheme not in SCHEMES:
        raise UsageError(
            f"Addresses that begin with {scheme}:// are not taken: {', '.join(SCHEMES)} are. Files from "
            "elsewhere are downloaded first."
        )
    parts = path.split("/")
    if "@" in parts[0]:
        raise UsageError(
            f"{scheme}://…@…: an address holds no user, password or account. fsspec finds them in the "
            "environment or in its own configuration."
        )
    if "?" in path or "#" in path or any(ord(letter) < 32 for letter in path):
        raise UsageError(
            f"{scheme}://{parts[0][:63]}/…: an address holds no '?', '#' or line break."
        )
    if {"", ".", ".."} & set(parts):
        raise UsageError(
            f"{scheme}://{path} has a part that is no name: between slashes stands something, but neither '.' "
            "nor '..'."
        )
    return Address(scheme, path)
