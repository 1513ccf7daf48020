"""Make one report, as the line on standard input says: the program of a child process.

    python -P child.py < line.json

It ends when its parent does. Where the report was made it writes the exit code of ``build`` into ``result``;
otherwise the last line on stderr is the reason.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def main() -> int:
    """Make the report and return what the process exits with."""
    import json

    from reportgen.children import end_with_parent
    from reportgen.errors import ReportgenError, error_text, without_folders

    given = json.loads(sys.stdin.buffer.readline())
    end_with_parent()
    try:
        code = _build(given)
    except ReportgenError as error:
        sys.stderr.write(f"\n{without_folders(' '.join(str(error).split()))}\n")
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - one report's failure is a line of the journal
        sys.stderr.write(f"\n{error_text(error)}\n")
        return 1
    Path(given["result"]).write_text(str(code), "ascii")
    return 0


def _build(given: dict[str, Any]) -> int:
    """Build as the command line does, and return the exit code of that."""
    from reportgen.errors import UsageError, worst
    from reportgen.terminal import quieten
    from reportgen.version import __version__

    if given["version"] != __version__:
        raise UsageError(f"the worker has reportgen {__version__}, and not {given['version']}.")
    options = given["options"]
    options["probes"] = options.get("probes") or None  # a table takes the defaults' back with []
    quieten(options)
    from reportgen.build import build_report
    from reportgen.configuration import command_text
    from reportgen.findings.judge import Judged

    model = given["model"]
    command = command_text(model, {"history": None, "data": None, **options})
    folder = build_report(model, output=given["output"], command=command, **options)
    report = folder.report
    judged = Judged(report.findings, report.passed, report.not_applicable)
    return worst([3 if folder.failed else 0, 4 if judged.reaches(options.get("fail_on")) else 0])


if __name__ == "__main__":
    sys.path.append(
        str(Path(__file__).parents[2])
    )  # behind all else: where it is installed, that counts
    sys.exit(main())
