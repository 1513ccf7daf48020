"""Feature pictures of a published network."""

import os
from pathlib import Path

import reportgen

if "REPORTGEN_MODELS" in os.environ:
    PLACE = Path(os.environ["REPORTGEN_MODELS"])

    def test_pictures_beat_probes_and_noise_on_a_real_network(tmp_path):
        """At least seven of eight units a layer, on the stored pictures under fresh transforms."""
        layers = ("block2a_expand_activation", "block4c_activation")
        if os.environ.get("REPORTGEN_SOAK"):
            layers += ("block3b_add", "block6b_expand_activation")
        made = reportgen.build_report(
            PLACE / "models/efficientnet_lite0.keras",
            probes=PLACE / "images/photos",
            output=tmp_path / "out",
            sections=("features",),
            feature_steps=64,
            cache=tmp_path / "cache",
            units=tuple(f"{layer}:{k}" for layer in layers for k in range(3, 11)),
        )
        units = made.report.sections[0].content.units
        assert len(units) == 8 * len(layers)
        won = [u for u in units if u.achieved[0] > max(u.strongest, u.noise)]
        assert len(won) >= 7 * len(layers)
