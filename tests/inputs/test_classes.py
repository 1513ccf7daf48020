"""Which class a label means: by number never through names, by name in every spelling, and never by chance."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from reportgen.drawing.pictures import MASK_COLOURS
from reportgen.inputs.classes import ClassNames, as_numbers, classes_of, label_of_value, label_text
from reportgen.network.facts import OutputFacts
from reportgen.network.tasks import Task
from reportgen.report.leaves import ProbeLabel

PETS = ("cat", "dog", "guinea pig")


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (np.int64(2), 2),
        (np.uint8(2), 2),
        (2.0, 2),
        (np.float32(1.5), 1.5),
        (True, 1),
        (np.bool_(False), 0),
        (b"dog", "dog"),
        (np.str_("dog"), "dog"),
        ("", ""),
        (np.array([3]), 3),
        (np.array([[3]]), 3),
        (np.array(["dog"]), "dog"),
        (np.array([0, 0, 1, 0]), 2),
        (np.array([0.0, 1.0]), 1),
        (np.array([True, False]), 0),
        ([0, 1, 0], 1),
        (np.array([1, 0, 1]), (0, 2)),
        (np.array([0, 0, 0]), ()),
        (np.array([0.2, 0.5, 0.3]), None),
        (np.array([0, 3, 0]), None),
        (float("nan"), None),
        (None, None),
        (np.zeros((4, 4)), None),
    ],
)
def test_a_label_is_normalised_whatever_holds_it(value, label):
    found = label_of_value(value)
    assert found == label
    assert type(found) is type(label)


@pytest.mark.parametrize(
    ("label", "index"),
    [
        ("dog", 1),
        ("Guinea_Pig", 2),
        (" guinea-pig ", 2),
        (1, 1),
        (2.0, 2),
        ("0", 0),
        ("2.0", 2),
        ("2.5", None),
        ("3", None),
        (3, None),
        (-1, None),
        (1.5, None),
        ("²", None),
        ("٢", None),
        ("wolf", None),
        (None, None),
    ],
)
def test_a_label_means_a_class_by_name_or_number(label, index):
    classes = ClassNames(3, PETS)
    assert classes.index(label) == index
    if label is not None:
        shown = classes.shown(label)
        assert (shown.index, shown.name) == (index, None if index is None else PETS[index])


def test_a_number_never_goes_through_names():
    """Folders called 1, 2 and 3 are numbered 0, 1 and 2."""
    classes = ClassNames(3, ("1", "2", "3"))
    assert [classes.index(k) for k in range(3)] == [0, 1, 2]
    assert [classes.index(text) for text in ("1", "2", "3")] == [0, 1, 2]
    assert classes.index("0") == 0
    assert classes.indices((0, 2)) == {0, 2}
    assert classes.indices("1|3") == {0, 2}


@pytest.mark.parametrize(
    ("labels", "names", "expected", "said"),
    [
        (["0", "1", "2"], ("1", "2", "3"), [0, 1, 2], "the numbers of classes"),
        (["0", "", "2"], ("1", "2", "3"), [0, "", 2], "the numbers of classes"),
        (["0|1", "2"], ("1", "2", "3"), [(0, 1), 2], "the numbers of classes"),
        (["0.0", "1.0"], ("1", "2", "3"), [0, 1], "the numbers of classes"),
        (["1", "2", "1"], ("1", "2", "3"), ["1", "2", "1"], "the names of classes"),
        (["0", "cat"], ("1", "2", "3"), ["0", "cat"], ""),
        (["0", "1"], ("cat", "dog"), ["0", "1"], ""),
        (["0", "1"], (), ["0", "1"], ""),
        ([0, "7", None], ("a", "b"), [0, "7", None], ""),
    ],
)
def test_a_table_of_numbers_that_are_not_all_names_numbers_the_classes(
    labels, names, expected, said
):
    found, text = as_numbers(labels, names)
    assert found == expected
    assert said in text
    assert bool(text) == bool(said)


def test_an_exact_name_beats_one_that_differs_in_case():
    assert ClassNames(2, ("cat", "Cat")).index("Cat") == 1
    assert ClassNames(2, ("cat", "Cat")).index("CAT") is None


def test_two_classes_of_one_name_are_told_apart_by_their_numbers():
    classes = ClassNames(3, ("crane", "crane", "x"))
    assert [classes.name(k) for k in range(3)] == ["crane (0)", "crane (1)", "x"]
    assert classes.index("crane") is None
    assert classes.index(1) == 1


def test_composed_and_decomposed_letters_are_the_same_name():
    composed, parted = (unicodedata.normalize(form, "été") for form in ("NFC", "NFD"))
    assert ClassNames(1, (composed,)).index(parted) == 0
    assert ClassNames(1, (parted,)).index(composed) == 0


def test_numbers_without_names():
    classes = ClassNames(5)
    assert classes.shown(4) == ProbeLabel("4", 4, None)
    assert ClassNames(4).shown(4) == ProbeLabel("4", None, None)
    assert ClassNames(0).shown((0, 2)) == ProbeLabel("0|2")


def test_folders_number_the_classes_only_where_none_is_a_name():
    task = Task("y", "classification", "probabilities", "")
    facts = OutputFacts("y", (None, 3), "float32")
    german = classes_of(task, facts, PETS, ("Hund", "Katze", "Meerschwein"))
    assert [german.index(name) for name in ("Hund", "Katze", "Meerschwein")] == [0, 1, 2]
    assert [german.index(name) for name in PETS] == [0, 1, 2]
    fewer = classes_of(task, facts, PETS, ("Hund", "Katze"))
    assert fewer.index("Katze") is None


def test_names_are_taken_where_they_are_as_many_as_the_classes():
    facts = OutputFacts("y", (None, 1), "float32")
    binary = Task("y", "binary", "probabilities", "")
    assert classes_of(binary, facts, PETS).known == ("negative", "positive")
    assert classes_of(binary, facts, ("ham", "spam")).name(1) == "spam"
    assert classes_of(binary, facts, ()).index("positive") == 1


def test_one_class_has_one_colour_and_the_background_none():
    named = ClassNames(3, ("background", "cat", "dog"))
    assert [named.slot(k) for k in range(3)] == [None, 0, 1]
    things = ClassNames(3, PETS)
    assert [things.slot(k) for k in range(3)] == [0, 1, 2]
    assert [ClassNames(3).slot(k) for k in range(3)] == [None, 0, 1]
    many = ClassNames(len(MASK_COLOURS) + 2)
    assert many.slot(len(MASK_COLOURS) + 1) == 0


def test_several_labels_in_every_spelling():
    classes = ClassNames(3, PETS)
    assert classes.indices("cat|2") == {0, 2}
    assert classes.indices("guinea pig") == {2}
    assert classes.indices("cat|wolf") is None
    assert classes.indices(()) == frozenset()
    assert classes.indices(None) == frozenset()
    assert classes.indices(1) == {1}
    assert label_text((0, 2)) == "0|2"
