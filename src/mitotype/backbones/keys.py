"""Keys: the publisher's names of tensors → the names of the trunk.

own         a state that mitotype wrote: a member's ("trunk.…", "head.…", "extra.…") or a trunk's own
timm        timm's names, to which the trunk adds "net."
hf-vit      a ViTModel of transformers (Dosovitskiy et al., arXiv 2010.11929)
hf-dinov2   a Dinov2Model of transformers, with or without registers (Oquab et al., arXiv 2304.07193)

The spelling of transformers 4, in which files on the hub are written, and that of transformers 5 are both read. What no map
knows keeps its name, so that strict loading reports it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from mitotype.backbones.facts import Facts

State = dict[str, Tensor]

# What stands behind the trunk; head.norm of ConvNeXt belongs to it.
CLASSIFIERS = ("head.weight", "head.bias", "head.fc.", "fc.", "classifier.", "pooler.")
BUFFERS = (".relative_position_index", ".attn_mask")  # of windows: made anew for the input size
PREFIX = re.compile(r"^(vit|dinov2|dinov2_with_registers)\.")
BLOCK = re.compile(r"^(?:encoder\.)?layers?\.(\d+)\.(.+)\.(weight|bias|lambda1)$")

OUTSIDE = {
    "embeddings.cls_token": "cls_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.register_tokens": "reg_token",
    "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    "layernorm.weight": "norm.weight",
    "layernorm.bias": "norm.bias",
}
ATTENTION = {
    "attention.attention.query": "attn.q",
    "attention.attention.key": "attn.k",
    "attention.attention.value": "attn.v",
    "attention.output.dense": "attn.proj",
    "attention.q_proj": "attn.q",
    "attention.k_proj": "attn.k",
    "attention.v_proj": "attn.v",
    "attention.o_proj": "attn.proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
VIT = ATTENTION | {
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
DINOV2 = ATTENTION | {
    "norm1": "norm1",
    "norm2": "norm2",
    "layer_scale1": "ls1",
    "layer_scale2": "ls2",
    "mlp.weights_in": "mlp.fc1",  # gate and value side by side, the gate first, as in timm's SwiGLUPacked
    "mlp.weights_out": "mlp.fc2",
    "mlp.gate_proj": "mlp.gate",
    "mlp.up_proj": "mlp.value",
    "mlp.down_proj": "mlp.fc2",
}
FUSED = {"attn.qkv": ("attn.q", "attn.k", "attn.v"), "mlp.fc1": ("mlp.gate", "mlp.value")}


def renamed(state: Mapping[str, Tensor], facts: Facts) -> dict[str, Tensor]:
    """The tensors of `state` by the names of the trunk that `facts` builds; heads and what only pre-training needs are left out.

    A state whose names begin with "trunk." is a member's, whatever the facts say: weights of a family trained on by us.
    """
    if any(key.startswith("trunk.") for key in state):
        return _own(state)
    if all(key.startswith("net.") for key in state):
        return dict(state)
    return MAPS[facts.keys](state)


def _own(state: Mapping[str, Tensor]) -> State:
    return {
        key.removeprefix("trunk."): value for key, value in state.items() if not key.startswith(("head.", "extra."))
    }


def _timm(state: Mapping[str, Tensor]) -> State:
    return {f"net.{key}": value for key, value in state.items() if _wanted(key) and not key.endswith(BUFFERS)}


def _transformers(state: Mapping[str, Tensor], inside: Mapping[str, str]) -> State:
    short = {PREFIX.sub("", key): value for key, value in state.items()}
    found: State = {}
    for key, value in short.items():
        block = BLOCK.match(key)
        if key in OUTSIDE:
            found[OUTSIDE[key]] = value
        elif block and block[2] in inside:
            kind = "gamma" if block[3] == "lambda1" else block[3]
            found[f"blocks.{block[1]}.{inside[block[2]]}.{kind}"] = value
        elif _wanted(key):
            found[key] = value
    return {f"net.{key}": value for key, value in _placed(_fused(found)).items()}


def _wanted(key: str) -> bool:
    return not key.startswith(CLASSIFIERS) and key.rpartition(".")[2] != "mask_token"


def _fused(state: State) -> State:
    """q, k and v in one matrix, in timm's order, and so the two halves of a gated MLP."""
    fused = dict(state)
    for key in state:
        for whole, parts in FUSED.items():
            block, first, kind = key.rpartition(f".{parts[0]}.")
            names = [f"{block}.{part}.{kind}" for part in parts]
            if first and all(name in fused for name in names):
                fused[f"{block}.{whole}.{kind}"] = torch.cat([fused.pop(name) for name in names])
    return fused


def _placed(state: State) -> State:
    """With registers timm adds no position to the class token: its own is a constant and goes into the token."""
    if "reg_token" in state and {"cls_token", "pos_embed"} <= state.keys():
        position = state["pos_embed"]
        state = state | {"cls_token": state["cls_token"] + position[:, :1], "pos_embed": position[:, 1:]}
    return state


MAPS: dict[str, Callable[[Mapping[str, Tensor]], State]] = {
    "own": _own,
    "timm": _timm,
    "hf-vit": lambda state: _transformers(state, VIT),
    "hf-dinov2": lambda state: _transformers(state, DINOV2),
}
