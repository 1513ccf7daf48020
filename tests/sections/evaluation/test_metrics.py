"""Metrics against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from reportgen.sections.evaluation import metrics


def drawn(seed, n=400, classes=5):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(classes), n)
    truth = np.array([rng.choice(classes, p=row) for row in p])
    return truth, p, p.argmax(axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_confusion_precision_recall_and_f1(seed):
    truth, _, predicted = drawn(seed)
    predicted[predicted == 4] = 0  # a class that is never predicted
    matrix = metrics.confusion(truth, predicted, 6)  # and one that is never there
    np.testing.assert_array_equal(matrix, sk.confusion_matrix(truth, predicted, labels=range(6)))
    found = metrics.per_class(matrix)
    expected = sk.precision_recall_fscore_support(
        truth, predicted, labels=range(6), zero_division=np.nan
    )
    for mine, theirs in zip(found, expected, strict=False):
        np.testing.assert_allclose(mine, theirs)
    np.testing.assert_array_equal(found.predicted, np.bincount(predicted, minlength=6))


@pytest.mark.parametrize("seed", range(5))
def test_log_loss(seed):
    truth, p, _ = drawn(seed)
    found = metrics.log_loss(p[np.arange(len(truth)), truth])
    assert found == pytest.approx(sk.log_loss(truth, p, labels=range(5)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("digits", [1, 8])
def test_roc_and_average_precision_with_and_without_ties(seed, digits):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, 300)
    score = np.round(rng.normal(truth, 1.5), digits)
    curve = metrics.roc(truth, score)
    assert curve.area == pytest.approx(sk.roc_auc_score(truth, score))
    x, y, _ = sk.roc_curve(truth, score, drop_intermediate=False)
    np.testing.assert_allclose(curve.x, x)
    np.testing.assert_allclose(curve.y, y)
    found = metrics.precision_recall(truth, score)
    assert found.area == pytest.approx(sk.average_precision_score(truth, score))
    precision, recall, _ = sk.precision_recall_curve(truth, score)
    np.testing.assert_allclose(found.y[::-1], precision[:-1])
    np.testing.assert_allclose(found.x[::-1], recall[:-1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("digits", [1, 8])
def test_the_threshold_with_most_right_decisions_is_that_of_a_search(seed, digits):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, 60)
    score = np.clip(np.round(rng.normal(0.4 + 0.2 * truth, 0.2), digits), 0, 1)
    threshold = metrics.most_right(truth, score)
    found = ((score >= threshold) == truth).sum()
    assert found == max(((score >= one) == truth).sum() for one in np.linspace(0, 1, 4001))
    assert digits == 1 or threshold not in score


def test_a_ranking_beats_chance_where_scipy_says_so():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, 2, 50)
        score = rng.normal(0.5 * truth, 1)
        area = sk.roc_auc_score(truth, score)
        positive, negative = score[truth == 1], score[truth == 0]
        p = stats.mannwhitneyu(
            positive, negative, alternative="two-sided", method="asymptotic", use_continuity=False
        ).pvalue
        assert metrics.ranks(area, len(positive), len(negative)) == (p < 0.05 and area > 0.5)
    assert not metrics.ranks(1.0, 0, 5)


@pytest.mark.parametrize("seed", range(5))
def test_errors_of_a_regression(seed):
    rng = np.random.default_rng(seed)
    truth = rng.normal(3, 2, 200)
    predicted = truth + rng.normal(0, 1, 200)
    found = metrics.errors(truth, predicted)
    assert found.mae == pytest.approx(sk.mean_absolute_error(truth, predicted))
    assert found.rmse == pytest.approx(np.sqrt(sk.mean_squared_error(truth, predicted)))
    assert found.median == pytest.approx(sk.median_absolute_error(truth, predicted))
    assert found.r2 == pytest.approx(sk.r2_score(truth, predicted))
    constant = np.full(200, np.median(truth))
    assert found.baseline_mae == pytest.approx(sk.mean_absolute_error(truth, constant))


def test_calibration_against_a_loop():
    rng = np.random.default_rng(3)
    confidence = np.append(rng.uniform(0, 1, 500), [0.0, 1.0, 0.2])
    right = rng.uniform(0, 1, 503) < confidence**2
    total = 0.0
    for k in range(15):
        inside = (confidence > k / 15) & (confidence <= (k + 1) / 15)
        inside |= (k == 0) & (confidence == 0)
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].mean())
            total += inside.sum() / 503 * gap
    found = metrics.calibration(confidence, right)
    assert found.error == pytest.approx(total)
    assert found.counts.sum() == 503


def test_a_perfectly_calibrated_network_has_no_error():
    confidence = np.repeat([0.25, 0.75], 400)
    right = np.concatenate([np.arange(400) % 4 == 0, np.arange(400) % 4 != 0])
    assert metrics.calibration(confidence, right).error == pytest.approx(0)


def test_thinning_keeps_the_ends():
    curve = metrics.Curve(np.arange(1000.0), np.arange(1000.0) ** 2, 0.0)
    x, y = metrics.thinned(curve, 50)
    assert len(x) == 50
    assert (x[0], x[-1], y[-1]) == (0, 999, 999**2)
