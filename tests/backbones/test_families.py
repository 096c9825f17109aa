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
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
HOPT = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
COLOURS = {  # mean and standard deviation of red, green and blue; ImageNet's for every other family
    **dict.fromkeys(["kaiko-", "midnight", "vit-", "resnet", "d4resnet", "efficientnet"], HALF),
    **dict.fromkeys(["h-optimus", "h0-mini"], HOPT),
    "hibou-": ((0.7068, 0.5755, 0.7220), (0.1950, 0.2316, 0.1816)),
    "lunit-": ((0.70322989, 0.53606487, 0.66096631), (0.21716536, 0.26081574, 0.20723464)),
}
KAIKO = "kaiko_ai_towards_large_pathology_fms"
# From model cards and configurations, apart from the facts: address, million parameters (as many digits as were read), prefix
# tokens, patch in px, width of the default pooling, whether access is asked for (None: sources disagree).
READ: dict[str, tuple[str, str, int, int | None, int, bool | None]] = {
    "uni": ("MahmoodLab/UNI", "303.35", 1, 16, 1024, True),
    "uni2-h": ("MahmoodLab/UNI2-h", "681.39", 9, 14, 1536, True),
    "virchow": ("paige-ai/Virchow", "631.23", 1, 14, 2560, True),
    "virchow2": ("paige-ai/Virchow2", "631.24", 5, 14, 2560, True),
    "h-optimus-0": ("bioptimus/H-optimus-0", "1134.77", 5, 14, 1536, False),
    "h-optimus-1": ("bioptimus/H-optimus-1", "1134.77", 5, 14, 1536, True),
    "h0-mini": ("bioptimus/H0-mini", "85.74", 5, 14, 768, True),
    "gigapath": ("prov-gigapath/prov-gigapath", "1134.95", 1, 16, 1536, True),
    "phikon": ("owkin/phikon", "85.80", 1, 16, 768, False),
    "phikon-v2": ("owkin/phikon-v2", "303.35", 1, 16, 1024, False),
    "midnight-12k": ("kaiko-ai/midnight", "1136.5", 1, 14, 3072, False),
    "hibou-b": ("histai/hibou-b", "85.7", 5, 14, 768, None),
    "hibou-l": ("histai/hibou-L", "303.7", 5, 14, 1024, True),
    "kaiko-s16": (f"1aurent/vit_small_patch16_224.{KAIKO}", "21.67", 1, 16, 384, False),
    "kaiko-s8": (f"1aurent/vit_small_patch8_224.{KAIKO}", "21.67", 1, 8, 384, False),
    "kaiko-b16": (f"1aurent/vit_base_patch16_224.{KAIKO}", "85.80", 1, 16, 768, False),
    "kaiko-b8": (f"1aurent/vit_base_patch8_224.{KAIKO}", "85.81", 1, 8, 768, False),
    "kaiko-l14": (f"1aurent/vit_large_patch14_reg4_224.{KAIKO}", "304.37", 5, 14, 1024, False),
    "lunit-s16": ("1aurent/vit_small_patch16_224.lunit_dino", "21.67", 1, 16, 384, False),
    "lunit-s8": ("1aurent/vit_small_patch8_224.lunit_dino", "21.67", 1, 8, 384, False),
    "gpfm": ("majiabo/GPFM", "303.23", 1, 14, 1024, False),
    "dinov2-vitb14": ("timm/vit_base_patch14_dinov2.lvd142m", "86.58", 1, 14, 768, False),
    "dinov3-l": ("timm/vit_large_patch16_dinov3.lvd1689m", "303.08", 5, 16, 1024, False),
    "dinov3-h+": ("timm/vit_huge_plus_patch16_dinov3.lvd1689m", "840.51", 5, 16, 1280, False),
    "convnextv2-tiny": ("timm/convnextv2_tiny.fcmae_ft_in22k_in1k", "27.87", 0, None, 768, False),
    "convnextv2-base": ("timm/convnextv2_base.fcmae_ft_in22k_in1k", "87.69", 0, None, 1024, False),
    "convnext-base": ("timm/convnext_base.fb_in22k_ft_in1k", "87.57", 0, None, 1024, False),
    "swin-base": ("timm/swin_base_patch4_window7_224.ms_in22k_ft_in1k", "86.74", 0, 4, 1024, False),
    "vit-l16": ("timm/vit_large_patch16_224.augreg_in21k_ft_in1k", "303.30", 1, 16, 1024, False),
}
UNREAD = {"dinov3-l", "dinov3-h+", "virchow", "gigapath", "phikon", "phikon-v2", "lunit-s16", "lunit-s8"}
UNREAD |= {"kaiko-s16", "kaiko-s8", "kaiko-b16", "kaiko-b8", "kaiko-l14"}  # licences of their own: nothing is promised


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
    assert counted == pytest.approx(facts(name).params_m, rel=0, abs=min(0.006, 2e-3 * counted))


@pytest.mark.parametrize("name", READ)
def test_facts_are_those_that_were_read(name: str) -> None:
    address, params_m, prefix_tokens, patch_px, width, gated = READ[name]
    told = facts(name)
    last_digit = 10.0 ** -len(params_m.partition(".")[2])
    assert parameters_m(trunk(name)) == pytest.approx(float(params_m), rel=0, abs=0.6 * last_digit)
    assert told.weights == f"hf-hub:{address}"
    assert (told.prefix_tokens, told.patch_px) == (prefix_tokens, patch_px)
    assert told.pooling[told.default_pooling] == width
    assert gated is None or told.gated == gated


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
    wanted = next((found for prefix, found in COLOURS.items() if name.startswith(prefix)), IMAGENET)
    assert (tuple(told.mean), tuple(told.std)) == wanted


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
        with pytest.raises(Mistake, match=f"^{re.escape(name)} does not take {size_px} px"):
            told.check_size(size_px, name)
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


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("convnext-base", "full(last=1)"), ("swin-base", "full(last=1)"), ("resnet10", "full(last=1)"), ("convnext-base", "lora(4, last=1)"),
     ("swin-base", "prompts(2)")],
)  # fmt: skip
def test_nets_without_one_row_of_blocks_say_so(name: str, sentence: str) -> None:
    with pytest.raises(Mistake, match="needs a transformer's blocks") as told:
        adapters.read(sentence).apply(trunk.__wrapped__(name), facts(name))
    assert told.value.allowed == "full, lora, head, probe, knn, prototype"


@pytest.mark.parametrize(
    ("sentence", "allowed"),
    [
        ("lora(1.5)", "a whole number from 1 to 1024"),
        ("lora(4, 0)", "a whole number from 1 to 1000000"),
        ("lora(4, 8, 0.95)", "a number from 0 to 0.9"),
        ("lora(4, dora=2)", "a whole number from 0 to 1"),
        ("full(1.5)", "a number from 1e-06 to 1"),
        ("knn(0)", "a whole number from 1 to 10000"),
        ("full(last=-1)", "a whole number from 0 to 1024"),
    ],
)
def test_numbers_out_of_range_are_told_their_range(sentence: str, allowed: str) -> None:
    with pytest.raises(Mistake) as told:
        adapters.read(sentence)
    assert told.value.allowed == allowed


def walked(trunk: nn.Module) -> list[str]:
    """The names of a trunk's blocks, as they are run."""
    found: list[str] = []
    for name, module in trunk.named_modules():
        if re.fullmatch(r".*blocks\.\d+", name):
            module.register_forward_pre_hook(lambda module, given, name=name: found.append(name))
    return found


@pytest.mark.parametrize("name", ["uni2-h", "dinov3-h+", "swin-base"])
def test_recomputing_activations_changes_no_gradient(name: str) -> None:
    with siblings.shelved(name) as (tiny,):
        told = facts(tiny)
        picture = torch.rand(2, 3, 40, 40)
        gradients, walks = [], []
        for recompute in (False, True):
            net = build(Architecture(tiny, told.size_px, told.default_pooling, adaptation="lora(4, 8, 0)"), seed=0)
            net.trunk.recompute = recompute
            assert net.trunk.recompute == recompute
            walks.append(walked(net.trunk))
            net.train()(picture).logit_B.sum().backward()
            gradients.append([p.grad for p in net.parameters() if p.requires_grad])
    for kept, again in zip(*gradients, strict=True):
        torch.testing.assert_close(kept, again)
    assert [len(blocks) for blocks in walks] == [len(set(walks[0])), 2 * len(set(walks[0]))]
