"""Addresses of clusters: whether workers there may run elsewhere, and whether anybody listens."""

from __future__ import annotations

import re
import socket

_HERE = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")
_PLACE = re.compile(
    r"(?:[a-z]+://)?(?:\[(?P<bracketed>[^\]]+)\]|(?P<plain>[^:/\[\]]+))(?::(?P<port>\d{1,5}))?/?"
)
_ANSWERS = 10
"""Seconds in which a port answers."""


def is_remote(address: str | None) -> bool:
    """Tell whether workers at an address may run on another machine: at all but loopback."""
    if address is None:
        return False
    match = _PLACE.fullmatch(address)
    host = (match["bracketed"] or match["plain"]) if match else address
    return not _HERE.fullmatch(host)


def check_listening(address: str) -> None:
    """See that somebody listens at an address that names a port.

    Raises:
        OSError: nobody does.
    """
    match = _PLACE.fullmatch(address)
    if match and match["port"]:
        host = match["bracketed"] or match["plain"]
        socket.create_connection((host, int(match["port"])), _ANSWERS).close()
