"""The maps of tensor names, proven by output: the publisher's net and ours say the same from the same weights."""

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

from mitotype.backbones import backbones
from mitotype.backbones.classifier import Architecture, build, fill
from mitotype.backbones.facts import Facts
from mitotype.backbones.keys import renamed
from mitotype.core.mistakes import Mistake
from tests.backbones import siblings
from tests.backbones.siblings import DEPTH, HEADS, WIDTH, sibling

Spelling = Callable[[Any, Path], dict[str, Tensor]]

REAL = {  # width, blocks, heads, patch and grid in px, of the published nets
    "phikon": (768, 12, 12, 16, 224),
    "phikon-v2": (1024, 24, 16, 16, 224),
    "midnight-12k": (1536, 40, 24, 14, 518),
    "hibou-b": (768, 12, 12, 14, 224),
    "hibou-l": (1024, 24, 16, 14, 224),
}


def on_the_hub(net: Any, folder: Path) -> dict[str, Tensor]:
    """The state as transformers writes it to a file, which is by the names of its version 4."""
    net.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


def as_it_is(net: Any, folder: Path) -> dict[str, Tensor]:
    """The state by the names of transformers 5."""
    return net.state_dict()


def with_a_head(net: Any, folder: Path) -> dict[str, Tensor]:
    """The state of a model whose head was trained: the net stands behind a prefix."""
    inside = {f"{net.base_model_prefix}.{key}": value for key, value in on_the_hub(net, folder).items()}
    return {**inside, "classifier.weight": torch.zeros(2, WIDTH), "classifier.bias": torch.zeros(2)}


def published(told: Facts) -> Any:
    """The publisher's net at random weights, biases, scales and positions."""
    common: dict[str, Any] = {
        "hidden_size": WIDTH,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": HEADS,
        "patch_size": told.patch_px,
        "image_size": told.grid_px,
        "layer_norm_eps": 1e-6,  # as the configurations of Phikon and Hibou say, and by default Dinov2
    }
    gated = told.arch_options.get("mlp_layer") == "SwiGLUPacked" or "giant" in told.offline_arch
    if told.keys == "hf-vit":
        net = transformers.ViTModel(transformers.ViTConfig(intermediate_size=4 * WIDTH, **common))
    elif told.prefix_tokens == 1:
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


def family(name: str) -> Facts:
    """The sibling's facts at the grid of its weights."""
    told = sibling(name)
    return replace(told, size_px=told.grid_px)


def loaded(name: str, told: Facts, state: Mapping[str, Tensor]) -> nn.Module:
    trunk = backbones.get(name).build(told, told.size_px, {})
    fill(trunk, renamed(state, told), name)
    return trunk.eval()


@pytest.mark.parametrize("spelling", [on_the_hub, as_it_is, with_a_head])
@pytest.mark.parametrize("name", REAL)
def test_our_net_says_what_the_publishers_says(name: str, spelling: Spelling, tmp_path: Path) -> None:
    told = family(name)
    net = published(told)
    trunk = loaded(name, told, spelling(net, tmp_path))
    x_B3SS = torch.randn(2, 3, told.size_px, told.size_px, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected, said = net(x_B3SS).last_hidden_state, trunk(x_B3SS)
    assert expected.std() > 0.1
    torch.testing.assert_close(said, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("patches", [2, 5])
@pytest.mark.parametrize("name", REAL)
def test_positions_are_resampled_as_the_publisher_does(name: str, patches: int) -> None:
    told = family(name)
    net = published(told)
    told = replace(told, size_px=patches * (told.patch_px or 0))
    assert told.size_px != told.grid_px
    x_B3SS = torch.randn(2, 3, told.size_px, told.size_px, generator=torch.Generator().manual_seed(1))
    asked = {"interpolate_pos_encoding": True} if told.keys == "hf-vit" else {}
    with torch.inference_mode():
        expected = net(x_B3SS, **asked).last_hidden_state
        said = loaded(name, told, net.state_dict())(x_B3SS)
    torch.testing.assert_close(said, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", REAL)
def test_the_published_configuration_has_the_shapes_of_our_net(name: str) -> None:
    width, depth, heads, patch_px, grid_px = REAL[name]
    told = backbones.get(name).facts
    common: dict[str, Any] = {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "patch_size": patch_px,
        "image_size": grid_px,
    }
    with torch.device("meta"):
        if told.keys == "hf-vit":
            net = transformers.ViTModel(transformers.ViTConfig(**common))
        elif name.startswith("hibou"):
            config = transformers.Dinov2WithRegistersConfig(use_swiglu_ffn=True, num_register_tokens=4, **common)
            net = transformers.Dinov2WithRegistersModel(config)
        else:
            net = transformers.Dinov2Model(transformers.Dinov2Config(use_swiglu_ffn=name.startswith("mid"), **common))
        trunk = backbones.get(name).build(told, told.grid_px, {})
    shapes = {key: tuple(value.shape) for key, value in renamed(net.state_dict(), told).items()}
    assert shapes == {key: tuple(value.shape) for key, value in trunk.state_dict().items()}
    assert all(block.attn.num_heads == heads for block in trunk.blocks)


def test_registers_and_a_plain_mlp_are_read_too() -> None:
    """DINOv2 with registers as Meta publishes it: no family of ours, but a file of the user's own may be one."""
    told = replace(family("kaiko-l14"), keys="hf-dinov2")
    net = published(told)
    x_B3SS = torch.randn(2, 3, told.size_px, told.size_px, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        said = loaded("kaiko-l14", told, net.state_dict())(x_B3SS)
        torch.testing.assert_close(said, net(x_B3SS).last_hidden_state, atol=1e-5, rtol=1e-5)


def test_the_halves_of_a_gated_mlp_are_not_alike(tmp_path: Path) -> None:
    """The parity above would not hold had gate and value changed places."""
    told = family("midnight-12k")
    net = published(told)
    state = {
        key: torch.cat(value.chunk(2)[::-1]) if "weights_in" in key else value
        for key, value in on_the_hub(net, tmp_path).items()
    }
    x_B3SS = torch.randn(2, 3, told.size_px, told.size_px, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        difference = loaded("midnight-12k", told, state)(x_B3SS) - net(x_B3SS).last_hidden_state
    assert difference.abs().max() > 0.01


def test_what_a_map_does_not_know_is_told() -> None:
    told = family("phikon-v2")
    state = {**published(told).state_dict(), "encoder.layer.0.attention.rotary.weight": torch.zeros(1)}
    with pytest.raises(Mistake, match=r"1 unknown \('net\.encoder\.layer\.0\.attention\.rotary\.weight' first\)"):
        loaded("phikon-v2", told, state)


def test_a_missing_part_of_what_is_fused_is_told() -> None:
    told = family("phikon-v2")
    state = {key: value for key, value in published(told).state_dict().items() if "layer.1.attention.k_proj" not in key}
    with pytest.raises(Mistake, match=r"2 missing \('net\.blocks\.1\.attn\.qkv\.bias' first\)"):
        loaded("phikon-v2", told, state)


@pytest.mark.parametrize("name", [name for name in siblings.NAMES if backbones.get(name).facts.keys == "timm"])
def test_timms_names_are_read_and_classifiers_left_out(name: str) -> None:
    told = sibling(name)
    options = {key: value for key, value in told.arch_options.items() if key not in ("mlp_layer", "act_layer")}
    if len(options) < len(told.arch_options):
        options |= {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": nn.SiLU}
    options |= {"img_size": told.grid_px} if told.patch_px else {}
    whole = timm.create_model(told.offline_arch, num_classes=7, **options)
    state = renamed(whole.state_dict(), told)
    trunk = backbones.get(name).build(told, told.grid_px, {})
    fill(trunk, state, name)
    assert len(state) == len(whole.state_dict()) - len(list(whole.get_classifier().parameters())) > 0
    first = next(key for key in state if key.endswith("norm1.weight") or key.endswith("bn1.weight") or "norm" in key)
    assert torch.equal(trunk.state_dict()[first], state[first])


@pytest.mark.parametrize("name", ["convnext-base", "convnextv2-tiny"])
def test_the_norm_inside_the_head_belongs_to_the_trunk(name: str) -> None:
    trunk = backbones.get(name).build(sibling(name), 32, {})
    state = {key.removeprefix("net."): value for key, value in trunk.state_dict().items()}
    assert "head.norm.weight" in state
    assert set(renamed(state, sibling(name))) == set(trunk.state_dict())


def test_windows_of_a_published_swin_are_made_anew() -> None:
    told = sibling("swin-base")
    state = {
        "layers.0.blocks.1.attn_mask": torch.zeros(1),
        "layers.0.blocks.0.attn.relative_position_index": torch.zeros(1),
    }
    assert renamed(state, told) == {}


@pytest.mark.parametrize("name", ["uni", "phikon", "hibou-b", "swin-base", "vit-mini8"])
def test_a_state_of_our_own_is_known_whatever_the_facts_say(name: str) -> None:
    with siblings.shelved(name) as (tiny,):
        told = backbones.get(tiny).facts
        member = build(Architecture(tiny, told.size_px, told.default_pooling, (("sub_label", 8),)), seed=0)
        assert {"head.weight", "extra.sub_label.weight"} <= member.state_dict().keys()
        for state in (member.state_dict(), member.trunk.state_dict()):
            again = backbones.get(tiny).build(told, told.size_px, {})
            fill(again, renamed(state, told), tiny)
            assert all(torch.equal(value, again.state_dict()[key]) for key, value in member.trunk.state_dict().items())


def test_positions_are_resampled_to_the_grid_that_is_asked_for() -> None:
    told = sibling("midnight-12k")
    assert told.grid_px > told.size_px
    state = renamed(published(told).state_dict(), told)
    trunk = backbones.get("midnight-12k").build(told, told.size_px, {})
    fill(trunk, state, "midnight-12k")
    assert trunk.get_parameter("net.pos_embed").shape == (1, 1 + 9, WIDTH)
    assert torch.equal(trunk.get_parameter("net.pos_embed")[:, 0], state["net.pos_embed"][:, 0])
