"""Trains a small RWKV-7 on the bytes of a text, on the CPU: a model whose weights are not random, for what rounding costs it.

    train_bytes.py TEXT MODEL VOCABULARY [--layers L] [--channels D] [--minutes M] [--seed S]

MODEL is a .safetensors file with the official names in fp32, VOCABULARY a vocabulary file in the format of RWKV World's with the
256 bytes alone: ids 1 to 256; 0 begins a document. Stops after M minutes, whatever it has come to then.
"""

import argparse
import json
import math
import struct
import time

import torch
from torch.nn import functional

HEAD = 64
CHUNK = 16
ROWS = 257
TOKENS, SEQUENCES = 256, 16
RANKS = {"w": 16, "a": 16, "v": 16, "g": 32}


def make_parameters(layers, channels):
    """Tensors by their official names. Matrices that add to the residual start at 0, so that a new layer changes nothing."""
    def matrix(rows, columns, scale=1.0):
        return torch.randn(rows, columns) * (scale / math.sqrt(columns))

    def norm(name):
        return {f"{name}.weight": torch.ones(channels), f"{name}.bias": torch.zeros(channels)}

    def row(value):
        return torch.full((1, 1, channels), float(value))

    out = {"emb.weight": torch.randn(ROWS, channels) * 0.02, **norm("blocks.0.ln0")}
    for layer in range(layers):
        block, att, ffn = f"blocks.{layer}", f"blocks.{layer}.att", f"blocks.{layer}.ffn"
        out |= norm(f"{block}.ln1") | norm(f"{block}.ln2") | norm(f"{att}.ln_x")
        out |= {f"{att}.x_{kind}": row(0.5) for kind in "rwkvag"} | {f"{ffn}.x_k": row(0.5)}
        # Channels that forget at different speeds, from a few tokens to thousands.
        out[f"{att}.w0"] = torch.linspace(1, -6, channels).reshape(1, 1, -1)
        out |= {f"{att}.a0": row(0), f"{att}.k_k": row(0.85), f"{att}.k_a": row(1)}
        out[f"{att}.r_k"] = torch.zeros(channels // HEAD, HEAD)
        if layer > 0:
            out[f"{att}.v0"] = row(1)
        for kind, rank in RANKS.items():
            if kind == "v" and layer == 0:
                continue
            out[f"{att}.{kind}1"] = torch.zeros(channels, rank) if kind != "g" else matrix(channels, rank)
            out[f"{att}.{kind}2"] = matrix(rank, channels)
        out |= {f"{att}.{name}.weight": matrix(channels, channels) for name in ("receptance", "key", "value")}
        out[f"{att}.output.weight"] = torch.zeros(channels, channels)
        out[f"{ffn}.key.weight"] = matrix(4 * channels, channels)
        out[f"{ffn}.value.weight"] = torch.zeros(channels, 4 * channels)
    out |= norm("ln_out") | {"head.weight": matrix(ROWS, channels, 0.5)}
    return {name: torch.nn.Parameter(value.contiguous()) for name, value in out.items()}


def wkv(r, w, k, v, a, b):
    """The recurrence of docs/wkv.md in its chunked form; all [sequence, token, head, HEAD], the state starts at 0."""
    sequences, tokens, heads, _ = r.shape
    chunks = tokens // CHUNK
    r, w, k, v, a, b = (x.reshape(sequences, chunks, CHUNK, heads, HEAD).permute(1, 0, 3, 2, 4) for x in (r, w, k, v, a, b))
    p = torch.cumsum(torch.log(w), -2)
    centre = p[..., CHUNK // 2 - 1:CHUNK // 2, :]
    before = torch.cat([torch.zeros_like(centre), p[..., :-1, :]], -2)
    a, r, b, k = a * (before - centre).exp(), r * (p - centre).exp(), b * (centre - p).exp(), k * (centre - p).exp()
    through = (r @ b.mT).tril()
    power = (a @ b.mT).tril(-1)
    inverse = torch.eye(CHUNK) + power
    for _ in range(3):
        power = power @ power
        inverse = inverse + power @ inverse
    decay, back = centre.exp(), (p[..., -1:, :] - centre).exp()
    # What the removal keys find in a chunk is u = of_state S^T + of_chunk; only S goes from chunk to chunk.
    of_state, of_chunk = inverse @ a, inverse @ ((a @ k.mT).tril(-1) @ v)
    written = v.mT @ k
    state, states = torch.zeros(sequences, heads, HEAD, HEAD), []
    for decay_of, of_state_of, of_chunk_of, b_of, written_of, back_of in zip(*(x.unbind() for x in (decay, of_state, of_chunk, b, written, back))):
        shifted = state * decay_of
        states.append(shifted)
        state = (shifted + (of_state_of @ shifted.mT + of_chunk_of).mT @ b_of + written_of) * back_of
    out = (r + through @ of_state) @ torch.stack(states).mT + through @ of_chunk + (r @ k.mT).tril() @ v
    return out.permute(1, 0, 3, 2, 4).reshape(sequences, tokens, heads, HEAD)


def logits_of(parameters, layers, ids):
    channels = parameters["emb.weight"].shape[1]
    heads = channels // HEAD

    def norm(x, name):
        return functional.layer_norm(x, (channels,), parameters[f"{name}.weight"], parameters[f"{name}.bias"], 1e-5)

    def time_mix(x, att, first_v):
        p = {name: parameters.get(f"{att}.{name}") for name in ("w0", "w1", "w2", "a0", "a1", "a2", "v0", "v1", "v2", "g1", "g2")}
        step = functional.pad(x, (0, 0, 1, -1)) - x
        xr, xw, xk, xv, xa, xg = (x + step * parameters[f"{att}.x_{kind}"] for kind in "rwkvag")
        r, k, v = (y @ parameters[f"{att}.{name}.weight"].T for y, name in ((xr, "receptance"), (xk, "key"), (xv, "value")))
        w = torch.exp(-math.exp(-0.5) * torch.sigmoid(p["w0"] + torch.tanh(xw @ p["w1"]) @ p["w2"]))
        rate = torch.sigmoid(p["a0"] + xa @ p["a1"] @ p["a2"])
        gate = torch.sigmoid(xg @ p["g1"]) @ p["g2"]
        if first_v is None:
            first_v = v
        else:
            v = v + (first_v - v) * torch.sigmoid(p["v0"] + xv @ p["v1"] @ p["v2"])

        def split(y):
            return y.reshape(*y.shape[:2], heads, HEAD)
        removed = functional.normalize(split(k * parameters[f"{att}.k_k"]), dim=-1, eps=1e-12)
        k = k * (1 + (rate - 1) * parameters[f"{att}.k_a"])
        r, w, k, heads_v, rate = split(r), split(w), split(k), split(v), split(rate)
        y = wkv(r, w, k, heads_v, -removed, removed * rate)
        y = functional.group_norm(y.reshape(-1, channels), heads, parameters[f"{att}.ln_x.weight"], parameters[f"{att}.ln_x.bias"], 64e-5)
        y = y.reshape(v.shape) + ((r * k * parameters[f"{att}.r_k"]).sum(-1, keepdim=True) * heads_v).reshape(v.shape)
        return (y * gate) @ parameters[f"{att}.output.weight"].T, first_v

    x = norm(parameters["emb.weight"][ids], "blocks.0.ln0")
    first_v = None
    for layer in range(layers):
        added, first_v = time_mix(norm(x, f"blocks.{layer}.ln1"), f"blocks.{layer}.att", first_v)
        x = x + added
        y = norm(x, f"blocks.{layer}.ln2")
        y = y + (functional.pad(y, (0, 0, 1, -1)) - y) * parameters[f"blocks.{layer}.ffn.x_k"]
        x = x + torch.relu(y @ parameters[f"blocks.{layer}.ffn.key.weight"].T) ** 2 @ parameters[f"blocks.{layer}.ffn.value.weight"].T
    return norm(x, "ln_out") @ parameters["head.weight"].T


def train(parameters, layers, text, minutes):
    ids = torch.cat([torch.zeros(1, dtype=torch.long), torch.frombuffer(bytearray(text), dtype=torch.uint8).long() + 1])
    optimizer = torch.optim.AdamW(parameters.values(), betas=(0.9, 0.99), weight_decay=0)
    begun, step, mean = time.monotonic(), 0, None
    while (passed := (time.monotonic() - begun) / (60 * minutes)) < 1:
        rate = 3e-3 * min(1, (step + 1) / 50) * (0.02 + 0.98 * math.cos(passed * math.pi / 2) ** 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        starts = torch.randint(0, len(ids) - TOKENS - 1, (SEQUENCES,))
        batch = torch.stack([ids[start:start + TOKENS + 1] for start in starts])
        loss = functional.cross_entropy(logits_of(parameters, layers, batch[:, :-1]).reshape(-1, ROWS), batch[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
        bits = loss.item() / math.log(2)
        if not math.isfinite(bits):
            raise SystemExit(f"train_bytes.py: the loss of step {step} is {bits}")
        mean = bits if mean is None else 0.98 * mean + 0.02 * bits
        step += 1
        if step % 50 == 0:
            print(f"{step} steps, {step * SEQUENCES * TOKENS} bytes read, {mean:.3f} bits per byte", flush=True)
    print(f"{step} steps, {step * SEQUENCES * TOKENS} bytes read, {mean:.3f} bits per byte")


def write_safetensors(path, parameters):
    header, data = {}, bytearray()
    for name, value in parameters.items():
        raw = value.detach().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("text"), options.add_argument("model"), options.add_argument("vocabulary")
    options.add_argument("--layers", type=int, default=4), options.add_argument("--channels", type=int, default=128)
    options.add_argument("--minutes", type=float, default=15), options.add_argument("--seed", type=int, default=1)
    options = options.parse_args()
    torch.manual_seed(options.seed)
    parameters = make_parameters(options.layers, options.channels)
    with open(options.text, "rb") as file:
        train(parameters, options.layers, file.read(), options.minutes)
    write_safetensors(options.model, parameters)
    with open(options.vocabulary, "w", encoding="ascii") as file:
        file.writelines(f"{byte + 1} {bytes([byte])!r} 1\n" for byte in range(256))


if __name__ == "__main__":
    main()
