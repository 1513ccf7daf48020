"""Why a stored configuration cannot be migrated."""

from __future__ import annotations


class MigrationError(Exception):
    """Keras 3 has nothing that answers as the old layer does; the text names the layer and says what."""
