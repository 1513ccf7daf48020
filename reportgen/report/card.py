"""The model card: what only its authors know about a model (Mitchell et al. 2019)."""

from __future__ import annotations

from typing import Annotated

import msgspec

Paragraph = Annotated[str, msgspec.Meta(max_length=20_000)]
Text = Annotated[tuple[Paragraph, ...], msgspec.Meta(max_length=200)]
"""Paragraphs of plain text; of several entries one each."""


class ModelCard(msgspec.Struct, frozen=True):
    """A model card; what is empty was not said."""

    version: Text = ()
    authors: Text = ()
    contact: Text = ()
    license: Text = ()
    citation: Text = ()
    intended_use: Text = ()
    out_of_scope: Text = ()
    limitations: Text = ()
    factors: Text = ()
    metrics: Text = ()
    training_data: Text = ()
    evaluation_data: Text = ()
    ethical_considerations: Text = ()
    recommendations: Text = ()
    datasets: Text = ()
    tags: Text = ()

    def texts(self) -> tuple[tuple[str, Text], ...]:
        """Return what was said, with its title, in the order of the page."""
        said = ((title, getattr(self, key)) for key, title in TITLES.items())
        return tuple((title, text) for title, text in said if text)


TITLES = {
    "intended_use": "Intended use",
    "out_of_scope": "Out-of-scope use",
    "limitations": "Limitations",
    "factors": "Factors",
    "metrics": "Metrics",
    "training_data": "Training data",
    "evaluation_data": "Evaluation data",
    "ethical_considerations": "Ethical considerations",
    "recommendations": "Recommendations",
    "authors": "Authors",
    "contact": "Contact",
    "version": "Version",
    "license": "License",
    "citation": "Citation",
    "datasets": "Data sets",
    "tags": "Tags",
}
"""What a card may say, and its heading."""
