#!/usr/bin/env python3
"""Times torch's bf16 products on a GPU, in the shapes of a layer, of which device_bench and model_bench time the first. Theirs take one of
cuBLASLt's ways for any number of rows; torch takes what cuBLAS thinks best for just these, so the difference is what equal bits cost.

    python3 tests/bench/torch_products.py [ROWS]      (4096)
"""
import math
import sys

import torch


def best_seconds(run, rounds=10):
    run()  # what is done once: compiling, choosing
    torch.cuda.synchronize()
    best = math.inf
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        best = min(best, begin.elapsed_time(end) / 1e3)
    return best


def measure(rows, outputs, columns):
    draw = torch.Generator(device="cuda").manual_seed(1)
    x, w = (torch.randn((count, columns), dtype=torch.bfloat16, device="cuda", generator=draw) for count in (rows, outputs))
    seconds = best_seconds(lambda: torch.nn.functional.linear(x, w))
    print(f"{f'torch product, bf16, [{outputs}, {columns}]':<45} {rows:>10} {seconds * 1e6:12.1f} us "
          f"{2 * rows * outputs * columns / seconds / 1e12:10.1f} TFLOP/s", flush=True)


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
    with torch.no_grad():
        for channels in (2048, 4096):  # RWKV-7 1.5B, 7.2B
            for outputs, columns in ((4 * channels, channels), (channels, 4 * channels), (channels, channels)):
                measure(rows, outputs, columns)


if __name__ == "__main__":
    main()
