"""The golden checkpoints in the `rwkv` Python package, as make_oracle.py and make_generation.py use it."""
import json
import os
import struct
import tempfile

import numpy
import torch


def read_tokens(folder):
    data = (folder / "expected.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    begin, end = json.loads(data[8:8 + size])["tokens"]["data_offsets"]
    return numpy.frombuffer(data[8 + size + begin:8 + size + end], "<i4")


def load(folder):
    """The model, its weights as fp32, and the state it starts from (None: the package makes it).

    Once per process: the package chooses its code by environment variables when it is imported.
    """
    weights = {name: tensor.float() for name, tensor in torch.load(folder / "model.pth").items()}
    seven = "blocks.0.att.r_k" in weights
    os.environ.update(RWKV_JIT_ON="0", RWKV_CUDA_ON="0", RWKV_V7_ON="1" if seven else "0",
                      RWKV_DE_VERSION="1" if "blocks.0.ffn.s1" in weights else "0")
    from rwkv.model import RWKV
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        torch.save(weights, scratch + "/model.pth")
        model = RWKV(scratch + "/model", "cpu fp32")
    state = model.generate_zero_state() if seven else None
    for layer in range(model.n_layer if seven else 0):  # for RWKV-5 and 6 the package does this itself
        tuned = weights.get(f"blocks.{layer}.att.time_state")
        if tuned is not None:
            state[3 * layer + 1] = tuned
    return model, state
