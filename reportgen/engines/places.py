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


def is_loopback_alone(address: str) -> bool:
    """Tell whether a cluster at loopback is reached there alone, and not at this machine's own address too.

    Ray takes loopback for that address, where a cluster that was bound to loopback does not answer.
    """
    match = _PLACE.fullmatch(address)
    if is_remote(address) or not match or not match["port"]:
        return False
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            asked.connect(("192.0.2.1", 9))  # sends nothing, but says which address would
            own = asked.getsockname()[0]
        socket.create_connection((own, int(match["port"])), _ANSWERS).close()
    except OSError:
        return True
    return False


def check_listening(address: str) -> None:
    """See that somebody listens at an address that names a port.

    Raises:
        OSError: nobody does.
    """
    match = _PLACE.fullmatch(address)
    if match and match["port"]:
        host = match["bracketed"] or match["plain"]
        socket.create_connection((host, int(match["port"])), _ANSWERS).close()
