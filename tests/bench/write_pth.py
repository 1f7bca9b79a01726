"""write_pth.py MODEL.safetensors OUT.pth: the same tensors as torch.save writes them, for the rwkv package."""

import json
import sys

import numpy as np
import torch

KINDS = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


def main():
    model, out = sys.argv[1:]
    data = np.fromfile(model, np.uint8)
    start = 8 + int(data[:8].view(np.uint64)[0])
    header = json.loads(bytes(data[8:start]))
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (start + offset for offset in entry["data_offsets"])
        raw = torch.from_numpy(data[begin:end].copy())
        tensors[name] = raw.view(KINDS[entry["dtype"]]).reshape(entry["shape"])
    torch.save(tensors, out)


main()
