"""Store a model's weights in half precision: half the size, cast to float32 again when Keras loads them.

python examples/halve.py MODEL.keras HALVED.keras
"""

import io
import sys
import zipfile

import h5py
import numpy as np

STORED = "model.weights.h5"


def main(source: str, target: str) -> None:
    """Copy ``source`` to ``target`` with float16 weights, compressed; dates are left out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in sorted(old.namelist()):
            data = old.read(name)
            new.writestr(zipfile.ZipInfo(name), halved(data) if name == STORED else data)


def halved(data: bytes) -> bytes:
    """Return an HDF5 file of weights with every float32 array as float16.

    Values that float16 cannot hold are left as they are.
    """
    result = io.BytesIO()
    with h5py.File(io.BytesIO(data)) as old, h5py.File(result, "w") as new:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                new.require_group(name).attrs.update(item.attrs)
                return
            array = item[()]
            if array.dtype == np.float32 and np.isfinite(array.astype(np.float16)).all():
                array = array.astype(np.float16)
            new.create_dataset(name, data=array).attrs.update(item.attrs)

        new.attrs.update(old.attrs)
        old.visititems(copy)
    return result.getvalue()


if __name__ == "__main__":
    main(*sys.argv[1:])
