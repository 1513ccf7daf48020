"""Why a stored configuration cannot be migrated."""

from __future__ import annotations


class MigrationError(Exception):
    """Keras 3 has nothing that answers as the old layer does; the text names the layer and says what."""


class AssignmentError(MigrationError):
    """The weights of a file do not fit the network that its configuration describes; the text names one."""


class OperationError(MigrationError):
    """A layer calls a function of TensorFlow for which nothing in Keras 3 is known to compute the same."""
