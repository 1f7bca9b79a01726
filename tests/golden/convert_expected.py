#!/usr/bin/env python3
"""Rewrites an oracle's expected.h5 as expected.safetensors, which the tests read without HDF5.

usage: convert_expected.py FOLDER...    each holding expected.h5
"""
import json
import pathlib
import struct
import sys

import h5py
import numpy

NAMES = {"int32": "I32", "float32": "F32"}


def convert(folder):
    arrays = {}
    with h5py.File(folder / "expected.h5") as source:
        source.visititems(lambda name, item: arrays.update({name.replace("/", "."): item[()]})
                          if isinstance(item, h5py.Dataset) else None)
    header, data = {}, b""
    for name, array in sorted(arrays.items()):
        array = numpy.ascontiguousarray(array)
        header[name] = {"dtype": NAMES[str(array.dtype)], "shape": list(array.shape),
                        "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "expected.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


for name in sys.argv[1:]:
    convert(pathlib.Path(name))
