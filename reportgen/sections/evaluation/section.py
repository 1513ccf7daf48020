"""How good the network is on a whole data set: metrics, calibration, and the images that it gets wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen.errors import DataError, NotApplicable
from reportgen.inputs.images import orientation_text
from reportgen.observe import Collected, SectionMaker
from reportgen.report.content.evaluation import (
    Classified,
    EvaluationContent,
    Labelled,
    OutputEvaluation,
    Regressed,
    Segmented,
)
from reportgen.report.leaves import Notice
from reportgen.sections.evaluation.decisions import DecisionFold, classified
from reportgen.sections.evaluation.examples import with_examples
from reportgen.sections.evaluation.folds import About, EvaluationFold
from reportgen.sections.evaluation.labelled import LabelFold, labelled
from reportgen.sections.evaluation.masks import MaskFold, segmented
from reportgen.sections.evaluation.orientation import turned
from reportgen.sections.evaluation.quantities import QuantityFold, regressed
from reportgen.wording import number_text, percent_text

if TYPE_CHECKING:
    from reportgen.context import Context
    from reportgen.inputs.dataset import DataSet
    from reportgen.network.samples import Sample
    from reportgen.network.tasks import Task
    from reportgen.sections.evaluation.folds import OutputFold

_FOLDS: dict[str, type[OutputFold]] = {
    "classification": DecisionFold,
    "binary": DecisionFold,
    "multilabel": LabelFold,
    "regression": QuantityFold,
    "segmentation": MaskFold,
}


def fold(context: Context) -> EvaluationFold:
    """Return the fold of every output that has labels.

    Raises:
        NotApplicable: there is no data set, or no metric for this kind of output.
        DataError: the labels are of outputs that the network does not have.
    """
    if context.data is None:
        raise NotApplicable(
            "No data set was given: --data PATH says how good the network is, on a folder of class folders, "
            "a folder of images with a folder of masks beside it, a CSV of file,label, an .npz with x and y, "
            "or .tar, .tfrecord and .parquet files."
        )
    data = context.data.set
    tasks = _labelled_tasks(context, data)
    folds = [
        _FOLDS[task.kind](_about(context, data, task)) for task in tasks if task.kind in _FOLDS
    ]
    if not folds:
        raise NotApplicable(f"There is no metric for outputs of the kind {tasks[0].kind}.")
    return EvaluationFold(folds)


def _labelled_tasks(context: Context, data: DataSet) -> list[Task]:
    """Return the tasks that the labels speak of: those they name, else the first."""
    outputs = [task.output for task in context.tasks]
    named = [name for name in data.label_names if name in outputs]
    if not named and len(outputs) > 1 and data.label_names:
        raise DataError(
            f"--data: the labels are called {', '.join(data.label_names)}; the outputs are called "
            f"{', '.join(outputs)}."
        )
    return [task for task in context.tasks if task.output in named] or [context.tasks[0]]


def _about(context: Context, data: DataSet, task: Task) -> About:
    facts = context.network.facts.output(task.output)
    settings = context.settings
    classes = context.class_names(task)
    return About(task, facts, classes, settings.threshold, data.name, settings.resize, {})


def collect(context: Context, _observed: Any) -> Collected:
    """Return the metrics of the data set."""
    seen = context.folds.get("evaluation")
    if context.data is None or seen is None:
        raise NotApplicable(f"No {context.sample.one} of the data set was evaluated.")
    data = context.data.set
    for one in seen.outputs:
        if not one.images:
            many = context.sample.counted(one.unlabelled)
            raise DataError(f"--data: none of the {many} has a label for {one.about.task.output}.")
    results = [
        OutputEvaluation(
            one.about.task.output, one.non_finite, _result(context, one), one.unlabelled
        )
        for one in seen.outputs
    ]
    images = seen.outputs[0].images + seen.outputs[0].unlabelled
    content = EvaluationContent(
        output=results[0].output,
        images=seen.outputs[0].images,
        total=images + data.broken_count,
        broken_count=data.broken_count,
        broken=tuple(_told(context, data)),
        non_finite=results[0].non_finite,
        result=results[0].result,
        others=tuple(results[1:]),
        turned=turned(context, seen),
        unlabelled=results[0].unlabelled,
    )
    return Collected(content, sentence(content, context.sample), tuple(_notices(context, content)))


def _told(context: Context, data: DataSet) -> list[str]:
    if context.settings.hide_names:
        return ["a file"] * len(data.broken)
    return [f"{data.name(one.place)}: {one.reason}" for one in data.broken]


def _result(context: Context, one: OutputFold) -> Any:
    store = context.tools.store
    result: Any = None
    if isinstance(one, DecisionFold):
        result = classified(one, store)
    elif isinstance(one, LabelFold):
        return labelled(one)
    elif isinstance(one, QuantityFold):
        result = regressed(one, store, context.sample)
    elif isinstance(one, MaskFold):
        result = segmented(one)
    return with_examples(context, one, result)


def sentence(content: EvaluationContent, sample: Sample) -> str:
    """Say how good the network is, against what needs no network."""
    first = _said(content.result, sample.counted(content.images))
    more = [f"{other.output}: {_short(other.result)}" for other in content.others]
    return " ".join([first, *(["Further outputs: " + "; ".join(more) + "."] if more else [])])


def _said(result: Any, on: str) -> str:
    if isinstance(result, Regressed):
        return (
            f"On {on} the mean absolute error is {number_text(result.mae)}; always predicting the "
            f"median has {number_text(result.baseline_mae)}."
        )
    if isinstance(result, Labelled):
        exact_share, accuracy = percent_text(result.exact), percent_text(result.accuracy)
        return f"All labels are correct on {exact_share} of {on}; {accuracy} of all decisions are correct."
    if isinstance(result, Segmented):
        return (
            f"On {on} the mean intersection over union is {number_text(result.mean_iou)}; "
            f"{percent_text(result.accuracy)} of all pixels are correct; always predicting the largest "
            f"class reaches {percent_text(result.majority)}."
        )
    low, high = (percent_text(value) for value in result.interval)
    return (
        f"{percent_text(result.accuracy)} of {on} are correct (95 % interval {low} to {high}); always "
        f"predicting the largest class reaches {percent_text(result.majority)}, chance "
        f"{percent_text(result.chance)}."
    )


def _short(result: Any) -> str:
    if isinstance(result, Regressed):
        return f"mean absolute error {number_text(result.mae)}"
    if isinstance(result, Segmented):
        return f"mean intersection over union {number_text(result.mean_iou)}"
    if isinstance(result, Classified):
        return f"{percent_text(result.accuracy)} right"
    return f"{percent_text(result.accuracy)} of all decisions right"


def _notices(context: Context, content: EvaluationContent) -> list[Notice]:
    notices = []
    if content.broken_count:
        first = "; ".join(content.broken[:3])
        many = context.sample.counted(content.total)
        text = f"{content.broken_count} of {many} could not be read and are left out: {first}."
        notices.append(Notice("warning", text))
    if context.data and (tagged := len(context.data.set.tagged)):
        text = orientation_text(tagged, context.settings.orientation)
        notices.append(Notice("info", text))
    judged = (
        OutputEvaluation(content.output, content.non_finite, content.result, content.unlabelled),
        *content.others,
    )
    for one, seen in zip(judged, context.folds["evaluation"].outputs, strict=True):
        if one.non_finite:
            many = context.sample.counted(one.non_finite)
            text = f"{one.output} is NaN or infinity for {many}, which count as wrong."
            notices.append(Notice("warning", text))
        if one.unlabelled:
            have = "has" if one.unlabelled == 1 else "have"
            text = f"{context.sample.counted(one.unlabelled)} {have} no label for {one.output}: left out"
            names = [seen.about.named(place) for place in seen.without]
            text = f"{text} ({', '.join(names)}{', …' if one.unlabelled > len(names) else ''})."
            notices.append(Notice("warning", text))
        if isinstance(one.result, Segmented) and one.result.resized:
            text = (
                f"{one.result.resized} masks were fitted to {one.output}, taking the nearest pixel."
            )
            notices.append(Notice("info", text))
    outputs = {one.output for one in judged}
    left = [task.output for task in context.tasks if task.output not in outputs]
    if left:
        text = f"{content.output} is evaluated; the labels say nothing of {', '.join(left)}."
        if content.others:
            text = f"The labels say nothing of {', '.join(left)}."
        notices.append(Notice("info", text))
    return notices


SECTION = SectionMaker("evaluation", "Evaluation", collect, fold=fold, after=("relevance",))
