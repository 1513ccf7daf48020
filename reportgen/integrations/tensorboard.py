"""A report in TensorBoard: numbers, summary and pictures (``pip install 'keras-reportgen[tensorboard]'``)."""

from __future__ import annotations

import contextlib
import io
import logging
import time
from typing import TYPE_CHECKING, Any

from PIL import Image

from reportgen.errors import OutputError
from reportgen.files import reason_of
from reportgen.integrations.tracked import as_folder, check_is_folder, extra, tracked
from reportgen.page.publish import picture_reader
from reportgen.page.render import summary_text
from reportgen.page.view import make_view
from reportgen.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reportgen.integrations.tracked import Tracked
    from reportgen.page.folder import ReportFolder

PICTURES = 8

log = logging.getLogger("reportgen")


def log_report(
    report: ReportFolder | str | Path, log_dir: str | Path, step: int = 0, name: str = "reportgen"
) -> None:
    """Write a report to a folder of TensorBoard's logs.

    Scalars are the numbers of ``reportgen.integrations.tracked.tracked`` as ``NAME/accuracy``; the text
    ``NAME/summary`` is summary.md; the images ``NAME/probe/1`` … are the probes as the first screen shows them.
    Where ``--meta`` gives numbers, they are hyperparameters, with everything else that it says.

    Args:
        report: a report folder, by its path or as ``build_report`` returned it.
        log_dir: of one run.
        step: as in ``tf.summary``: the epoch, for several reports of one run.
        name: in front of every tag.

    Raises:
        UsageError: the report is a page alone.
        ReportError: the report cannot be read.
        OutputError: the log cannot be written.
        ReportgenError: TensorBoard is not installed.
    """
    folder = as_folder(report)
    check_is_folder(folder.path)
    writer_of, event_of = _imported()
    found = tracked(folder.report)
    pictures = list(_pictures(folder))
    log.info("Writing %s and the numbers to %s", plural(len(pictures), "picture"), log_dir)
    try:
        writer = writer_of(str(log_dir))
        with contextlib.closing(writer):
            for summary in _summaries(folder, found, pictures, name):
                writer.add_event(event_of(wall_time=time.time(), step=step, summary=summary))
    except OSError as error:
        raise OutputError(f"The log {log_dir} cannot be written: {reason_of(error)}.") from None


def _summaries(
    folder: ReportFolder, found: Tracked, pictures: list[tuple[str, bytes, int, int]], name: str
) -> Iterator[Any]:
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.plugins.scalar.summary import scalar_pb
    from tensorboard.plugins.text.summary import text_pb

    for key, value in found.numbers.items():
        yield scalar_pb(f"{name}/{key}", value)
    yield text_pb(f"{name}/summary", summary_text(folder.report, folder.look, html=False))
    for tag, png, width, height in pictures:
        yield _image(f"{name}/{tag}", png, width, height)
    meta = {
        key.removeprefix("meta/"): _number(text)
        for key, text in found.texts.items()
        if key.startswith("meta/")
    }
    if any(isinstance(value, float) for value in meta.values()):
        yield hparams_pb(meta)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _pictures(folder: ReportFolder) -> Iterator[tuple[str, bytes, int, int]]:
    """Yield tag, PNG, width and height of the pictures of the first screen: TensorBoard shows no WebP."""
    read = picture_reader(folder.path)
    cards = make_view(folder.report).probes
    shown = [card for card in cards if card.picture and not card.picture.left_out]
    for card in shown[:PICTURES]:
        if card.picture is None or not card.picture.src.endswith((".png", ".webp")):
            continue
        with Image.open(io.BytesIO(read(card.picture.src.rpartition("/")[2]))) as image:
            held = io.BytesIO()
            image.convert("RGB").save(held, "PNG")
            yield f"probe/{card.number + 1}", held.getvalue(), image.width, image.height


def _image(tag: str, png: bytes, width: int, height: int) -> Any:
    """Return a summary of one image, as ``tf.summary.image`` writes it."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.image import metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    texts = [str(width).encode(), str(height).encode(), png]
    made = Summary()
    made.value.add(
        tag=tag,
        tensor=make_tensor_proto(texts),
        metadata=metadata.create_summary_metadata(display_name="", description=""),
    )
    return made


def _imported() -> tuple[Any, Any]:
    with extra("tensorboard", "TensorBoard"):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    return EventFileWriter, Event
