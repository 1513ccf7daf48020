"""Are our maps those of tf-keras-vis and xplique? Correlation of Grad-CAM and integrated gradients with theirs.

python benchmarks/same_maps.py theirs MODEL.keras MAPS.npz IMAGE...   (in the peers' environment)
python benchmarks/same_maps.py ours MODEL.keras MAPS.npz IMAGE...     (in ours: prints the correlations)

Both explain the logit of the largest output of a model that ends in a Dense layer with softmax.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np

LAYER = "top_activation"


def read(model_path, paths):  # noqa: ANN001, ANN201
    """Return the model, the images and the classes that it says."""
    model = keras.models.load_model(model_path, compile=False)
    size = model.inputs[0].shape[1:3]
    x = np.stack(
        [keras.utils.img_to_array(keras.utils.load_img(p, target_size=size)) for p in paths]
    )
    return model, x, np.asarray(model(x, training=False)).argmax(axis=1)


def theirs(model_path: str, target: str, *paths: str) -> None:
    """Make the peers' maps and keep them."""
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.utils.scores import CategoricalScore
    from xplique.attributions import GradCAM, IntegratedGradients

    model, x, best = read(model_path, paths)
    model.layers[-1].activation = keras.activations.linear
    one_hot = np.eye(int(model.outputs[0].shape[-1]), dtype=np.float32)[best]
    vis = Gradcam(model, clone=False)
    np.savez(
        target,
        vis_gradcam=vis(
            CategoricalScore(best.tolist()),
            x,
            penultimate_layer=LAYER,
            seek_penultimate_conv_layer=False,  # else it takes the convolution in front of the activation
            expand_cam=False,
        ),
        xplique_gradcam=np.asarray(GradCAM(model, conv_layer=LAYER, batch_size=4)(x, one_hot)),
        xplique_ig=np.asarray(IntegratedGradients(model, steps=50, batch_size=4)(x, one_hot)),
    )


def ours(model_path: str, source: str, *paths: str) -> None:
    """Make our maps and print how far they correlate with the kept ones."""
    from reportgen.nets.keras_network import KerasNetwork
    from reportgen.network.protocol import Aim
    from reportgen.sections.relevance.evidence import at_size
    from reportgen.sections.relevance.methods import Question, gradcam, integrated_gradients

    model, x, best = read(model_path, paths)
    network = KerasNetwork(model, images=4)
    name = network.facts.inputs[0].name
    passes = network.passes(Aim(network.facts.outputs[0].name, "linear", name, LAYER))
    weights = np.eye(int(network.facts.outputs[0].shape[-1]), dtype=np.float32)[best]
    black = np.zeros_like(x[0])
    asked = [Question({name: i}, name, w, black) for i, w in zip(x, weights, strict=True)]
    raw = [m.values for m in gradcam(passes, asked, 1, 0)]
    cams = [at_size(values, x.shape[1:]) for values in raw]
    paths_of = [m.values for m in integrated_gradients(passes, asked, 50, 0)]
    kept = np.load(source)
    for key, maps in (("vis_gradcam", raw), ("xplique_gradcam", cams), ("xplique_ig", paths_of)):
        other = [np.squeeze(one) for one in kept[key]]
        other = [o.sum(axis=-1) if o.ndim == 3 else o for o in other]
        found = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(maps, other, strict=True)]
        print(f"{key}: least correlation {min(found):.6f} over {len(found)} images")


if __name__ == "__main__":
    {"theirs": theirs, "ours": ours}[sys.argv[1]](*sys.argv[2:])
