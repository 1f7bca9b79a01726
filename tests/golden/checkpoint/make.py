#!/usr/bin/env python3
"""Makes the weight files beside it with the real packages: needs torch (1.13 was used) and safetensors.

Element i of a base tensor is i/2 - 3 (i % 2 for bool, i % 7 for integers), so that the tests can tell the values of
any view. Usage: make.py [directory]
"""
import pathlib
import sys
from collections import OrderedDict

import torch
from safetensors.torch import save_file

out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)


def base(*shape, dtype=torch.float32):
    numbers = torch.arange(torch.Size(shape).numel()).reshape(shape)
    if dtype == torch.bool:
        return numbers % 2 == 1
    if not dtype.is_floating_point:
        return (numbers % 7).to(dtype)
    return (numbers / 2 - 3).to(dtype)


# Views of every kind, all element types, and values that are no tensors.
pool = base(40, dtype=torch.bfloat16)
matrix = base(4, 6)
views = {
    "pool.a": pool[0:12].view(3, 4),
    "pool.b": pool[12:22],
    "pool.every_third": pool[1::3],
    "matrix": matrix,
    "matrix.t": matrix.t(),
    "matrix.columns": matrix[1:3, 2:5],
    "matrix.one_row": matrix.t()[:, 2:3],
    "permuted": base(2, 3, 4).permute(2, 0, 1),
    "empty": torch.zeros(0, 5),
    "scalar": torch.tensor(2.5),
    "parameter": torch.nn.Parameter(base(2, 2)),
    "step": 17,
    "note": "not a tensor",
    "ratio": 0.25,
    "big": 1 << 40,
    "flags": [True, None],
    "kind": torch.bfloat16,
}
types = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8,
         torch.uint8, torch.bool]
for dtype in types:
    views[str(dtype).removeprefix("torch.")] = base(2, 5, dtype=dtype)
torch.save(views, out / "views.pth")

# What a training loop saves: a module's state_dict (an OrderedDict with _metadata) beside other things.
module = torch.nn.Linear(3, 2)
module.weight.data, module.bias.data = base(2, 3), base(2)
torch.save({"epoch": 3, "state_dict": module.state_dict()}, out / "wrapped.pth")

torch.save(OrderedDict(weight=base(2, 3)), out / "legacy.pth", _use_new_zipfile_serialization=False)
torch.save({"weight": base(2, 3), "_strategy": "cpu fp32", "_version": 7.0, "_rescale_layer": 0}, out / "converted.pth")
torch.save({"weight": base(1).expand(3, 4)}, out / "expanded.pth")
torch.save({"weight": base(3).to_sparse()}, out / "sparse.pth")

save_file({str(dtype).removeprefix("torch."): base(2, 5, dtype=dtype) for dtype in types}
          | {"empty": torch.zeros(0, 5), "scalar": torch.tensor(2.5)},
          out / "types.safetensors", metadata={"format": "pt"})
