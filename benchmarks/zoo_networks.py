"""The networks of ``zoo.py``: each family's smallest, with random weights; nothing is downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import keras_hub
from keras_hub import models

if TYPE_CHECKING:
    from collections.abc import Callable

APPLICATIONS = (
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "NASNetMobile",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "Xception",
)
TRANSFORMER = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}
TEXT = {"vocabulary_size": 100, **TRANSFORMER}
GROUPED = {
    "vocabulary_size": 100,
    "num_layers": 2,
    "num_query_heads": 4,
    "num_key_value_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 32,
}
SMALL = (64, 64, 3)


def _application(name: str) -> Callable[[], keras.Model]:
    sizes = (
        {"input_shape": (224, 224, 3)} if name == "MobileNetV3Small" else {}
    )  # it leaves them open
    return lambda: getattr(keras.applications, name)(weights=None, **sizes)


def _classifier(backbone: Callable[[], keras.Model], name: str, **options: Any) -> keras.Model:
    """Return a task of keras-hub over a backbone, with five classes."""
    return getattr(models, name)(backbone=backbone(), num_classes=5, **options)


def _resnet(image_shape: Any = SMALL, **options: Any) -> keras.Model:
    return models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64, 32, 32],
        stackwise_num_blocks=[2, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        image_shape=image_shape,
        **{"block_type": "basic_block", **options},
    )


def _vgg() -> keras.Model:
    return models.VGGBackbone(
        stackwise_num_repeats=[1, 1, 2], stackwise_num_filters=[8, 8, 16], image_shape=SMALL
    )


def _densenet() -> keras.Model:
    return models.DenseNetBackbone(
        stackwise_num_repeats=[2, 2, 2], growth_rate=4, image_shape=SMALL
    )


def _cspnet() -> keras.Model:
    return models.CSPNetBackbone(
        stem_filters=8,
        stem_kernel_size=3,
        stem_strides=1,
        stackwise_depth=[1, 1, 2],
        stackwise_strides=[1, 2, 2],
        stackwise_num_filters=[8, 16, 16],
        block_type="dark_block",
        stage_type="csp",
        expand_ratio=[2.0, 1.0],
        bottle_ratio=[0.5, 1.0],
        block_ratio=[1.0, 0.5],
        image_shape=SMALL,
    )


def _efficientnet(**options: Any) -> keras.Model:
    return models.EfficientNetBackbone(
        stackwise_width_coefficients=[1.0] * 4,
        stackwise_depth_coefficients=[1.0] * 4,
        stackwise_kernel_sizes=[3, 3, 5, 3],
        stackwise_num_repeats=[1, 2, 1, 1],
        stackwise_input_filters=[8, 8, 16, 16],
        stackwise_output_filters=[8, 16, 16, 24],
        stackwise_expansion_ratios=[1, 4, 4, 6],
        stackwise_strides=[1, 2, 2, 1],
        stackwise_block_types=["v1"] * 4,
        stackwise_force_input_filters=[0] * 4,
        stackwise_nores_option=[False] * 4,
        input_shape=SMALL,
        num_features=32,
        **{"stackwise_squeeze_and_excite_ratios": [0.25] * 4, **options},
    )


def _efficientnet_lite() -> keras.Model:
    return _efficientnet(stackwise_squeeze_and_excite_ratios=[0] * 4, activation="relu6")


def _mobilenet() -> keras.Model:
    return models.MobileNetBackbone(
        stackwise_expansion=[[40, 56], [64, 144]],
        stackwise_num_blocks=[2, 2],
        stackwise_num_filters=[[16, 16], [24, 24]],
        stackwise_kernel_size=[[3, 3], [5, 5]],
        stackwise_num_strides=[[2, 1], [2, 1]],
        stackwise_se_ratio=[[None, None], [0.25, 0.25]],
        stackwise_activation=[["relu", "relu"], ["hard_swish", "hard_swish"]],
        stackwise_padding=[[1, 1], [2, 2]],
        output_num_filters=32,
        depthwise_filters=16,
        depthwise_stride=1,
        depthwise_residual=True,
        last_layer_filter=32,
        image_shape=SMALL,
        squeeze_and_excite=0.5,
    )


def _mobilenet_v5() -> keras.Model:
    return models.MobileNetV5Backbone(
        stackwise_block_types=[["er"], ["uir", "mqa"]],
        stackwise_num_blocks=[1, 2],
        stackwise_num_filters=[[24], [48, 48]],
        stackwise_strides=[[2], [2, 1]],
        stackwise_act_layers=[["relu"], ["relu", "relu"]],
        stackwise_exp_ratios=[[4.0], [6.0, 0.0]],
        stackwise_se_ratios=[[0.0], [0.0, 0.0]],
        stackwise_dw_kernel_sizes=[[0], [5, 3]],
        stackwise_dw_start_kernel_sizes=[[0], [0, 0]],
        stackwise_dw_end_kernel_sizes=[[0], [0, 0]],
        stackwise_exp_kernel_sizes=[[3], [0, 0]],
        stackwise_pw_kernel_sizes=[[1], [0, 0]],
        stackwise_num_heads=[[0], [0, 4]],
        stackwise_key_dims=[[0], [0, 8]],
        stackwise_value_dims=[[0], [0, 8]],
        stackwise_kv_strides=[[0], [0, 1]],
        stackwise_use_cpe=[[False], [False, False]],
        use_msfa=False,
        image_shape=SMALL,
    )


def _mit() -> keras.Model:
    return models.MiTBackbone(
        layerwise_depths=[1, 1, 1, 1],
        num_layers=4,
        layerwise_num_heads=[1, 2, 2, 4],
        layerwise_sr_ratios=[8, 4, 2, 1],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3, 3, 3],
        layerwise_strides=[4, 2, 2, 2],
        image_shape=SMALL,
        hidden_dims=[8, 16, 24, 32],
    )


def _xception() -> keras.Model:
    return models.XceptionBackbone(
        stackwise_conv_filters=[[8, 16], [16, 24], [24, 24]],
        stackwise_pooling=[True, True, False],
        image_shape=SMALL,
    )


def _hgnet(size: Any = SMALL, **options: Any) -> keras.Model:
    return models.HGNetV2Backbone(
        depths=[1, 1, 2, 1],
        embedding_size=8,
        hidden_sizes=[16, 32, 64, 64],
        stem_channels=[3, 8, 8],
        hidden_act="relu",
        use_learnable_affine_block=True,
        stackwise_stage_filters=[
            [8, 8, 16, 1, 3, 3],
            [16, 8, 32, 1, 3, 3],
            [32, 16, 64, 2, 3, 5],
            [64, 16, 64, 1, 3, 5],
        ],
        apply_downsample=[False, True, True, True],
        use_lightweight_conv_block=[False, False, True, True],
        image_shape=size,
        **options,
    )


def _vit() -> keras.Model:
    return models.ViTBackbone(
        image_shape=SMALL, patch_size=16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    )


def _deit() -> keras.Model:
    return models.DeiTBackbone(image_shape=SMALL, patch_size=16, **TRANSFORMER)


def _swin() -> keras.Model:
    return models.SwinTransformerBackbone(
        image_shape=SMALL, embed_dim=8, depths=(2, 2), num_heads=(2, 4), window_size=4
    )


def _vit_det(image_shape: Any = SMALL) -> keras.Model:
    return models.ViTDetBackbone(
        hidden_size=16,
        num_layers=3,
        intermediate_dim=32,
        num_heads=2,
        global_attention_layer_indices=[1],
        image_shape=image_shape,
        patch_size=8,
        num_output_channels=8,
        window_size=3,
    )


def _dino(name: str, side: int = 56, layers: int = 2, **options: Any) -> keras.Model:
    size = {"patch_size": 14, "image_shape": (side, side, 3), "apply_layernorm": True}
    return getattr(models, name)(**{**size, **TRANSFORMER, "num_layers": layers, **options})


def _depth_anything() -> keras.Model:
    backbone = models.DepthAnythingBackbone(
        image_encoder=_dino("DINOV2Backbone", 112, 4, position_embedding_shape=(112, 112, 3)),
        reassemble_factors=[4, 2, 1, 0.5],
        neck_hidden_dims=[4, 8, 8, 16],
        fusion_hidden_dim=8,
        head_hidden_dim=8,
        head_in_index=-1,
        feature_keys=["stage1", "stage2", "stage3", "stage4"],
    )
    return models.DepthAnythingDepthEstimator(
        backbone=backbone, depth_estimation_type="relative", min_depth=None, max_depth=None
    )


def _sam() -> keras.Model:
    size = 64
    backbone = models.SAMBackbone(
        image_encoder=_vit_det((size, size, 3)),
        prompt_encoder=keras_hub.layers.SAMPromptEncoder(
            hidden_size=8,
            image_embedding_size=(8, 8),
            input_image_size=(size, size),
            mask_in_channels=16,
        ),
        mask_decoder=keras_hub.layers.SAMMaskDecoder(
            num_layers=2,
            hidden_size=8,
            intermediate_dim=16,
            num_heads=2,
            embedding_dim=8,
            num_multimask_outputs=3,
            iou_head_depth=3,
            iou_head_hidden_dim=8,
        ),
    )
    return models.SAMImageSegmenter(backbone=backbone)


def _deeplab() -> keras.Model:
    backbone = models.DeepLabV3Backbone(
        image_encoder=_resnet(),
        spatial_pyramid_pooling_key="P4",
        upsampling_size=4,
        dilation_rates=[2, 3],
        low_level_feature_key="P2",
        projection_filters=8,
        image_shape=SMALL,
    )
    return _classifier(lambda: backbone, "DeepLabV3ImageSegmenter", activation="softmax")


def _segformer() -> keras.Model:
    backbone = models.SegFormerBackbone(image_encoder=_mit(), projection_filters=16)
    return _classifier(lambda: backbone, "SegFormerImageSegmenter")


def _basnet() -> keras.Model:
    backbone = models.BASNetBackbone(
        image_encoder=_resnet((None, None, 3)), num_classes=1, image_shape=SMALL
    )
    return models.BASNetImageSegmenter(backbone)


def _retinanet() -> keras.Model:
    backbone = models.RetinaNetBackbone(
        image_encoder=_resnet(), min_level=3, max_level=5, use_p5=False, image_shape=SMALL
    )
    return _classifier(lambda: backbone, "RetinaNetObjectDetector", bounding_box_format="xyxy")


def _d_fine() -> keras.Model:
    backbone = models.DFineBackbone(
        backbone=_hgnet(out_features=["stage3", "stage4"]),
        decoder_in_channels=[16, 16],
        encoder_hidden_dim=16,
        num_denoising=0,
        num_labels=5,
        hidden_dim=16,
        learn_initial_query=False,
        num_queries=10,
        anchor_image_size=(64, 64),
        feat_strides=[16, 32],
        num_feature_levels=2,
        encoder_in_channels=[64, 64],
        encode_proj_layers=[1],
        num_attention_heads=2,
        encoder_ffn_dim=32,
        num_encoder_layers=1,
        hidden_expansion=0.34,
        depth_multiplier=0.5,
        eval_idx=-1,
        num_decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        decoder_n_points=[2, 2],
        lqe_hidden_dim=8,
        num_lqe_layers=2,
        out_features=["stage3", "stage4"],
        image_shape=SMALL,
        seed=0,
    )
    return _classifier(lambda: backbone, "DFineObjectDetector", bounding_box_format="xywh")


def _two_towers(name: str, **options: Any) -> keras.Model:
    text = {"embedding_dim": 16, "max_sequence_length": 16, **TEXT}
    return getattr(models, f"{name}Backbone")(
        vision_encoder=getattr(models, f"{name}VisionEncoder")(
            patch_size=16, image_shape=SMALL, **TRANSFORMER
        ),
        text_encoder=getattr(models, f"{name}TextEncoder")(**text),
        **options,
    )


def _whisper() -> keras.Model:
    return models.WhisperBackbone(
        max_encoder_sequence_length=60, max_decoder_sequence_length=16, **TEXT
    )


IMAGE_CLASSIFIERS: dict[str, tuple[Callable[[], keras.Model], str]] = {
    "ResNet": (_resnet, "ResNetImageClassifier"),
    "ResNetV2": (
        lambda: _resnet(use_pre_activation=True, block_type="bottleneck_block"),
        "ResNetImageClassifier",
    ),
    "VGG": (_vgg, "VGGImageClassifier"),
    "DenseNet": (_densenet, "DenseNetImageClassifier"),
    "CSPDarkNet": (_cspnet, "CSPNetImageClassifier"),
    "EfficientNet": (_efficientnet, "EfficientNetImageClassifier"),
    "EfficientNetLite": (_efficientnet_lite, "EfficientNetImageClassifier"),
    "MobileNet": (_mobilenet, "MobileNetImageClassifier"),
    "MobileNetV5": (_mobilenet_v5, "MobileNetV5ImageClassifier"),
    "MiT": (_mit, "MiTImageClassifier"),
    "Xception": (_xception, "XceptionImageClassifier"),
    "ViT": (_vit, "ViTImageClassifier"),
    "DeiT": (_deit, "DeiTImageClassifier"),
    "Swin": (_swin, "SwinTransformerImageClassifier"),
}
HUB: dict[str, Callable[[], keras.Model]] = {
    **{
        f"hub/{name}": lambda made=made, task=task: _classifier(made, task)
        for name, (made, task) in IMAGE_CLASSIFIERS.items()
    },
    "hub/HGNetV2": lambda: _classifier(_hgnet, "HGNetV2ImageClassifier", preprocessor=None),
    "hub/ViTDet": _vit_det,
    "hub/DINOv2": lambda: _dino("DINOV2Backbone", position_embedding_shape=(70, 70, 3)),
    "hub/DINOv3": lambda: _dino("DINOV3Backbone"),
    "hub/DepthAnything": _depth_anything,
    "hub/SAM": _sam,
    "hub/DeepLabV3": _deeplab,
    "hub/SegFormer": _segformer,
    "hub/BASNet": _basnet,
    "hub/RetinaNet": _retinanet,
    "hub/DFine": _d_fine,
    "hub/CLIP": lambda: _two_towers("CLIP", projection_dim=8),
    "hub/SigLIP": lambda: _two_towers("SigLIP"),
    "hub/BERT": lambda: _classifier(lambda: models.BertBackbone(**TEXT), "BertTextClassifier"),
    "hub/RoBERTa": lambda: models.RobertaBackbone(**TEXT),
    "hub/DistilBERT": lambda: models.DistilBertBackbone(**TEXT),
    "hub/ALBERT": lambda: models.AlbertBackbone(embedding_dim=8, **TEXT),
    # Wide enough for its tables of places to weigh little: the profiler counts arithmetic on weights alone.
    "hub/DeBERTaV3": lambda: models.DebertaV3Backbone(
        bucket_size=8, **{**TEXT, "hidden_dim": 128, "intermediate_dim": 256}
    ),
    "hub/FNet": lambda: models.FNetBackbone(
        **{key: value for key, value in TEXT.items() if key != "num_heads"}
    ),
    "hub/XLNet": lambda: models.XLNetBackbone(**TEXT),
    "hub/GPT2": lambda: models.GPT2CausalLM(backbone=models.GPT2Backbone(**TEXT)),
    "hub/OPT": lambda: models.OPTBackbone(**TEXT),
    "hub/Bloom": lambda: models.BloomBackbone(**TEXT),
    "hub/GPTNeoX": lambda: models.GPTNeoXBackbone(**TEXT),
    "hub/Llama": lambda: models.LlamaBackbone(**GROUPED),
    "hub/Mistral": lambda: models.MistralBackbone(**GROUPED),
    "hub/Mixtral": lambda: models.MixtralBackbone(num_experts=2, **GROUPED),
    "hub/Gemma": lambda: models.GemmaBackbone(head_dim=4, **GROUPED),
    "hub/Qwen3": lambda: models.Qwen3Backbone(head_dim=4, **GROUPED),
    "hub/T5": lambda: models.T5Backbone(**TEXT),
    "hub/BART": lambda: models.BartBackbone(**TEXT),
    "hub/RWKV7": lambda: models.RWKV7Backbone(
        vocabulary_size=100, hidden_size=16, head_size=8, num_layers=2, intermediate_dim=32
    ),
    "hub/Whisper": _whisper,
}
NETWORKS: dict[str, Callable[[], keras.Model]] = {
    **{name: _application(name) for name in APPLICATIONS},
    **HUB,
}
SIZES = {
    "hub/SAM": {"boxes": (1, 2, 2), "labels": (1,), "masks": (1, 32, 32, 1), "points": (1, 2)},
    "hub/SigLIP": {"token_ids": (16,)},
    "hub/Whisper": {"encoder_features": (60, 80)},
}
"""Sizes of inputs that a network leaves open, where another than that of ``LENGTH`` and ``SIDE`` is needed."""
LENGTH = 12
SIDE = 64


def shapes(name: str, model: keras.Model) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a network's inputs by name, without the batch dimension, none left open."""
    found = {}
    for tensor in model.inputs:
        side = SIDE if len(tensor.shape) == 4 else LENGTH
        shape = tuple(side if n is None else n for n in tensor.shape[1:])
        found[tensor.name] = SIZES.get(name, {}).get(tensor.name, shape)
    return found
