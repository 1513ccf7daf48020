"""Report to HTML with Jinja2: pure, without the model, in a tenth of a second."""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import BytecodeCache, FunctionLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from reportgen import wording
from reportgen.findings.judge import SECTION_OF
from reportgen.network.samples import IMAGE
from reportgen.page.card import metadata
from reportgen.page.concerns import by_rule, evidence_target
from reportgen.page.evidence import MOODS, evidence_curves, evidence_sentence, score_curve
from reportgen.page.flow import flow
from reportgen.page.joined import content_of
from reportgen.page.look import INDEX_STATIC, OWN, STATIC, blaming_templates
from reportgen.page.markdown import address_of, markdown, marker, summary_known
from reportgen.page.notes import left_out, notes_markup
from reportgen.page.single import Pictures, checked, data_address, inline
from reportgen.page.sparkline import bars_over_depth, curve_over_depth, sparkline
from reportgen.page.view import answer, given_differs, make_view
from reportgen.report.content.activations import ActivationsContent
from reportgen.report.content.architecture import ArchitectureContent
from reportgen.report.content.evaluation import EvaluationContent
from reportgen.report.content.history import HistoryContent
from reportgen.report.content.overview import OverviewContent
from reportgen.report.content.weights import WeightsContent
from reportgen.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import CodeType

    from jinja2.bccache import Bucket

    from reportgen.network.samples import Sample
    from reportgen.page.joined import ProbeCard
    from reportgen.page.look import Look
    from reportgen.report.content.activations import CallRow
    from reportgen.report.content.architecture import Diagram
    from reportgen.report.content.evaluation import ClassRow
    from reportgen.report.content.relevance import MethodFacts, TargetFacts
    from reportgen.report.content.weights import RoleScale, Variable
    from reportgen.report.model import Report


class _Compiled(BytecodeCache):
    """Keeps templates as they were compiled while the process runs: compiling takes longer than rendering."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if code := self._kept.get((bucket.key, bucket.checksum)):
            bucket.code = code

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code:
            self._kept[bucket.key, bucket.checksum] = bucket.code


_COMPILED = {True: _Compiled(), False: _Compiled()}
"""By whether the templates escape, which stands in what is compiled."""


class Page(NamedTuple):
    """A rendered page.

    Attributes:
        files: the style sheet, script and icon by the name they have in ``assets/``.
    """

    html: str
    files: dict[str, bytes]


def render(report: Report, digest: str, look: Look = OWN) -> Page:
    """Render the page of a report.

    Args:
        report: the data.
        digest: of its report.json, which the page carries.
        look: templates of the user in front of ours.

    Raises:
        TemplateError: one of the user's templates failed.
    """
    beside, files = _beside(look, STATIC)
    return Page(_made("report.html", look, {**_context(report), "digest": digest, **beside}), files)


def render_index(known: dict[str, Any], look: Look = OWN) -> Page:
    """Render the page over many reports.

    Args:
        known: what its template knows.
        look: templates of the user in front of ours.

    Raises:
        TemplateError: one of the user's templates failed.
    """
    beside, files = _beside(look, INDEX_STATIC)
    return Page(_made("index.html", look, {**known, "version": __version__, **beside}), files)


def render_latest(address: str, name: str, look: Look = OWN) -> str:
    """Render a page that leads to a report.

    Args:
        address: of the report's page, relative to this one, as it stands in a link.
        name: of the report.
        look: templates of the user in front of ours.
    """
    return _made("latest.html", look, {"address": address, "name": name, "version": __version__})


def _beside(look: Look, static: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return what a folder's page knows of the files beside it, and those files by name."""
    found = look.static(static)
    names = {key: _asset_name(data, static[key]) for key, data in found.items()}
    files = {names[key]: data for key, data in found.items()}
    if logo := look.logo():
        names["logo"] = _asset_name(*logo)
        files[names["logo"]] = logo[0]
    links = {key: f"assets/{name}" for key, name in names.items()}
    return {"links": links, "inline": None, "logo": links.get("logo", "")}, files


def render_single(
    report: Report, digest: str, read: Callable[[str], bytes], page: str, look: Look = OWN
) -> bytes:
    """Render the page of a report as one file.

    Args:
        report: the data.
        digest: of its report.json, which the page carries.
        read: returns the bytes of a picture by its name in ``assets/``.
        page: the same report's page, as ``render`` gives it.
        look: templates of the user in front of ours.

    Raises:
        OutputError: the file would be larger than viewers show.
        TemplateError: one of the user's templates failed.
    """
    known = {**_context(report), **_within(look), "digest": digest}
    return checked(_made("report.html", look, known, Pictures(read, page)))


def render_short(report: Report, read: Callable[[str], bytes], look: Look = OWN) -> str:
    """Render the first screen and the problems alone, as one file: for a notebook.

    What its links lead to is not there, and they would lead the frame to the notebook: they are plain text.
    """
    page = _made("short.html", look, {**_context(report), **_within(look)}, Pictures(read))
    return re.sub(r'<a((?: class="[^"]*")?) href="#[^"]*"[^>]*>', r"<span\1>", page).replace(
        "</a>", "</span>"
    )


def render_display(report: Report, read: Callable[[str], bytes] | None, look: Look = OWN) -> str:
    """Render what a notebook shows that lets no frame through; without pictures where they cannot be read."""
    context = _context(report)
    pictured = read is not None and any(card.picture for card in context["view"].probes)
    return _made("display.html", look, {**context, "pictured": pictured}, Pictures(read))


def check_templates(look: Look) -> None:
    """Compile the user's templates, so that a mistake is found before the work begins.

    Raises:
        TemplateError: one is none, with its file and line.
    """
    environment = _environment(look)
    with blaming_templates(look):
        for name in look.templates():
            environment.get_template(name)


def compile_templates(look: Look) -> None:
    """Compile what a report is made of, which takes as long as making it does; what fails fails again then."""
    pages, texts = _environment(look), _environment(look, autoescape=False)
    for name in look.own_names():
        if name.endswith(".html") and ("/" in name or name in {"index.html", "report.html"}):
            pages.get_template(name)
        elif name == "summary.md":
            texts.get_template(name)


def _made(name: str, look: Look, known: dict[str, Any], pictures: Pictures | None = None) -> str:
    with blaming_templates(look):
        environment = _environment(look, pictures=pictures, report=known.get("report"))
        return environment.get_template(name).render(**known)


def _within(look: Look) -> dict[str, Any]:
    """Return style, script and logo of a page that is one file."""
    logo = look.logo()
    return {"inline": inline(**look.static()), "logo": data_address(*logo) if logo else ""}


def _context(report: Report) -> dict[str, Any]:
    """Return what the page's templates know beside the environment's functions."""
    view = make_view(report)
    overview, weights = content_of(report, OverviewContent), content_of(report, WeightsContent)
    paths, shown = {card.path for card in view.layers}, {card.number for card in view.probes}
    kinds = {str(section.kind) for section in report.sections}
    variables = {v.path: v for v in weights.variables} if weights else {}
    return {
        "report": report,
        "summary": report.summary,
        "view": view,
        "meta": overview.meta if overview else (),
        "architecture": content_of(report, ArchitectureContent),
        "activations": content_of(report, ActivationsContent),
        "evaluation": content_of(report, EvaluationContent),
        "history": content_of(report, HistoryContent),
        "weight_scales": weights.scales if weights else (),
        "layer_paths": paths,
        "probe_numbers": shown,
        "target": lambda finding: evidence_target(finding, paths, shown, kinds),
        "variable_of": lambda finding: variables.get(finding.where.variable),
    }


def diagram_svg(drawing: Diagram, kind: str) -> str:
    """Return a diagram alone, as it stands in the page.

    Args:
        drawing: the laid-out graph.
        kind: ``overview`` or ``full``.
    """
    macro: Any = _environment(OWN).get_template("parts/diagram.html").module
    return str(macro.diagram(drawing, kind, kind))


def summary_text(report: Report, look: Look = OWN, *, html: bool = True) -> str:
    """Return ``summary.md``: short enough for a comment on a pull request.

    Args:
        report: the data.
        look: templates of the user, and where the report will lie.
        html: whether what renders it lets elements of HTML through.
    """
    with blaming_templates(look):
        made = _environment(look, autoescape=False, report=report).get_template("summary.md")
        text = made.render(**summary_known(report, look.base_url, html=html))
        return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def card_text(report: Report, look: Look = OWN) -> str:
    """Return ``model_card.md`` with the metadata that Hugging Face reads; empty without a card."""
    if report.card is None:
        return ""
    with blaming_templates(look):
        made = _environment(look, autoescape=False, report=report).get_template("model_card.md")
        return made.render(
            report=report,
            summary=report.summary,
            metadata=metadata(report),
            address=address_of(look.base_url),
        )


def _asset_name(data: bytes, name: str) -> str:
    return f"{hashlib.sha256(data).hexdigest()[:20]}.{name.rpartition('.')[2]}"


def _environment(
    look: Look = OWN,
    *,
    autoescape: bool = True,
    pictures: Pictures | None = None,
    report: Report | None = None,
) -> ImmutableSandboxedEnvironment:
    """Return an environment that reaches no file beside the templates and no private attribute."""
    environment = ImmutableSandboxedEnvironment(
        loader=FunctionLoader(look.source),
        autoescape=autoescape,
        bytecode_cache=_COMPILED[autoescape],
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        anchor=anchor,
        bytes=wording.bytes_text,
        count=wording.count_text,
        exact="{:,}".format,
        flags=flags,
        flops=wording.flops_text,
        markdown=markdown,
        marker=marker,
        number=wording.number_text,
        plural=wording.plural,
        short=wording.short_text,
        percent=wording.percent_text,
        shape=wording.size_text,
        tag=tag,
        arrow_heads=arrow_heads,
        two_decimals=two_decimals,
    )
    found = pictures or Pictures()
    environment.globals.update(
        _globals(),
        place_of=found.place_of,
        shared_pictures=lambda: found.shared,
        sample=_sample(report),
    )
    return environment


def _sample(report: Report | None) -> Sample:
    """Return what the report's inputs are called."""
    overview = content_of(report, OverviewContent) if report is not None else None
    return overview.sample if overview is not None else IMAGE


def _globals() -> dict[str, Any]:
    """Return the functions and tables that templates use."""
    return {
        "answer": answer,
        "bar": bar,
        "bars_over_depth": bars_over_depth,
        "by_rule": by_rule,
        "columns": columns,
        "curve_over_depth": curve_over_depth,
        "evidence_curves": evidence_curves,
        "evidence_moods": MOODS,
        "evidence_sentence": evidence_sentence,
        "explained_id": explained_id,
        "flow": flow,
        "left_out": left_out,
        "notes_markup": notes_markup,
        "given_differs": given_differs,
        "method_titles": method_titles,
        "scale_of": scale_of,
        "score_curve": score_curve,
        "section_of": SECTION_OF,
        "shade": shade,
        "share": wording.share_text,
        "spark": spark,
        "worst_first": worst_first,
        "zero_shares": zero_shares,
    }


def anchor(path: str) -> str:
    """Return the id of a layer or variable: characters outside ``[A-Za-z0-9._/-]`` as ``~hex~``, one to one."""
    return re.sub(r"[^A-Za-z0-9._/-]", lambda match: f"~{ord(match[0]):x}~", path)


def tag(part: Any) -> str:
    """Return the kind of a result, one of the closed set that its field may hold."""
    return str(part.__struct_config__.tag)


def arrow_heads(edges: Sequence[str]) -> str:
    """Return the arrow heads of edges (``M x y L x y …``) as one path."""
    heads = []
    for edge in edges:
        points = [tuple(map(float, part.split())) for part in edge[1:].split("L")]
        if len(points) < 2:
            continue
        (x0, y0), (x, y) = points[-2:]
        length = math.hypot(x - x0, y - y0) or 1.0
        ux, uy = 6 * (x - x0) / length, 6 * (y - y0) / length
        left, right = (x - ux - uy / 2, y - uy + ux / 2), (x - ux + uy / 2, y - uy - ux / 2)
        heads.append(f"M{x:g} {y:g}L{left[0]:.0f} {left[1]:.0f}L{right[0]:.0f} {right[1]:.0f}Z")
    return "".join(heads)


_FLAG = re.compile(r"(?<![\w-])(--[a-z][a-z-]*[a-z](?: [A-Z]+\b(?![a-z]))?)")


def flags(text: str) -> Markup:
    """Return a text whose command-line flags stand in one piece: a hyphen is where browsers break lines."""
    parts = _FLAG.split(text)
    flag = Markup('<code class="flag">{}</code>')
    return Markup("").join(flag.format(part) if k % 2 else part for k, part in enumerate(parts))


def spark(variable: Variable, scale: RoleScale) -> Markup:
    """Return a variable's histogram on its role's scale as an inline SVG; all of it is ours."""
    path = sparkline(variable.histogram, scale.low, scale.high)
    span = f"{wording.number_text(variable.min)} to {wording.number_text(variable.max)}"
    zero = 120 * -scale.low / (scale.high - scale.low)
    return Markup(
        '<svg class="spark" viewBox="0 0 120 28" width="120" height="28" role="img" aria-label="{}">'
        '<path class="axis" d="M0 27.5H120"/><path class="zero" d="M{} 0V28"/><path d="{}"/></svg>'
    ).format(escape(f"values {span}"), f"{zero:.1f}", path)


def bar(share: float | None) -> Markup:
    """Return a share in [0, 1] as a horizontal bar; hidden from screen readers, the number stands beside it."""
    return Markup(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="whole" width="100" height="8"/><rect width="{}" height="8"/></svg>'
    ).format(f"{100 * (share or 0):.2f}")


def zero_shares(calls: Sequence[CallRow]) -> list[float]:
    """Return the share of exact zeros of each call."""
    return [call.zeros / call.values if call.values else 0.0 for call in calls]


def explained_id(card: ProbeCard, target: TargetFacts) -> str:
    """Return the id of the evidence for one target of a probe."""
    own = "" if target.role == "predicted" else f"/{target.role}-{target.index}"
    return f"relevance/{card.number}{own}"


def worst_first(rows: Sequence[ClassRow]) -> list[ClassRow]:
    """Return classes by F1, the lowest first; those without images come last."""
    return sorted(rows, key=lambda row: (row.f1 is None, row.f1))


def columns(counts: Sequence[int], width: int, height: int) -> str:
    """Return counts as columns that stand on ``height``, the largest reaching 0, as an SVG path."""
    step, top = width / max(len(counts), 1), max(counts, default=0) or 1
    return "".join(
        f"M{k * step:.1f} {height}V{height * (1 - n / top):.1f}H{(k + 1) * step - 1:.1f}V{height}Z"
        for k, n in enumerate(counts)
        if n
    )


def shade(count: int, whole: int) -> int:
    """Return the shade of a cell of a confusion matrix, 0 to 9."""
    return min(9, math.ceil(9 * count / whole)) if whole and count else 0


def method_titles(methods: Sequence[MethodFacts]) -> dict[str, str]:
    """Return the titles of relevance methods by name."""
    return {method.name: method.title for method in methods}


def two_decimals(value: float | None) -> str:
    """Return a correlation with two decimals; an en dash for none."""
    return "\u2013" if value is None else f"{value:.2f}".replace("-0.00", "0.00")


def scale_of(role: str, scales: Sequence[RoleScale]) -> RoleScale | None:
    """Return the axis that a role's sparklines share."""
    return next((scale for scale in scales if scale.role == role), None)
