"""What a report says of each untrained network of the zoo: tasks, and the rules that find something.

A letter stands for the severity. Every line was judged by hand: a reviewer of an untrained network of this kind
would agree with each finding.
"""

from __future__ import annotations

EXPECTED: dict[str, tuple[str, str]] = {
    "ConvNeXtTiny": ("classification", "W kernel-at-initialisation"),
    "DenseNet121": (
        "classification",
        "E batch-norm-untouched, I silent-units, W kernel-at-initialisation",
    ),
    "EfficientNetB0": ("classification", "E batch-norm-untouched, W kernel-at-initialisation"),
    "EfficientNetV2B0": ("classification", "E batch-norm-untouched, W kernel-at-initialisation"),
    "InceptionResNetV2": (
        "classification",
        "E batch-norm-untouched, I silent-units, W kernel-at-initialisation",
    ),
    "InceptionV3": (
        "classification",
        "E batch-norm-untouched, I silent-units, W kernel-at-initialisation",
    ),
    "MobileNet": (
        "classification",
        "E batch-norm-untouched, I activation-growth, I silent-units, W kernel-at-initialisation",
    ),
    "MobileNetV2": (
        "classification",
        "E batch-norm-untouched, I activation-growth, I silent-units, W kernel-at-initialisation",
    ),
    "MobileNetV3Small": (
        "classification",
        "E batch-norm-untouched, I activation-growth, I silent-units, W kernel-at-initialisation",
    ),
    "NASNetMobile": (
        "classification",
        "E batch-norm-untouched, I silent-units, W kernel-at-initialisation",
    ),
    "ResNet50": (
        "classification",
        "E batch-norm-untouched, I silent-units, W kernel-at-initialisation",
    ),
    "ResNet50V2": (
        "classification",
        "E batch-norm-untouched, I silent-units, W kernel-at-initialisation",
    ),
    "VGG16": ("classification", "I silent-units, W kernel-at-initialisation"),
    "Xception": (
        "classification",
        "E batch-norm-untouched, I silent-units, W kernel-at-initialisation",
    ),
    "hub/ALBERT": ("tensor regression", "W kernel-at-initialisation"),
    "hub/BART": ("tensor tensor", "W kernel-at-initialisation"),
    "hub/BASNet": (
        "segmentation",
        "E batch-norm-untouched, I silent-units, W kernel-at-initialisation",
    ),
    "hub/BERT": ("classification", "W kernel-at-initialisation"),
    "hub/Bloom": ("tensor", "W kernel-at-initialisation"),
    "hub/CLIP": ("tensor tensor", "W kernel-at-initialisation"),
    "hub/CSPDarkNet": ("classification", "E batch-norm-untouched, W kernel-at-initialisation"),
    "hub/DFine": (
        "tensor tensor tensor tensor tensor tensor tensor tensor",
        (
            "E batch-norm-untouched, I activation-growth, I silent-units, W all-zero-variable, "
            "W kernel-at-initialisation"
        ),
    ),
    "hub/DINOv2": ("tensor", "W kernel-at-initialisation"),
    "hub/DINOv3": ("tensor", "W kernel-at-initialisation"),
    "hub/DeBERTaV3": ("tensor", "W kernel-at-initialisation"),
    "hub/DeepLabV3": (
        "segmentation",
        "E batch-norm-untouched, I loss-against-head, I silent-units, W kernel-at-initialisation",
    ),
    "hub/DeiT": ("classification", "W kernel-at-initialisation"),
    "hub/DenseNet": (
        "classification",
        "E batch-norm-untouched, I silent-units, W kernel-at-initialisation",
    ),
    "hub/DepthAnything": ("image", "I silent-units, W kernel-at-initialisation"),
    "hub/DistilBERT": ("tensor", "W kernel-at-initialisation"),
    "hub/EfficientNet": ("classification", "E batch-norm-untouched, W kernel-at-initialisation"),
    "hub/EfficientNetLite": (
        "classification",
        "E batch-norm-untouched, I silent-units, W kernel-at-initialisation",
    ),
    "hub/FNet": ("tensor regression", "W kernel-at-initialisation"),
    "hub/GPT2": ("tensor", "W kernel-at-initialisation"),
    "hub/GPTNeoX": ("tensor", "W kernel-at-initialisation"),
    "hub/Gemma": ("tensor", "W kernel-at-initialisation"),
    "hub/HGNetV2": (
        "classification",
        "E batch-norm-untouched, I activation-growth, I silent-units, W kernel-at-initialisation",
    ),
    "hub/Llama": ("tensor", "W kernel-at-initialisation"),
    "hub/MiT": ("classification", "W kernel-at-initialisation"),
    "hub/Mistral": ("tensor", "W kernel-at-initialisation"),
    "hub/Mixtral": ("tensor", "W kernel-at-initialisation"),
    "hub/MobileNet": (
        "classification",
        "E batch-norm-untouched, I activation-growth, I silent-units, W kernel-at-initialisation",
    ),
    "hub/MobileNetV5": ("classification", "I silent-units, W kernel-at-initialisation"),
    "hub/OPT": ("tensor", "I parameters-in-one-layer, W kernel-at-initialisation"),
    "hub/Qwen3": ("tensor", "W kernel-at-initialisation"),
    "hub/RWKV7": ("tensor", "W kernel-at-initialisation"),
    "hub/ResNet": (
        "classification",
        "E batch-norm-untouched, I silent-units, W kernel-at-initialisation",
    ),
    "hub/ResNetV2": (
        "classification",
        "E batch-norm-untouched, I silent-units, W kernel-at-initialisation",
    ),
    "hub/RetinaNet": (
        "tensor tensor",
        "E batch-norm-untouched, I silent-units, W kernel-at-initialisation",
    ),
    "hub/RoBERTa": ("tensor", "W kernel-at-initialisation"),
    "hub/SAM": ("tensor regression", "I silent-units, W kernel-at-initialisation"),
    "hub/SegFormer": (
        "segmentation",
        "E batch-norm-untouched, I silent-units, W kernel-at-initialisation",
    ),
    "hub/SigLIP": ("tensor tensor", "W kernel-at-initialisation"),
    "hub/Swin": ("classification", "W kernel-at-initialisation"),
    "hub/T5": ("tensor tensor", "I silent-units, W kernel-at-initialisation"),
    "hub/VGG": (
        "classification",
        "I parameters-in-one-layer, I silent-units, W kernel-at-initialisation",
    ),
    "hub/ViT": ("classification", "W kernel-at-initialisation"),
    "hub/ViTDet": ("tensor", "W kernel-at-initialisation"),
    "hub/Whisper": ("tensor tensor", "W kernel-at-initialisation"),
    "hub/XLNet": ("tensor", "W kernel-at-initialisation"),
    "hub/Xception": (
        "classification",
        "E batch-norm-untouched, I silent-units, W kernel-at-initialisation",
    ),
}
"""By network: tasks of its outputs, and findings in the order of their names."""
