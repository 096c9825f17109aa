"""State dicts: tensors read from a file without running anything in it, and their names converted to those of the trunk.

own         a state that mitotype wrote: a member's ("trunk.…", "head.…", "extra.…") or a trunk's own
timm        timm's names, to which the trunk adds "net."
hf-vit      a ViTModel of transformers (Dosovitskiy et al., arXiv 2010.11929)
hf-dinov2   a Dinov2Model of transformers, with or without registers (Oquab et al., arXiv 2304.07193)

Both the names of transformers 4, which files on the hub have, and those of transformers 5 are accepted. Unknown names pass
through unchanged, so that strict loading reports them.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mitotype.backbones.model_spec import ModelSpec
from mitotype.core.errors import UserError

State = dict[str, Tensor]

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
FUSED = {"attn.qkv": ("attn.q", "attn.k", "attn.v"), "mlp.fc1": ("mlp.gate", "mlp.value")}


def read_state_dict(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a safetensors file or of a torch file that contains nothing but tensors."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise UserError(
            f"'{path}' holds more than tensors and is not read.", fix="save the state dict alone, best as safetensors"
        ) from error
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise UserError(
            f"The weights '{path}' cannot be read: {str(error).splitlines()[0]}.", fix="download them again"
        ) from error
    for wrapper in ("state_dict", "model", "teacher"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"'{path}' is not a state dict.", fix="save the tensors by name, best as safetensors")
    return state


def read_tensor(path: Path) -> Tensor:
    """Return the tensor of a .pt file that contains nothing else."""
    value = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(value, Tensor):
        raise UserError(f"'{path}' is not a tensor.", fix="download it again")
    return value


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
}
