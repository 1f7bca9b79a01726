"""rounding.py TEXT EXACT.h5 OTHER.h5...: a markdown table of what `riverrun score` made of one text with differently rounded weights."""

import math
import os
import sys

import h5py
import numpy as np


def main():
    text, *outputs = sys.argv[1:]
    size = os.path.getsize(text)
    exact = None
    print("| run | bits per byte | more than the first | difference of single log-probabilities: root mean square (largest) |")
    print("|---|---|---|---|")
    for path in outputs:
        with h5py.File(path) as file:
            scores = file["scores/logprob"][:].astype(np.float64)
        bits = -scores.sum() / math.log(2) / size
        if not math.isfinite(bits):
            sys.exit(f"rounding.py: the scores in {path} are not numbers")
        name = os.path.basename(path).removesuffix(".h5").removeprefix("john-")
        if exact is None:
            exact, least = scores, bits
            print(f"| {name} | {bits:.5f} | | |")
        else:
            gap = np.abs(scores - exact)
            print(f"| {name} | {bits:.5f} | {100 * (bits / least - 1):+.3f} % | {math.sqrt(np.mean(gap**2)):.4f} ({gap.max():.2f}) |")
    print(f"\n{len(exact)} tokens, {size} bytes")


if __name__ == "__main__":
    main()
