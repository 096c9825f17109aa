"""Contracts over the specs of all families: what they state about an architecture is what timm builds, without its weights."""

from __future__ import annotations

import functools
import re

import pytest
import torch
from torch import nn

from mitotype.backbones import ModelSpec, backbones
from mitotype.backbones.adaptations import adaptations
from mitotype.backbones.adaptations.lora import Lora
from mitotype.backbones.classifier import Architecture, build, parameters_m, pool_tokens
from mitotype.backbones.state_dicts import CONVERTERS
from mitotype.backbones.transformer_trunk import LAYERS, TransformerTrunk
from mitotype.core.errors import UserError
from tests.backbones import siblings
from tests.backbones.siblings import TRANSFORMERS

NAMES = backbones.names()
PUBLISHED = [name for name in NAMES if backbones.get(name).spec.weights]
ADAPTED = [name for name in NAMES if backbones.get(name).spec.lora_targets]

LORA = {  # modules that the pattern matches, and how many more the bare layer names would match
    **dict.fromkeys(["uni", "uni2-h", "phikon-v2", "hibou-l", "kaiko-l14", "gpfm", "dinov3-l", "vit-l16"], (96, 1)),
    **dict.fromkeys(["virchow", "virchow2"], (128, 1)),
    **dict.fromkeys(["h-optimus-0", "h-optimus-1", "gigapath", "midnight-12k"], (160, 1)),
    **dict.fromkeys(["h0-mini", "hibou-b", "phikon", "kaiko-s16", "kaiko-s8", "kaiko-b16", "kaiko-b8"], (48, 1)),
    **dict.fromkeys(["lunit-s16", "lunit-s8", "dinov2-vitb14", "vit-s16"], (48, 1)),
    "dinov3-h+": (160, 1 - 64),  # the bare names miss both halves of the gated MLP
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
    "gigapath": (1, 197, 1536),  # 1 + 14²: patches of 16 px
    "midnight-12k": (1, 1370, 1536),
    "kaiko-l14": (1, 1369, 1024),
    "hibou-b": (1, 256, 768),
    "dinov2-vitb14": (1, 1370, 768),
}
SAME_AS_TINY = {
    f"convnextv2-{size}" for size in ("femto", "pico", "nano", "base", "large", "huge")
}  # their siblings are those of convnextv2-tiny or -atto
SAME_AS_TINY |= {"efficientnet-lite1", "efficientnet-lite2"}  # as efficientnet-lite0, with more blocks
FREE = {"h-optimus-0", "hibou-b", "hibou-l", "midnight-12k", "convnext-base", "swin-base", "vit-s16", "vit-l16"}
FREE |= {
    "dinov2-vits14",
    "dinov2-vitb14",
    "dinov2-vitl14",
    "efficientnet-lite0",
    "efficientnet-lite1",
    "efficientnet-lite2",
}
NO_DERIVATIVES = {"uni", "uni2-h", "virchow2", "h-optimus-1", "h0-mini", "gpfm"}
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
HOPT = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NORMALIZATION = {  # mean and standard deviation of red, green and blue; ImageNet's for every other family
    **dict.fromkeys(["kaiko-", "midnight", "vit-", "resnet", "d4resnet", "efficientnet"], HALF),
    **dict.fromkeys(["h-optimus", "h0-mini"], HOPT),
    "hibou-": ((0.7068, 0.5755, 0.7220), (0.1950, 0.2316, 0.1816)),
    "lunit-": ((0.70322989, 0.53606487, 0.66096631), (0.21716536, 0.26081574, 0.20723464)),
}
KAIKO = "kaiko_ai_towards_large_pathology_fms"
# From model cards and configurations, independent of the specs: address, million parameters (as many digits as were read), prefix
# tokens, patch in px, width of the default pooling, whether access is gated (None: sources disagree).
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
    "efficientnet-lite0": ("timm/tf_efficientnet_lite0.in1k", "3.37", 0, None, 1280, False),
    "efficientnet-lite1": ("timm/tf_efficientnet_lite1.in1k", "4.14", 0, None, 1280, False),
    "efficientnet-lite2": ("timm/tf_efficientnet_lite2.in1k", "4.81", 0, None, 1280, False),
    "vit-l16": ("timm/vit_large_patch16_224.augreg_in21k_ft_in1k", "303.30", 1, 16, 1024, False),
}
UNREAD = {"dinov3-l", "dinov3-h+", "virchow", "gigapath", "phikon", "phikon-v2", "lunit-s16", "lunit-s8"}
UNREAD |= {
    "kaiko-s16",
    "kaiko-s8",
    "kaiko-b16",
    "kaiko-b8",
    "kaiko-l14",
}  # licenses of their own, not read yet: they count as restricted


@functools.cache
def trunk(name: str) -> nn.Module:
    """Return the trunk at the pretrained size on the meta device."""
    backbone = backbones.get(name)
    with torch.device("meta"):
        return backbone.build(backbone.spec, backbone.spec.pretrained_size_px, {})


def spec_of(name: str) -> ModelSpec:
    return backbones.get(name).spec


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_counted(name: str) -> None:
    counted = parameters_m(trunk(name))
    assert counted == pytest.approx(spec_of(name).params_m, rel=0, abs=min(0.006, 2e-3 * counted))


@pytest.mark.parametrize("name", READ)
def test_specs_match_the_model_cards(name: str) -> None:
    address, params_m, prefix_tokens, patch_px, width, gated = READ[name]
    spec = spec_of(name)
    last_digit = 10.0 ** -len(params_m.partition(".")[2])
    assert parameters_m(trunk(name)) == pytest.approx(float(params_m), rel=0, abs=0.6 * last_digit)
    assert spec.weights == f"hf-hub:{address}"
    assert (spec.prefix_tokens, spec.patch_px) == (prefix_tokens, patch_px)
    assert spec.pooling[spec.default_pooling] == width
    assert gated is None or spec.gated == gated


@pytest.mark.parametrize("name", NAMES)
def test_facts_of_a_spec_are_consistent(name: str) -> None:
    spec = spec_of(name)
    assert spec.state_dict_format in CONVERTERS
    assert all(0 < value < 1 for value in (*spec.normalization.mean, *spec.normalization.std))
    assert spec.interpolation in ("bilinear", "bicubic") and spec.precision in ("fp32", "fp16", "bf16")
    assert (
        spec.check_size(spec.size_px) == spec.size_px
        and spec.check_size(spec.pretrained_size_px) == spec.pretrained_size_px
    )
    assert (spec.lora_targets is None) == (spec.lora_modules == 0) == (spec.lora_layer is None)
    assert spec.lora_targets is None or spec.lora_targets.startswith(".*")
    assert all(isinstance(value, bool | int | float | str | tuple) for value in spec.arch_kwargs.values())
    assert all(value in LAYERS for option, value in spec.arch_kwargs.items() if option.endswith("_layer"))


@pytest.mark.parametrize("name", NAMES)
def test_normalization_is_that_of_the_weights(name: str) -> None:
    spec = spec_of(name)
    expected = next((values for prefix, values in NORMALIZATION.items() if name.startswith(prefix)), IMAGENET)
    assert spec.normalization == expected


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_tokens_are_the_prefix_and_the_patches(name: str) -> None:
    spec, built = spec_of(name), trunk(name)
    assert isinstance(built, TransformerTrunk)
    assert built.net.num_prefix_tokens == spec.prefix_tokens and len(built.blocks) == spec.blocks
    tokens = built(torch.empty(2, 3, spec.pretrained_size_px, spec.pretrained_size_px, device="meta"))
    side = spec.pretrained_size_px // (spec.patch_px or 0)
    assert tokens.shape == (2, spec.prefix_tokens + side * side, built.net.embed_dim)
    for pooling, width in spec.pooling.items():
        assert pool_tokens(tokens, pooling, spec.prefix_tokens).shape == (2, width)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TRANSFORMERS])
def test_embeddings_have_the_width_of_the_spec(name: str) -> None:
    spec = spec_of(name)
    assert spec.prefix_tokens == 0 and spec.blocks == 0
    embedding = trunk(name).eval()(torch.empty(2, 3, spec.pretrained_size_px, spec.pretrained_size_px, device="meta"))
    assert embedding.shape == (2, spec.pooling[spec.default_pooling])


@pytest.mark.parametrize("name", ADAPTED)
def test_lora_adapts_the_modules_of_the_spec(name: str) -> None:
    adaptation = adaptations.build("lora(8, 16)")
    assert isinstance(adaptation, Lora)
    modules = adaptation.target_modules(trunk(name), spec_of(name))
    assert len(modules) == spec_of(name).lora_modules
    layer = {"Linear": nn.Linear, "Conv2d": nn.Conv2d}[spec_of(name).lora_layer or ""]
    assert all(isinstance(module, layer) and getattr(module, "groups", 1) == 1 for _, module in modules)
    assert not any("patch_embed" in module for module, _ in modules)


@pytest.mark.parametrize("name", LORA)
def test_lora_modules_are_counted(name: str) -> None:
    expected, more = LORA[name]
    bare = [module for module, _ in trunk(name).named_modules() if re.search(r"(^|\.)(qkv|proj|fc1|fc2)$", module)]
    assert spec_of(name).lora_modules == expected
    assert len(bare) == expected + more


@pytest.mark.parametrize("name", MLP)
def test_layers_of_the_mlp(name: str) -> None:
    mlp = trunk(name).get_submodule("net.blocks.0.mlp")
    assert tuple((layer.in_features, layer.out_features) for layer in (mlp.fc1, mlp.fc2)) == MLP[name]


@pytest.mark.parametrize("name", POSITIONS)
def test_position_embeddings(name: str) -> None:
    assert trunk(name).get_parameter("net.pos_embed").shape == POSITIONS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_licenses_are_of_the_class_that_was_read(name: str) -> None:
    spec = spec_of(name)
    assert spec.commercial == (name in FREE), f"list {name} in FREE if its license was read and allows commercial use"
    restricted = name in NO_DERIVATIVES | UNREAD
    assert spec.shareable_derivatives == (not restricted), f"list {name} in NO_DERIVATIVES or UNREAD, or neither"
    assert not ("ND" in spec.license.split("-") and spec.shareable_derivatives)
    assert not ("NC" in spec.license.split("-") and spec.commercial)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_prefix_tokens_never_reach_the_mean_of_the_patches(name: str) -> None:
    prefix = spec_of(name).prefix_tokens
    tokens_BTD = torch.randn(2, prefix + 9, 8, generator=torch.Generator().manual_seed(0))
    expected = tokens_BTD[:, -9:].mean(1)
    tokens_BTD[:, :prefix] = torch.nan
    torch.testing.assert_close(pool_tokens(tokens_BTD, "mean", prefix), expected)
    tokens_BTD[:, 0] = 1.0
    assert pool_tokens(tokens_BTD, "cls_mean", prefix).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_invalid_sizes_are_errors(name: str) -> None:
    spec = spec_of(name)
    for size_px in (spec.size_px + 1, spec.multiple_px - 1, 0):
        with pytest.raises(UserError, match=f"^{re.escape(name)} does not take {size_px} px"):
            spec.check_size(size_px, name)
    assert spec.check_size(2 * spec.multiple_px) == 2 * spec.multiple_px


@pytest.mark.parametrize("name", [name for name in siblings.NAMES if name not in SAME_AS_TINY])
def test_siblings_take_every_adaptation(name: str) -> None:
    with siblings.registered_siblings(name) as (tiny,):
        spec = spec_of(tiny)
        adaptations = ["full", "probe", "lora(4, 8)", "prompts(2)"]
        adaptations = [s for s in adaptations if not s.startswith("lora") or spec.lora_targets]
        adaptations = [s for s in adaptations if not s.startswith("prompts") or name in TRANSFORMERS]
        for adaptation in adaptations:
            net = build(Architecture(tiny, spec.size_px, spec.default_pooling, adaptation=adaptation), seed=0)
            outputs = net(torch.rand(2, 3, 40, 40))
            assert outputs.logit_B.isfinite().all()
            assert outputs.embedding_BD.shape == (2, spec.pooling[spec.default_pooling])
            outputs.logit_B.sum().backward()
            trainable = {key for key, p in net.trunk.named_parameters() if p.requires_grad}
            unused = {key for key, p in net.trunk.named_parameters() if p.requires_grad and p.grad is None}
            assert not unused
            expected = {"full": None, "probe": 0, "lora(4, 8)": 2 * spec.lora_modules, "prompts(2)": 1}[adaptation]
            assert expected is None or len(trainable) == expected
    assert tiny not in backbones


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_running_block_by_block_gives_the_output_of_timm(name: str) -> None:
    spec = siblings.sibling(name)
    built = backbones.get(name).build(spec, spec.size_px, {}).eval()
    assert isinstance(built, TransformerTrunk)
    image = torch.rand(2, 3, spec.size_px, spec.size_px)
    with torch.inference_mode():
        expected = built.net.forward_features(image)
        torch.testing.assert_close(built(image), expected)
        torch.testing.assert_close(built.forward_from(built.forward_until(image, 2), 2), expected)


@pytest.mark.parametrize(
    ("name", "adaptation"),
    [("convnext-base", "full(last=1)"), ("swin-base", "full(last=1)"), ("resnet10", "full(last=1)"), ("convnext-base", "lora(4, last=1)"),
     ("swin-base", "prompts(2)")],
)  # fmt: skip
def test_nets_without_a_sequence_of_blocks_are_errors(name: str, adaptation: str) -> None:
    with pytest.raises(UserError, match="needs a transformer's blocks") as error:
        adaptations.build(adaptation).apply(trunk.__wrapped__(name), spec_of(name))
    assert error.value.allowed == "full, lora, head, probe, knn, prototype"


@pytest.mark.parametrize(
    "adaptation", ["lora(8, 16, 0.3, 1)", "full(0.5, 2)", "prompts(8, 2)", "probe(last=2)", "knn(k=a)"]
)
def test_only_the_leading_numbers_are_positional(adaptation: str) -> None:
    with pytest.raises(UserError):
        adaptations.build(adaptation)


@pytest.mark.parametrize(
    ("adaptation", "allowed"),
    [
        ("lora(1.5)", "whole numbers, 1 to 1024"),
        ("lora(4, 0)", "whole numbers, 1 to 1000000"),
        ("lora(4, 8, 0.95)", "0 to 0.9"),
        ("lora(4, dora=2)", "whole numbers, 0 to 1"),
        ("full(1.5)", "1e-06 to 1"),
        ("knn(0)", "whole numbers, 1 to 10000"),
        ("full(last=-1)", "whole numbers, 0 to 1024"),
    ],
)
def test_the_error_for_a_number_out_of_range_names_its_range(adaptation: str, allowed: str) -> None:
    with pytest.raises(UserError) as error:
        adaptations.build(adaptation)
    assert error.value.allowed == allowed


def record_blocks(trunk: nn.Module) -> list[str]:
    """Return a list that receives the name of every block when it runs."""
    names: list[str] = []
    for name, module in trunk.named_modules():
        if re.fullmatch(r".*blocks\.\d+", name):
            module.register_forward_pre_hook(lambda module, args, name=name: names.append(name))
    return names


@pytest.mark.parametrize("name", ["uni2-h", "dinov3-h+", "swin-base"])
def test_gradient_checkpointing_changes_no_gradient(name: str) -> None:
    with siblings.registered_siblings(name) as (tiny,):
        spec = spec_of(tiny)
        image = torch.rand(2, 3, 40, 40)
        gradients, block_runs = [], []
        for enable in (False, True):
            net = build(Architecture(tiny, spec.size_px, spec.default_pooling, adaptation="lora(4, 8, 0)"), seed=0)
            net.trunk.set_grad_checkpointing(enable)
            block_runs.append(record_blocks(net.trunk))
            net.train()(image).logit_B.sum().backward()
            gradients.append([p.grad for p in net.parameters() if p.requires_grad])
    for stored, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(stored, recomputed)
    assert [len(runs) for runs in block_runs] == [len(set(block_runs[0])), 2 * len(set(block_runs[0]))]
