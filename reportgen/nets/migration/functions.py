"""Functions of Keras 2 that Keras 3 computes in another way, exactly as they were."""

from __future__ import annotations

from typing import Any


def keras_2_hard_sigmoid(x: Any) -> Any:
    """Return ``clip(0.2 x + 0.5, 0, 1)``.

    Keras 3's function of the name ``hard_sigmoid`` is ``relu6(x + 3) / 6``, up to 0.07 away. It is the default
    of recurrent layers up to Keras 2.3.

    Args:
        x: tensor of any shape.
    """
    import keras

    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


OLD_FUNCTIONS = {"keras_2_hard_sigmoid": keras_2_hard_sigmoid}
"""By the names that migrated configurations have for them."""
