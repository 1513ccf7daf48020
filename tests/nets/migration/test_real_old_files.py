"""Old files from the wild open, or say why only what they hold is shown; if ``REPORTGEN_MODELS`` has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reportgen.errors import NotBuiltError
from reportgen.nets.loading import load_model
from reportgen.nets.stored import read_stored
from reportgen.nets.stored_network import StoredNetwork

PLACE = Path(os.environ.get("REPORTGEN_MODELS") or "/nowhere") / "models"
FILES = sorted(path.name for path in (PLACE / "legacy").glob("*")) if PLACE.is_dir() else []
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
