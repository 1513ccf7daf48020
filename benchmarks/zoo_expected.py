"""What a report says of each untrained network of the zoo: tasks, and the rules that find something.

A letter stands for the severity. Every line was judged by hand: a reviewer of an untrained network of this kind
would agree with each finding.
"""

from __future__ import annotations

EXPECTED: dict[str, tuple[str, str]] = {
    "MobileNetV3Small": (
        "classification",
        "E batch-norm-untouched, I activation-growth, I silent-units, W kernel-at-initialisation",
    ),
    "hub/BERT": (
        "classification",
        "W kernel-at-initialisation",
    ),
    "hub/DFine": (
        "tensor tensor tensor tensor tensor tensor tensor tensor",
        (
            "E batch-norm-untouched, I activation-growth, I silent-units, W all-zero-variable, "
            "W kernel-at-initialisation"
        ),
    ),
    "hub/DepthAnything": (
        "image",
        "I silent-units, W kernel-at-initialisation",
    ),
    "hub/EfficientNet": (
        "classification",
        "E batch-norm-untouched, W kernel-at-initialisation",
    ),
    "hub/GPT2": (
        "tensor",
        "W kernel-at-initialisation",
    ),
    "hub/ResNet": (
        "classification",
        "E batch-norm-untouched, I silent-units, W kernel-at-initialisation",
    ),
    "hub/SAM": (
        "tensor regression",
        "I silent-units, W kernel-at-initialisation",
    ),
    "hub/ViT": (
        "classification",
        "W kernel-at-initialisation",
    ),
    "hub/Whisper": (
        "tensor tensor",
        "W kernel-at-initialisation",
    ),
}
"""By network: tasks of its outputs, and findings in the order of their names."""
