"""Data sets of many images in one file, as other programs write them, and the folder of the same PNG files."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

NAMES = ("low", "middle", "high")


def samples(count=60, seed=0):
    """Return keys, PNG files and labels, by class as a folder of class folders lists them."""
    rng = np.random.default_rng(seed)
    labels = np.sort(rng.integers(0, 3, count))
    found = []
    for key, label in enumerate(labels.tolist()):
        level = np.clip(rng.normal(50 + 70 * label, 35), 0, 255)
        held = io.BytesIO()
        Image.fromarray(np.full((8, 8), level, np.uint8)).save(held, "PNG")
        found.append((f"{key:06d}", held.getvalue(), label))
    return found


def as_folder(place, given):
    """Write class folders whose order is that of the numbers."""
    for key, png, label in given:
        (place / f"{label}-{NAMES[label]}").mkdir(parents=True, exist_ok=True)
        (place / f"{label}-{NAMES[label]}" / f"{key}.png").write_bytes(png)
    return place


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def as_tar(path, given, ending="cls"):
    """Write WebDataset's layout."""
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for key, png, label in given:
            text = {"cls": str(label), "txt": NAMES[label], "json": json.dumps({"label": label})}
            add(tar, f"test/{key}.png", png)
            add(tar, f"test/{key}.{ending}", text[ending].encode())
    return path


def as_parquet(path, given, *, metadata=True, groups=16):
    """Write what Hugging Face's ``datasets`` writes."""
    images = [{"bytes": png, "path": f"{key}.png"} for key, png, _ in given]
    table = pa.table(
        {
            "image": pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            "label": pa.array([label for *_, label in given], pa.int64()),
        }
    )
    if metadata:
        features = {"image": {"_type": "Image"}, "label": {"names": NAMES, "_type": "ClassLabel"}}
        told = {"huggingface": json.dumps({"info": {"features": features}})}
        table = table.replace_schema_metadata(told)
    pq.write_table(table, path, row_group_size=groups)
    return path


def as_tfrecord(path, given, *, image="image/encoded", label="image/class/label", more=False):
    """Write with TensorFlow's own writer."""
    import tensorflow as tf

    options = tf.io.TFRecordOptions(compression_type="GZIP" if path.suffix == ".gz" else "")
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for key, png, number in given:
            feature = {
                image: tf.train.Feature(bytes_list=tf.train.BytesList(value=[png])),
                label: tf.train.Feature(int64_list=tf.train.Int64List(value=[number])),
            }
            if more:
                feature["image/key"] = tf.train.Feature(
                    bytes_list=tf.train.BytesList(value=[key.encode()])
                )
                feature["image/height"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[8]))
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    return path


WRITERS = {"x.tar": as_tar, "x.tar.gz": as_tar, "x.parquet": as_parquet, "x.tfrecord": as_tfrecord,
           "x.tfrecord.gz": as_tfrecord}  # fmt: skip
