#!/usr/bin/env python3
"""Writes tests/golden/containers/: the same tiny models in every container and under every naming, by the real packages.

    python3 -m venv venv
    venv/bin/pip install torch safetensors transformers
    venv/bin/pip install --no-deps flash-linear-attention fla-core && venv/bin/pip install einops
    venv/bin/python make_containers.py [directory]

Made with torch 2.15.0, safetensors 0.8.0, transformers 5.23.0 and flash-linear-attention 0.6.0 on the CPU. torch,
safetensors, transformers (RWKV-4, shards) and fla (RWKV-7) write their own files through their own classes. Where no
package could be had (transformers' RWKV-7, rwkv-rs, RWKV-World-HF, web-rwkv) the names are written out here.
"""
import json
import pathlib
import re
import sys
from collections import OrderedDict

import torch
from safetensors.torch import save_file
from transformers import RwkvConfig, RwkvForCausalLM

OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "containers")
L, D, H, N, F, V = 2, 16, 2, 8, 32, 11
RANKS = {"w": 4, "a": 6, "v": 3, "g": 5}

torch.manual_seed(7)


def values(*shape):
    """Multiples of 1/64 below 2: exact in bf16 and fp16."""
    return torch.randint(-127, 128, shape).to(torch.bfloat16) / 64


def norm(name, weights):
    weights[name + ".weight"], weights[name + ".bias"] = values(D), values(D)


def shared(attention, feed_forward):
    weights = OrderedDict({"emb.weight": values(V, D)})
    norm("blocks.0.ln0", weights)
    for layer in range(L):
        block = f"blocks.{layer}."
        norm(block + "ln1", weights)
        norm(block + "ln2", weights)
        attention(weights, block + "att.", layer)
        feed_forward(weights, block + "ffn.")
    norm("ln_out", weights)
    weights["head.weight"] = values(V, D)
    return weights


def attention_4(weights, att, layer):
    for name in ("time_decay", "time_first"):
        weights[att + name] = values(D)
    for name in "kvr":
        weights[att + "time_mix_" + name] = values(1, 1, D)
    for name in ("key", "value", "receptance", "output"):
        weights[att + name + ".weight"] = values(D, D)


def feed_forward_4(weights, ffn):
    for name in "kr":
        weights[ffn + "time_mix_" + name] = values(1, 1, D)
    weights[ffn + "key.weight"], weights[ffn + "value.weight"] = values(F, D), values(D, F)
    weights[ffn + "receptance.weight"] = values(D, D)


def attention_6(weights, att, layer):
    for name in "xwkvrg":
        weights[att + "time_maa_" + name] = values(1, 1, D)
    weights[att + "time_maa_w1"], weights[att + "time_maa_w2"] = values(D, 5 * 3), values(5, 3, D)
    weights[att + "time_decay"], weights[att + "time_faaaa"] = values(1, 1, D), values(H, N)
    weights[att + "time_decay_w1"], weights[att + "time_decay_w2"] = values(D, 4), values(4, D)
    for name in ("key", "value", "receptance", "gate", "output"):
        weights[att + name + ".weight"] = values(D, D)
    norm(att + "ln_x", weights)


def feed_forward_6(weights, ffn):
    for name in "kr":
        weights[ffn + "time_maa_" + name] = values(1, 1, D)
    weights[ffn + "key.weight"], weights[ffn + "value.weight"] = values(F, D), values(D, F)
    weights[ffn + "receptance.weight"] = values(D, D)


def attention_7(weights, att, layer):
    for name in "rwkvag":
        weights[att + "x_" + name] = values(1, 1, D)
    for name in ("wavg" if layer else "wag"):
        if name != "g":
            weights[att + name + "0"] = values(1, 1, D)
        weights[att + name + "1"], weights[att + name + "2"] = values(D, RANKS[name]), values(RANKS[name], D)
    weights[att + "k_k"], weights[att + "k_a"], weights[att + "r_k"] = values(1, 1, D), values(1, 1, D), values(H, N)
    for name in ("receptance", "key", "value", "output"):
        weights[att + name + ".weight"] = values(D, D)
    norm(att + "ln_x", weights)


def feed_forward_7(weights, ffn):
    weights[ffn + "x_k"] = values(1, 1, D)
    weights[ffn + "key.weight"], weights[ffn + "value.weight"] = values(F, D), values(D, F)


def rename(weights, rules):
    """The first rule whose pattern fits the whole name is applied."""
    renamed = OrderedDict()
    for name, tensor in weights.items():
        for pattern, to in rules:
            if match := re.fullmatch(pattern, name):
                renamed[match.expand(to)] = tensor
                break
        else:
            raise KeyError(name)
    return renamed


def folder(name, tensors, config):
    (OUT / name).mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in tensors.items()}, OUT / name / "model.safetensors")
    (OUT / name / "config.json").write_text(json.dumps(config) + "\n")


def flat(weights):
    """[1, 1, D] as [D]."""
    return OrderedDict((name, tensor.flatten() if tensor.shape[:2] == (1, 1) else tensor) for name, tensor in weights.items())


def torch_files(v7):
    """Every way in which torch.save lays out one dict of tensors."""
    torch.save(v7, OUT / "zip.pth")
    torch.save(v7, OUT / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"model": v7, "iteration": 17, "args": {"lr": 0.1}}, OUT / "wrapped.pth")
    torch.save(OrderedDict(("module._orig_mod." + name, torch.nn.Parameter(tensor)) for name, tensor in v7.items()),
               OUT / "prefixed.pth")
    pool = torch.cat([tensor.flatten() for tensor in v7.values()])
    views, at = OrderedDict(), 5
    pool = torch.cat([torch.zeros(at, dtype=torch.bfloat16), pool])
    for name, tensor in v7.items():
        view = pool[at:at + tensor.numel()].view(tensor.shape)
        at += tensor.numel()
        if name.endswith("ffn.key.weight"):
            view.copy_(tensor.t().contiguous().view(tensor.shape))
            view = view.reshape(D, F).t()  # stored the other way round, the same matrix
        views[name] = view
    for name, view in views.items():
        assert torch.equal(view, v7[name]), name
    torch.save(views, OUT / "views.pth")
    torch.save(views, OUT / "views_legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({name: tensor for name, tensor in v7.items() if name != "head.weight"}, OUT / "headless.pth")
    torch.save({f"blocks.{layer}.att.time_state": values(H, N, N) for layer in range(L)}, OUT / "state.pth")


def safetensors_files(v7):
    save_file(dict(v7), OUT / "official.safetensors", metadata={"format": "pt"})
    from huggingface_hub import save_torch_state_dict

    (OUT / "sharded").mkdir(exist_ok=True)
    save_torch_state_dict(dict(v7), OUT / "sharded", max_shard_size="4KB")


def transformers_4(v4):
    torch.save(v4, OUT / "v4.pth")
    config = RwkvConfig(vocab_size=V, hidden_size=D, num_hidden_layers=L, intermediate_size=F, context_length=8)
    model = RwkvForCausalLM(config).to(torch.bfloat16)
    state = rename(v4, [(r"emb(.*)", r"rwkv.embeddings\1"), (r"head(.*)", r"head\1"), (r"ln_out(.*)", r"rwkv.ln_out\1"),
                        (r"blocks.0.ln0(.*)", r"rwkv.blocks.0.pre_ln\1"),
                        (r"(.*)att.time_mix_k", r"rwkv.\1attention.time_mix_key"),
                        (r"(.*)att.time_mix_v", r"rwkv.\1attention.time_mix_value"),
                        (r"(.*)att.time_mix_r", r"rwkv.\1attention.time_mix_receptance"),
                        (r"(.*)ffn.time_mix_k", r"rwkv.\1feed_forward.time_mix_key"),
                        (r"(.*)ffn.time_mix_r", r"rwkv.\1feed_forward.time_mix_receptance"),
                        (r"(.*)att(.*)", r"rwkv.\1attention\2"), (r"(.*)ffn(.*)", r"rwkv.\1feed_forward\2"),
                        (r"(blocks.*)", r"rwkv.\1")])
    model.load_state_dict(state, strict=True)
    model.save_pretrained(OUT / "transformers_v4")


def fla_7(v7):
    from fla.models import RWKV7Config, RWKV7ForCausalLM

    def change(name, tensor):
        return tensor.t() if re.search(r"lora\.lora\.[02]\.weight$", name) else tensor

    renamed = rename(v7, [(r"emb(.*)", r"model.embeddings\1"), (r"head(.*)", r"lm_head\1"), (r"ln_out(.*)", r"model.norm\1"),
                          (r"blocks.0.ln0(.*)", r"model.layers.0.pre_norm\1"),
                          (r"blocks(.*)ln1(.*)", r"model.layers\1attn_norm\2"),
                          (r"blocks(.*)ln2(.*)", r"model.layers\1ffn_norm\2"),
                          (r"blocks(.*)att.receptance(.*)", r"model.layers\1attn.r_proj\2"),
                          (r"blocks(.*)att.key(.*)", r"model.layers\1attn.k_proj\2"),
                          (r"blocks(.*)att.value(.*)", r"model.layers\1attn.v_proj\2"),
                          (r"blocks(.*)att.output(.*)", r"model.layers\1attn.o_proj\2"),
                          (r"blocks(.*)att.ln_x(.*)", r"model.layers\1attn.g_norm\2"),
                          (r"blocks(.*)att.([wavg])1", r"model.layers\1attn.\2_lora.lora.0.weight"),
                          (r"blocks(.*)att.([wavg])2", r"model.layers\1attn.\2_lora.lora.2.weight"),
                          (r"blocks(.*)att.([wavg])0", r"model.layers\1attn.\2_lora.lora.2.bias"),
                          (r"blocks(.*)att(.*)", r"model.layers\1attn\2"), (r"blocks(.*)", r"model.layers\1")])
    config = RWKV7Config(hidden_size=D, num_hidden_layers=L, head_dim=N, vocab_size=V, intermediate_size=F,
                         decay_low_rank_dim=RANKS["w"], a_low_rank_dim=RANKS["a"], v_low_rank_dim=RANKS["v"],
                         gate_low_rank_dim=RANKS["g"])
    model = RWKV7ForCausalLM(config).to(torch.bfloat16)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    state = {name: change(name, tensor).reshape(shapes[name]) for name, tensor in renamed.items()}
    model.load_state_dict(state, strict=True)
    model.save_pretrained(OUT / "fla")
    old = {name: tensor for name, tensor in model.state_dict().items() if not re.search(r"attn\.x_.$", name)}
    for layer in range(L):
        attn = f"model.layers.{layer}.attn."
        old[attn + "x_x"] = torch.stack([state[attn + "x_" + name].flatten() for name in "rwkvag"])
    save_file({name: tensor.contiguous() for name, tensor in old.items()}, OUT / "fla_old.safetensors")


def named_here(v7, v6):
    native = rename(v7, [(r"head(.*)", r"head\1"), (r"(.*)", r"rwkv7.\1")])
    native |= {f"rwkv7.blocks.0.att.{name}": torch.zeros_like(v7[f"blocks.1.att.{name}"]) for name in ("v0", "v1", "v2")}
    folder("transformers_v7", native, {"model_type": "rwkv7", "intermediate_size": None})
    rwkv_rs = rename(flat(v7), [(r"emb(.*)", r"model.embed_tokens\1"), (r"head(.*)", r"lm_head\1"),
                                (r"ln_out(.*)", r"model.norm\1"), (r"blocks.0.ln0(.*)", r"model.embedding_norm\1"),
                                (r"blocks(.*)ln1(.*)", r"model.layers\1input_layernorm\2"),
                                (r"blocks(.*)ln2(.*)", r"model.layers\1post_attention_layernorm\2"),
                                (r"blocks(.*)att.receptance(.*)", r"model.layers\1linear_attn.r_proj\2"),
                                (r"blocks(.*)att.key(.*)", r"model.layers\1linear_attn.k_proj\2"),
                                (r"blocks(.*)att.value(.*)", r"model.layers\1linear_attn.v_proj\2"),
                                (r"blocks(.*)att.output(.*)", r"model.layers\1linear_attn.o_proj\2"),
                                (r"blocks(.*)att.ln_x(.*)", r"model.layers\1linear_attn.g_norm\2"),
                                (r"blocks(.*)att(.*)", r"model.layers\1linear_attn\2"),
                                (r"blocks(.*)ffn(.*)", r"model.layers\1mlp\2")])
    config = {"model_type": "rwkv", "architecture_version": "rwkv7"}
    folder("rwkv_rs", rwkv_rs, config | {"embedding_layer_norm_fused": False})
    fused = {name: tensor for name, tensor in rwkv_rs.items() if "embedding_norm" not in name}
    weight, bias = v7["blocks.0.ln0.weight"].float(), v7["blocks.0.ln0.bias"].float()
    fused["model.embed_tokens.weight"] = torch.layer_norm(v7["emb.weight"].float(), (D,), weight, bias).to(torch.bfloat16)
    folder("rwkv_rs_fused", fused, config | {"embedding_layer_norm_fused": True})
    world = rename(v7, [(r"emb(.*)", r"model.embeddings\1"), (r"head(.*)", r"head\1"), (r"ln_out(.*)", r"model.ln_out\1"),
                        (r"blocks.0.ln0(.*)", r"model.pre_ln\1"), (r"(.*)att(\..*)", r"model.\1attention\2"),
                        (r"(.*)ffn(.*)", r"model.\1feed_forward\2"), (r"(.*)", r"model.\1")])
    save_file(dict(world), OUT / "world_hf.safetensors")
    transposed = r"blocks.*att\.([wavg][12]|time_decay_w[12]|time_maa_w[12])$"

    def web(weights):
        swapped = {name: tensor.transpose(-1, -2) if re.match(transposed, name) else tensor
                   for name, tensor in weights.items()}
        return {name.replace("time_faaaa", "time_first").replace("time_maa", "time_mix"): tensor.to(torch.float16).contiguous()
                for name, tensor in swapped.items()}

    save_file(web(v7), OUT / "web_v7.st")
    torch.save(v6, OUT / "v6.pth")
    save_file(web(v6), OUT / "web_v6.st")
    hub = rename(v6, [(r"emb(.*)", r"rwkv.embeddings\1"), (r"head(.*)", r"head\1"), (r"ln_out(.*)", r"rwkv.ln_out\1"),
                      (r"blocks.0.ln0(.*)", r"rwkv.blocks.0.pre_ln\1"), (r"(.*)att(\..*)", r"rwkv.\1attention\2"),
                      (r"(.*)ffn(.*)", r"rwkv.\1feed_forward\2"), (r"(blocks.*)", r"rwkv.\1")])
    save_file(dict(hub), OUT / "hub_v6.safetensors")


OUT.mkdir(parents=True, exist_ok=True)
v7 = shared(attention_7, feed_forward_7)
v4 = shared(attention_4, feed_forward_4)
v6 = shared(attention_6, feed_forward_6)
torch_files(v7)
safetensors_files(v7)
transformers_4(v4)
fla_7(v7)
named_here(v7, v6)
