"""A report to an object store: built whole in a folder here, then sent, ``index.html`` last.

A store replaces one file at a time, whole. So pictures come first, under names that are hashes, then the texts,
then the page; what the page before showed and nothing shows any more is removed when the new one stands.
Stores have no locks: of two builds that send to one place at once the later page stands, and may lack pictures.
"""

from __future__ import annotations

import contextlib
import mimetypes
import shutil
import tempfile
import weakref
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from reportgen.addresses import is_address, parse_address
from reportgen.errors import OutputError, ReportgenError
from reportgen.page.output import (
    begins_our_card,
    begins_our_page,
    begins_our_report,
    is_page,
)
from reportgen.page.publish import ASSETS, is_asset, named_by_content, shown_assets
from reportgen.report.model import CARD_MD, INDEX_HTML, REPORT_JSON, SINGLE_HTML, SUMMARY_MD
from reportgen.stores import Store
from reportgen.wording import bytes_text, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reportgen.addresses import Address
    from reportgen.context import Progress
    from reportgen.settings import Settings

_HEAD = 2_000
_PAGE = 64 * 2**20
"""Bytes of an old page that are read for the names of its pictures."""
_STYLES = {".css", ".js"}


class Outbox:
    """Where a report is written here: what the user named, or a folder to send from.

    Args:
        output: as ``build_report`` takes it.

    Attributes:
        local: what is written to.
        address: where that is sent; None where it stays.
    """

    def __init__(self, output: str | Path | None) -> None:
        self.local: str | Path | None = output
        self.address: Address | None = None
        if not is_address(output):
            return
        self.address = parse_address(str(output))
        place = tempfile.mkdtemp(prefix="reportgen-")
        self.remove = weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)
        self.local = Path(place).resolve() / self.address.name

    @property
    def url(self) -> str | None:
        """The address of what is sent, None where it stays."""
        return str(self.address) if self.address is not None else None


@contextlib.contextmanager
def outgoing(output: str | Path | None, settings: Settings, progress: Progress) -> Iterator[Outbox]:
    """Give where to write a report, and send it when the block ends without an error.

    What stands at the address is looked at first, so that nobody waits for a build that goes nowhere. The copy
    that is sent from lives as long as the outbox.

    Raises:
        OutputError: something else stands there, or the store fails.
    """
    outbox = Outbox(output)
    if outbox.address is None:
        yield outbox
        return
    try:
        single, card = settings.single_file, settings.card is not None
        check_target(outbox.address, force=settings.force, single=single, card=card)
        yield outbox
        send(Path(str(outbox.local)), outbox.address, progress)
    except BaseException as error:
        if isinstance(error, ReportgenError):
            error.args = (
                str(error).replace(str(outbox.local), str(outbox.address)),
                *error.args[1:],
            )
        outbox.remove()
        raise


def check_target(
    address: Address, *, force: bool, single: bool = False, card: bool = False
) -> None:
    """Refuse to write over what is no report, as in a folder of this machine.

    Raises:
        OutputError: something else stands there, or the store fails.
    """
    store = Store(address, OutputError)
    kind = store.kind(address)
    with store.asked(address):
        if not kind and store.lacks_bucket(address):
            raise OutputError(f"{address}: there is no such bucket.")
    if is_page(PurePosixPath(address.path)):
        if kind == "directory":
            raise OutputError(f"{address} is a folder; a name that ends in .html is a file.")
        if kind and not force and not begins_our_page(store.begin(address, _HEAD) or b""):
            raise OutputError(f"{address} is no page of reportgen: move it away.")
        return
    if kind == "file":
        raise OutputError(f"{address} is a file; -o takes a folder.")
    names = set(store.within(address)) - {".DS_Store"}
    report = store.begin(address / REPORT_JSON, _HEAD) if REPORT_JSON in names else None
    ours = report is not None and begins_our_report(report[:200])
    if names and not (force or ours or _is_left_behind(store, address, names)):
        raise OutputError(
            f"{address} is not empty and no report of reportgen. Choose another folder, or pass --force to "
            "write the report beside what is there."
        )
    if SINGLE_HTML in names and single and not force:
        check_target(address / SINGLE_HTML, force=False)
    if CARD_MD in names and card and not force:
        head = store.begin(address / CARD_MD, _HEAD)
        if head is not None and not begins_our_card(head):
            raise OutputError(f"{address / CARD_MD} was not written by reportgen: move it away.")


def _is_left_behind(store: Store, address: Address, names: set[str]) -> bool:
    """Tell whether all that is there are pictures of a first report that was killed while it was sent."""
    return names == {ASSETS} and all(map(is_asset, store.within(address / ASSETS)))


def send(local: Path, address: Address, progress: Progress) -> None:
    """Send a report, or a page that is one file.

    Raises:
        OutputError: the store fails; the page that stood there stands, with all that it shows.
    """
    mimetypes.add_type(
        "image/webp", ".webp"
    )  # Python 3.11 and 3.12 do not count it among the known
    store = Store(address, OutputError)
    if local.is_file():
        progress.stage(f"Sending one page, {bytes_text(local.stat().st_size)}, to {address}")
        store.put(address.parent, [address.name], local.parent)
        return
    assets = sorted(path.name for path in (local / ASSETS).iterdir())
    texts = [n for n in (REPORT_JSON, SUMMARY_MD, CARD_MD, SINGLE_HTML) if (local / n).is_file()]
    pictures = sum(Path(name).suffix not in _STYLES for name in assets)
    size = sum(path.stat().st_size for path in local.rglob("*") if path.is_file())
    progress.stage(
        f"Sending {plural(pictures, 'picture')} and the page, {bytes_text(size)}, to {address}",
        len(assets) + len(texts) + 1,
    )
    shown = shown_assets(store.begin(address / INDEX_HTML, _PAGE) or b"")
    before = {*(f"{ASSETS}/{n}" for n in store.within(address / ASSETS)), *store.within(address)}
    names = [*(f"{ASSETS}/{name}" for name in assets), *texts]
    try:
        store.put(address, names, local)
    except BaseException:
        _take_back(store, address, [name for name in names if name not in before])
        raise
    progress.advance(len(names))
    store.put(address, [INDEX_HTML], local)  # where this fails, nobody knows which page stands
    progress.advance()
    _tidy(store, address, shown - set(assets), before - set(texts), progress)


def _tidy(
    store: Store, address: Address, unshown: set[str], before: set[str], progress: Progress
) -> None:
    """Remove what the page before showed and nothing shows any more; the report stands without that too."""
    try:
        stale = []
        for name in sorted(unshown):
            held = store.begin(address / ASSETS / name, _PAGE)
            if held is not None and named_by_content(name, held):
                stale.append(f"{ASSETS}/{name}")
        for name, ours in ((CARD_MD, begins_our_card), (SINGLE_HTML, begins_our_page)):
            if name in before and ours(store.begin(address / name, _HEAD) or b""):
                stale.append(name)
        store.remove(address, stale)
    except OutputError as error:
        progress.stage(f"What no page shows any more could not be removed: {error}")


def _take_back(store: Store, address: Address, names: list[str]) -> None:
    """Remove what was sent and is shown by no page; each as far as the store lets us."""
    for name in names:
        with contextlib.suppress(OutputError):
            store.remove(address, [name])
