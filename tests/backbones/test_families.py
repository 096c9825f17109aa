"""Contracts over the facts of every family: what they say of an architecture is what timm builds, without its weights."""

from __future__ import annotations

import functools
import re

import pytest
import torch
from torch import nn

from mitotype.backbones import adapters, backbones
from mitotype.backbones.classifier import Architecture, build, parameters_m, pool
from mitotype.backbones.facts import Facts
from mitotype.backbones.keys import MAPS
from mitotype.backbones.transformer import LAYERS, TransformerTrunk
from mitotype.core.mistakes import Mistake
from tests.backbones import siblings
from tests.backbones.siblings import TRANSFORMERS

NAMES = backbones.names()
PUBLISHED = [name for name in NAMES if backbones.get(name).facts.weights]
ADAPTED = [name for name in NAMES if backbones.get(name).facts.lora_targets]

LORA = {  # modules that the pattern matches, and how many more the bare list of names would take
    **dict.fromkeys(["uni", "uni2-h", "phikon-v2", "hibou-l", "kaiko-l14", "gpfm", "dinov3-l", "vit-l16"], (96, 1)),
    **dict.fromkeys(["virchow", "virchow2"], (128, 1)),
    **dict.fromkeys(["h-optimus-0", "h-optimus-1", "gigapath", "midnight-12k"], (160, 1)),
    **dict.fromkeys(["h0-mini", "hibou-b", "phikon", "kaiko-s16", "kaiko-s8", "kaiko-b16", "kaiko-b8"], (48, 1)),
    **dict.fromkeys(["lunit-s16", "lunit-s8", "dinov2-vitb14", "vit-s16"], (48, 1)),
    "dinov3-h+": (160, 1 - 64),  # the bare list misses both halves of the gated MLP
    "swin-base": (96, 1),
    "convnextv2-tiny": (36, 0),
    "convnextv2-base": (72, 0),
    "convnext-base": (72, 0),
}
MLP = {  # fc1 (in → out) and fc2 (in → out)
    "uni2-h": ((1536, 8192), (4096, 1536)),
    "virchow": ((1280, 6832), (3416, 1280)),
    "virchow2": ((1280, 6832), (3416, 1280)),
    "h-optimus-0": ((1536, 8192), (4096, 1536)),
    "h-optimus-1": ((1536, 8192), (4096, 1536)),
    "h0-mini": ((768, 4096), (2048, 768)),
    "gigapath": ((1536, 8192), (4096, 1536)),
    "midnight-12k": ((1536, 8192), (4096, 1536)),
    "hibou-b": ((768, 4096), (2048, 768)),
    "hibou-l": ((1024, 5472), (2736, 1024)),
    "uni": ((1024, 4096), (4096, 1024)),
}
POSITIONS = {
    "uni2-h": (1, 256, 1536),
    "virchow": (1, 257, 1280),
    "virchow2": (1, 261, 1280),
    "h-optimus-0": (1, 256, 1536),
    "h-optimus-1": (1, 256, 1536),
    "h0-mini": (1, 256, 768),
    "gigapath": (1, 197, 1536),  # 1 + 14²: its patches have 16 px
    "midnight-12k": (1, 1370, 1536),
    "kaiko-l14": (1, 1369, 1024),
    "hibou-b": (1, 256, 768),
    "dinov2-vitb14": (1, 1370, 768),
}
ALIKE = {
    f"convnextv2-{size}" for size in ("femto", "pico", "nano", "base", "large", "huge")
}  # siblings of others' size
FREE = {"h-optimus-0", "hibou-b", "hibou-l", "midnight-12k", "convnext-base", "swin-base", "vit-s16", "vit-l16"}
FREE |= {"dinov2-vits14", "dinov2-vitb14", "dinov2-vitl14"}
NO_DERIVATIVES = {"uni", "uni2-h", "virchow2", "h-optimus-1", "h0-mini", "gpfm"}
COLOURS = {  # red's mean and standard deviation, ImageNet's for every other family
    **dict.fromkeys(["kaiko-", "midnight", "vit-", "resnet", "d4resnet", "efficientnet"], ("0.5", "0.5")),
    **dict.fromkeys(["h-optimus", "h0-mini"], ("0.707223", "0.211883")),
    "hibou-": ("0.7068", "0.195"),
    "lunit-": ("0.70322989", "0.21716536"),
}
UNREAD = {"dinov3-l", "dinov3-h+"}  # a licence of their own: nothing is promised


@functools.cache
def trunk(name: str) -> nn.Module:
    """The trunk at the published grid, without memory."""
    backbone = backbones.get(name)
    with torch.device("meta"):
        return backbone.build(backbone.facts, backbone.facts.grid_px, {})


def facts(name: str) -> Facts:
    return backbones.get(name).facts


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_of_the_facts(name: str) -> None:
    counted = parameters_m(trunk(name))
    assert counted == pytest.approx(facts(name).params_m, rel=1e-3, abs=5e-4)


@pytest.mark.parametrize("name", NAMES)
def test_facts_agree_with_each_other(name: str) -> None:
    told = facts(name)
    assert told.keys in MAPS
    assert all(0 < value < 1 for value in (*told.mean, *told.std))
    assert told.interpolation in ("bilinear", "bicubic") and told.precision in ("fp32", "fp16", "bf16")
    assert told.check_size(told.size_px) == told.size_px and told.check_size(told.grid_px) == told.grid_px
    assert (told.lora_targets is None) == (told.lora_modules == 0)
    assert told.lora_targets is None or told.lora_targets.startswith(".*")
    assert all(isinstance(value, bool | int | float | str | tuple) for value in told.arch_options.values())
    assert all(value in LAYERS for option, value in told.arch_options.items() if option.endswith("_layer"))


@pytest.mark.parametrize("name", NAMES)
def test_colours_are_those_of_the_weights(name: str) -> None:
    told = facts(name)
    wanted = next((found for prefix, found in COLOURS.items() if name.startswith(prefix)), ("0.485", "0.229"))
    assert tuple(f"{value:.8g}" for value in (told.mean[0], told.std[0])) == wanted


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_tokens_are_the_prefix_and_the_patches(name: str) -> None:
    told, built = facts(name), trunk(name)
    assert isinstance(built, TransformerTrunk)
    assert built.net.num_prefix_tokens == told.prefix_tokens and len(built.blocks) == told.blocks
    tokens = built(torch.empty(2, 3, told.grid_px, told.grid_px, device="meta"))
    side = told.grid_px // (told.patch_px or 0)
    assert tokens.shape == (2, told.prefix_tokens + side * side, built.net.embed_dim)
    for pooling, width in told.pooling.items():
        assert pool(tokens, pooling, told.prefix_tokens).shape == (2, width)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TRANSFORMERS])
def test_embeddings_have_the_stated_width(name: str) -> None:
    told = facts(name)
    assert told.prefix_tokens == 0 and told.blocks == 0
    embedding = trunk(name).eval()(torch.empty(2, 3, told.grid_px, told.grid_px, device="meta"))
    assert embedding.shape == (2, told.pooling[told.default_pooling])


@pytest.mark.parametrize("name", ADAPTED)
def test_lora_adapts_what_the_facts_announce(name: str) -> None:
    adaptation = adapters.read("lora(8, 16)")
    assert isinstance(adaptation, adapters.Lora)
    found = adaptation.targets(trunk(name), facts(name))
    assert len(found) == facts(name).lora_modules
    assert all(isinstance(module, nn.Linear) for _, module in found)
    assert not any("patch_embed" in module for module, _ in found)


@pytest.mark.parametrize("name", LORA)
def test_lora_modules_are_counted(name: str) -> None:
    announced, more = LORA[name]
    bare = [module for module, _ in trunk(name).named_modules() if re.search(r"(^|\.)(qkv|proj|fc1|fc2)$", module)]
    assert facts(name).lora_modules == announced
    assert len(bare) == announced + more


@pytest.mark.parametrize("name", MLP)
def test_layers_of_the_mlp(name: str) -> None:
    mlp = trunk(name).get_submodule("net.blocks.0.mlp")
    assert tuple((layer.in_features, layer.out_features) for layer in (mlp.fc1, mlp.fc2)) == MLP[name]


@pytest.mark.parametrize("name", POSITIONS)
def test_position_embeddings(name: str) -> None:
    assert trunk(name).get_parameter("net.pos_embed").shape == POSITIONS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_licences_are_of_the_class_that_was_read(name: str) -> None:
    told = facts(name)
    assert told.commercial == (name in FREE)
    assert told.shareable_derivatives == (name not in NO_DERIVATIVES | UNREAD)
    assert not ("ND" in told.licence.split("-") and told.shareable_derivatives)
    assert not ("NC" in told.licence.split("-") and told.commercial)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_prefix_tokens_never_reach_the_mean_of_the_patches(name: str) -> None:
    prefix = facts(name).prefix_tokens
    tokens_BTD = torch.randn(2, prefix + 9, 8, generator=torch.Generator().manual_seed(0))
    expected = tokens_BTD[:, -9:].mean(1)
    tokens_BTD[:, :prefix] = torch.nan
    torch.testing.assert_close(pool(tokens_BTD, "mean", prefix), expected)
    tokens_BTD[:, 0] = 1.0
    assert pool(tokens_BTD, "cls_mean", prefix).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_sizes_that_do_not_fit_are_mistakes(name: str) -> None:
    told = facts(name)
    for size_px in (told.size_px + 1, told.multiple_px - 1, 0):
        with pytest.raises(Mistake, match=f"does not take {size_px} px"):
            told.check_size(size_px)
    assert told.check_size(2 * told.multiple_px) == 2 * told.multiple_px


@pytest.mark.parametrize("name", [name for name in siblings.NAMES if name not in ALIKE])
def test_siblings_take_every_adaptation(name: str) -> None:
    with siblings.shelved(name) as (tiny,):
        told = facts(tiny)
        sentences = ["full", "probe", "lora(4, 8)", "prompts(2)"]
        sentences = [s for s in sentences if not s.startswith("lora") or told.lora_targets]
        sentences = [s for s in sentences if not s.startswith("prompts") or name in TRANSFORMERS]
        for sentence in sentences:
            net = build(Architecture(tiny, told.size_px, told.default_pooling, adaptation=sentence), seed=0)
            outputs = net(torch.rand(2, 3, 40, 40))
            assert outputs.logit_B.isfinite().all()
            assert outputs.embedding_BD.shape == (2, told.pooling[told.default_pooling])
            outputs.logit_B.sum().backward()
            learns = {key for key, p in net.trunk.named_parameters() if p.requires_grad}
            unused = {key for key, p in net.trunk.named_parameters() if p.requires_grad and p.grad is None}
            assert not unused
            wanted = {"full": None, "probe": 0, "lora(4, 8)": 2 * told.lora_modules, "prompts(2)": 1}[sentence]
            assert wanted is None or len(learns) == wanted
    assert tiny not in backbones


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_walking_the_blocks_gives_what_timm_gives(name: str) -> None:
    told = siblings.sibling(name)
    built = backbones.get(name).build(told, told.size_px, {}).eval()
    assert isinstance(built, TransformerTrunk)
    picture = torch.rand(2, 3, told.size_px, told.size_px)
    with torch.inference_mode():
        expected = built.net.forward_features(picture)
        torch.testing.assert_close(built(picture), expected)
        torch.testing.assert_close(built.tail(built.stem(picture, 2), 2), expected)


@pytest.mark.parametrize("name", ["uni2-h", "dinov3-h+", "swin-base"])
def test_recomputing_activations_changes_no_gradient(name: str) -> None:
    with siblings.shelved(name) as (tiny,):
        told = facts(tiny)
        picture = torch.rand(2, 3, 40, 40)
        gradients = []
        for recompute in (False, True):
            net = build(Architecture(tiny, told.size_px, told.default_pooling, adaptation="lora(4, 8, 0)"), seed=0)
            net.trunk.recompute = recompute
            assert net.trunk.recompute == recompute
            net.train()(picture).logit_B.sum().backward()
            gradients.append([p.grad for p in net.parameters() if p.requires_grad])
    for kept, again in zip(*gradients, strict=True):
        torch.testing.assert_close(kept, again)
