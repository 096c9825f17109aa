"""Conversions of tensor names, proven by output: the publisher's net and ours agree on the same weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn

from mitotype.backbones import ModelSpec, backbones
from mitotype.backbones.classifier import Architecture, build, load_trunk
from mitotype.backbones.state_dicts import to_trunk_names
from mitotype.core.errors import UserError
from tests.backbones import siblings
from tests.backbones.siblings import DEPTH, HEADS, WIDTH, sibling

StateOf = Callable[[Any, Path], dict[str, Tensor]]

REAL = {  # width, blocks, heads, patch and pretrained size in px, of the published nets
    "phikon": (768, 12, 12, 16, 224),
    "phikon-v2": (1024, 24, 16, 16, 224),
    "midnight-12k": (1536, 40, 24, 14, 518),
    "hibou-b": (768, 12, 12, 14, 224),
    "hibou-l": (1024, 24, 16, 14, 224),
}


def as_on_the_hub(net: Any, folder: Path) -> dict[str, Tensor]:
    """Return the state as transformers writes it to a file, with the names of its version 4."""
    net.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


def as_in_memory(net: Any, folder: Path) -> dict[str, Tensor]:
    """Return the state with the names of transformers 5."""
    return net.state_dict()


def with_a_head(net: Any, folder: Path) -> dict[str, Tensor]:
    """Return the state of a model with a trained head, where the net's names have a prefix."""
    inside = {f"{net.base_model_prefix}.{key}": value for key, value in as_on_the_hub(net, folder).items()}
    return {**inside, "classifier.weight": torch.zeros(2, WIDTH), "classifier.bias": torch.zeros(2)}


def published(spec: ModelSpec) -> Any:
    """Return the publisher's net with random weights, biases, scales and positions."""
    common: dict[str, Any] = {
        "hidden_size": WIDTH,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": HEADS,
        "patch_size": spec.patch_px,
        "image_size": spec.pretrained_size_px,
        "layer_norm_eps": 1e-6,  # as in the configurations of Phikon and Hibou, and by default in Dinov2
    }
    gated = spec.arch_kwargs.get("mlp_layer") == "SwiGLUPacked" or "giant" in spec.arch
    if spec.state_dict_format == "hf-vit":
        net = transformers.ViTModel(transformers.ViTConfig(intermediate_size=4 * WIDTH, **common))
    elif spec.prefix_tokens == 1:
        net = transformers.Dinov2Model(transformers.Dinov2Config(use_swiglu_ffn=gated, **common))
    else:
        config = transformers.Dinov2WithRegistersConfig(use_swiglu_ffn=gated, num_register_tokens=4, **common)
        net = transformers.Dinov2WithRegistersModel(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in net.named_parameters():
            value.normal_(generator=generator, std=0.2 if value.dim() > 1 else 0.5)
            value.add_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
    return net.eval()


def pretrained_sibling(name: str) -> ModelSpec:
    """Return the sibling's spec with the pretrained size as its input size."""
    spec = sibling(name)
    return replace(spec, size_px=spec.pretrained_size_px)


def load(name: str, spec: ModelSpec, state: Mapping[str, Tensor]) -> nn.Module:
    trunk = backbones.get(name).build(spec, spec.size_px, {})
    load_trunk(trunk, to_trunk_names(state, spec), name)
    return trunk.eval()


def random_input(spec: ModelSpec) -> Tensor:
    return torch.randn(2, 3, spec.size_px, spec.size_px, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("state_of", [as_on_the_hub, as_in_memory, with_a_head])
@pytest.mark.parametrize("name", REAL)
def test_tokens_are_those_of_the_publishers_net(name: str, state_of: StateOf, tmp_path: Path) -> None:
    spec = pretrained_sibling(name)
    net = published(spec)
    trunk = load(name, spec, state_of(net, tmp_path))
    x_B3SS = random_input(spec)
    with torch.inference_mode():
        expected, tokens = net(x_B3SS).last_hidden_state, trunk(x_B3SS)
    assert expected.std() > 0.1
    torch.testing.assert_close(tokens, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("patches", [2, 5])
@pytest.mark.parametrize("name", REAL)
def test_positions_are_resampled_as_the_publisher_does(name: str, patches: int) -> None:
    spec = pretrained_sibling(name)
    net = published(spec)
    spec = replace(spec, size_px=patches * (spec.patch_px or 0))
    assert spec.size_px != spec.pretrained_size_px
    x_B3SS = random_input(spec)
    kwargs = {"interpolate_pos_encoding": True} if spec.state_dict_format == "hf-vit" else {}
    with torch.inference_mode():
        expected = net(x_B3SS, **kwargs).last_hidden_state
        tokens = load(name, spec, net.state_dict())(x_B3SS)
    torch.testing.assert_close(tokens, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", REAL)
def test_the_published_configuration_has_the_shapes_of_our_net(name: str) -> None:
    width, depth, heads, patch_px, pretrained_size_px = REAL[name]
    spec = backbones.get(name).spec
    common: dict[str, Any] = {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "patch_size": patch_px,
        "image_size": pretrained_size_px,
    }
    with torch.device("meta"):
        if spec.state_dict_format == "hf-vit":
            net = transformers.ViTModel(transformers.ViTConfig(**common))
        elif name.startswith("hibou"):
            config = transformers.Dinov2WithRegistersConfig(use_swiglu_ffn=True, num_register_tokens=4, **common)
            net = transformers.Dinov2WithRegistersModel(config)
        else:
            net = transformers.Dinov2Model(transformers.Dinov2Config(use_swiglu_ffn=name.startswith("mid"), **common))
        trunk = backbones.get(name).build(spec, spec.pretrained_size_px, {})
    shapes = {key: tuple(value.shape) for key, value in to_trunk_names(net.state_dict(), spec).items()}
    assert shapes == {key: tuple(value.shape) for key, value in trunk.state_dict().items()}
    assert all(block.attn.num_heads == heads for block in trunk.blocks)


def test_registers_and_an_ungated_mlp_are_converted_too() -> None:
    """DINOv2 with registers as Meta publishes it is no family here, but a user's own file may be one."""
    spec = replace(pretrained_sibling("kaiko-l14"), state_dict_format="hf-dinov2")
    net = published(spec)
    x_B3SS = random_input(spec)
    with torch.inference_mode():
        tokens = load("kaiko-l14", spec, net.state_dict())(x_B3SS)
        torch.testing.assert_close(tokens, net(x_B3SS).last_hidden_state, atol=1e-5, rtol=1e-5)


def test_swapped_halves_of_a_gated_mlp_change_the_output(tmp_path: Path) -> None:
    """The parity above proves the order of gate and value."""
    spec = pretrained_sibling("midnight-12k")
    net = published(spec)
    state = {
        key: torch.cat(value.chunk(2)[::-1]) if "weights_in" in key else value
        for key, value in as_on_the_hub(net, tmp_path).items()
    }
    x_B3SS = random_input(spec)
    with torch.inference_mode():
        difference = load("midnight-12k", spec, state)(x_B3SS) - net(x_B3SS).last_hidden_state
    assert difference.abs().max() > 0.01


def test_unknown_names_are_reported() -> None:
    spec = pretrained_sibling("phikon-v2")
    state = {**published(spec).state_dict(), "encoder.layer.0.attention.rotary.weight": torch.zeros(1)}
    with pytest.raises(UserError, match=r"1 unknown \('net\.encoder\.layer\.0\.attention\.rotary\.weight' first\)"):
        load("phikon-v2", spec, state)


def test_a_missing_part_of_a_fused_tensor_is_reported() -> None:
    spec = pretrained_sibling("phikon-v2")
    state = {key: value for key, value in published(spec).state_dict().items() if "layer.1.attention.k_proj" not in key}
    with pytest.raises(UserError, match=r"2 missing \('net\.blocks\.1\.attn\.qkv\.bias' first\)"):
        load("phikon-v2", spec, state)


@pytest.mark.parametrize(
    "name", [name for name in siblings.NAMES if backbones.get(name).spec.state_dict_format == "timm"]
)
def test_timms_names_are_converted_and_classifiers_dropped(name: str) -> None:
    spec = sibling(name)
    kwargs = {key: value for key, value in spec.arch_kwargs.items() if key not in ("mlp_layer", "act_layer")}
    if len(kwargs) < len(spec.arch_kwargs):
        kwargs |= {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": nn.SiLU}
    kwargs |= {"img_size": spec.pretrained_size_px} if spec.patch_px else {}
    net = timm.create_model(spec.arch, num_classes=7, **kwargs)
    state = to_trunk_names(net.state_dict(), spec)
    trunk = backbones.get(name).build(spec, spec.pretrained_size_px, {})
    load_trunk(trunk, state, name)
    assert len(state) == len(net.state_dict()) - len(list(net.get_classifier().parameters())) > 0
    first = next(key for key in state if key.endswith("norm1.weight") or key.endswith("bn1.weight") or "norm" in key)
    assert torch.equal(trunk.state_dict()[first], state[first])


@pytest.mark.parametrize("name", ["convnext-base", "convnextv2-tiny"])
def test_the_norm_inside_the_head_belongs_to_the_trunk(name: str) -> None:
    trunk = backbones.get(name).build(sibling(name), 32, {})
    state = {key.removeprefix("net."): value for key, value in trunk.state_dict().items()}
    assert "head.norm.weight" in state
    assert set(to_trunk_names(state, sibling(name))) == set(trunk.state_dict())


def test_window_buffers_of_a_published_swin_are_dropped() -> None:
    spec = sibling("swin-base")
    state = {
        "layers.0.blocks.1.attn_mask": torch.zeros(1),
        "layers.0.blocks.0.attn.relative_position_index": torch.zeros(1),
    }
    assert to_trunk_names(state, spec) == {}


@pytest.mark.parametrize("name", ["uni", "phikon", "hibou-b", "swin-base", "vit-mini8"])
def test_own_states_are_recognized_whatever_the_format_of_the_spec(name: str) -> None:
    with siblings.registered_siblings(name) as (tiny,):
        spec = backbones.get(tiny).spec
        member = build(Architecture(tiny, spec.size_px, spec.default_pooling, {"sub_label": 8}), seed=0)
        assert {"head.weight", "extra.sub_label.weight"} <= member.state_dict().keys()
        for state in (member.state_dict(), member.trunk.state_dict()):
            again = backbones.get(tiny).build(spec, spec.size_px, {})
            load_trunk(again, to_trunk_names(state, spec), tiny)
            assert all(torch.equal(value, again.state_dict()[key]) for key, value in member.trunk.state_dict().items())


def test_positions_are_resampled_to_the_grid_of_the_input_size() -> None:
    spec = sibling("midnight-12k")
    assert spec.pretrained_size_px > spec.size_px
    state = to_trunk_names(published(spec).state_dict(), spec)
    trunk = backbones.get("midnight-12k").build(spec, spec.size_px, {})
    load_trunk(trunk, state, "midnight-12k")
    assert trunk.get_parameter("net.pos_embed").shape == (1, 1 + 9, WIDTH)
    assert torch.equal(trunk.get_parameter("net.pos_embed")[:, 0], state["net.pos_embed"][:, 0])
