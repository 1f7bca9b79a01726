#!/usr/bin/env python3
"""Times flash-linear-attention's chunk_rwkv7 on a GPU, in the shapes and with the numbers of device_bench's wkv7, beside which
tests/gpu.sh runs it.

    PYTHONPATH=DIR/python tests/bench/fla_rwkv7.py [CHANNELS [MOST_TOKENS]]      (4096 131072)

Needs torch with CUDA and triton; DIR is what tests/gpu.sh --fetch DIR filled. Operands are bf16, the states fp32, as that package has
them. Of its ways, the default and those that it offers where the decay has a bound, as RWKV-7's has, the fastest is shown.
"""
import inspect
import math
import sys

import torch
from fla.ops.rwkv7 import chunk_rwkv7

from torch_products import best_seconds

HEAD = 64
LEAST_LOG_DECAY = -math.exp(-0.5)  # w = exp(-exp(-1/2) sigmoid(x)), arXiv:2503.14456


def ways():
    known = inspect.signature(chunk_rwkv7).parameters
    for options in ({}, {"safe_gate": True}, {"lower_bound": LEAST_LOG_DECAY}):
        if all(name in known for name in options):
            yield options


def measure(channels, tokens):
    heads = channels // HEAD

    def filled(value):
        return torch.full((1, tokens, heads, HEAD), value, dtype=torch.bfloat16, device="cuda")

    operands = {"r": filled(0.1), "w": filled(math.log(0.99)), "k": filled(0.1), "v": filled(0.1), "a": filled(-0.1), "b": filled(0.05)}
    state = torch.zeros((1, heads, HEAD, HEAD), dtype=torch.float32, device="cuda")
    found = []
    for options in ways():
        def run():
            return chunk_rwkv7(**operands, initial_state=state, output_final_state=True, **options)
        try:
            found.append((best_seconds(run), options))
        except Exception as error:  # a way that this GPU or this version has not is no measurement, and says why
            print(f"fla_rwkv7: {options or 'default'}: {type(error).__name__}: {error}", file=sys.stderr)
    if not found:
        sys.exit("fla_rwkv7: no way of chunk_rwkv7 runs here, see above")
    seconds, options = min(found, key=lambda way: way[0])
    how = ", ".join(options) or "default"
    print(f"{'fla chunk_rwkv7, bf16, ' + how:<45} {tokens:>10} {seconds * 1e6:12.1f} us {seconds * 1e9 / tokens:10.2f} ns/token", flush=True)


def main():
    channels = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
    most_tokens = int(sys.argv[2]) if len(sys.argv) > 2 else 131072
    with torch.no_grad():
        tokens = 4096
        while tokens <= most_tokens:
            measure(channels, tokens)
            tokens *= 2


if __name__ == "__main__":
    main()
