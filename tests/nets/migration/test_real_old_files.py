"""Old files from the wild open, or say why only what they hold is shown; if ``REPORTGEN_MODELS`` has them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from reportgen.errors import NotBuiltError
from reportgen.nets.loading import load_model
from reportgen.nets.stored import read_stored
from reportgen.nets.stored_network import StoredNetwork

PLACE = Path(os.environ.get("REPORTGEN_MODELS") or "/nowhere") / "models"
FILES = sorted(path.name for path in (PLACE / "legacy").glob("*")) if PLACE.is_dir() else []
ORACLE = [
    [0.0480817, 0.0821135, 0.0212276, 0.0339785],
    [0.0326478, 0.0390623, 0.0448270, 0.0175344],
]
CODE = {name for name in FILES if "space_to_depth" in name}


if FILES:

    @pytest.mark.parametrize("name", FILES)
    def test_an_old_file_is_migrated_or_says_what_it_needs(name):
        path = PLACE / "legacy" / name
        if name in CODE:
            with pytest.raises(
                NotBuiltError, match=r"'space_to_depth_x2' carries Python code.*--allow-code"
            ):
                load_model(path)
            facts = StoredNetwork(path, read_stored(path), "it carries code").facts
            assert "Lambda" in {layer.class_name for layer in facts.layers}
            return
        loaded = load_model(path)
        assert loaded.origin.way == "migrated"
        assert loaded.origin.version.split(".")[0] == "2"
        stored = StoredNetwork(path, read_stored(path), "asked").facts
        assert stored.parameters == loaded.model.count_params()

    def test_a_saved_model_from_the_wild_is_built_and_answers_as_keras_2_did():
        """The answers are those of tf_keras 2.21 to the same pictures."""
        path = PLACE / "savedmodel" / "mlperf_tiny_kws"
        loaded = load_model(path)
        assert loaded.origin.version == "2.4.0"
        assert loaded.model.count_params() == 24_908
        given = np.random.default_rng(0).normal(size=(2, 49, 10, 1)).astype(np.float32)
        answers = np.asarray(loaded.model(given, training=False))
        np.testing.assert_allclose(answers[:, :4], ORACLE, rtol=1e-3, atol=1e-6)
