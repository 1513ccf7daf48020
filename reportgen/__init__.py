"""Static HTML reports about trained Keras models.

Only the names in ``__all__`` are promised: what the modules hold beside them may change in any release.
They are imported on first use (PEP 562), so that ``import reportgen`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from reportgen.version import __version__

if TYPE_CHECKING:
    from reportgen.build import build_report
    from reportgen.errors import ReportgenError
    from reportgen.page.folder import ReportFolder
    from reportgen.report.model import Report
    from reportgen.settings import BuildOptions

_HOMES = {
    "BuildOptions": "reportgen.settings",
    "Report": "reportgen.report.model",
    "ReportFolder": "reportgen.page.folder",
    "ReportgenError": "reportgen.errors",
    "build_report": "reportgen.build",
}

__all__ = [
    "BuildOptions",
    "Report",
    "ReportFolder",
    "ReportgenError",
    "__version__",
    "build_report",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'reportgen' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
