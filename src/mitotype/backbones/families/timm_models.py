"""Any model of timm as a backbone, `timm/NAME` or `timm/NAME.TAG`: its facts are read from timm's own configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from mitotype.backbones.fact_groups import VIT_LORA
from mitotype.backbones.model_spec import HUB, Backbone, ModelSpec, Normalization, backbones
from mitotype.backbones.pooled_trunk import PooledTrunk
from mitotype.backbones.transformer_trunk import TransformerTrunk
from mitotype.core.errors import UserError, unknown_name

TIMM = "timm/"
PERMISSIVE = ("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0")
NON_COMMERCIAL = ("cc-by-nc-4.0",)  # which allows sharing derivatives
POOLED_MULTIPLE_PX = 32  # of nets that take any size: what most of them divide it by


@backbones.add_source(TIMM)
@cache
def timm_backbone(name: str) -> Backbone:
    """Return the backbone `timm/NAME`. Raises a UserError for a name that timm does not have, and for a net without features."""
    arch = name.removeprefix(TIMM)
    if not timm.is_model(arch.partition(".")[0]):
        raise unknown_name("timm model", arch, timm.list_models(), "python -c 'import timm; print(timm.list_models())'")
    config = get_pretrained_cfg(arch, allow_unregistered=False)
    if config is None:
        raise UserError(f"timm has no configuration for '{arch}'.", allowed="a tag that timm.list_pretrained() has")
    size_px = config.input_size[1]
    net, arch_kwargs = _build_on_meta(arch, size_px)
    # a net that pools in another way, or norms the pooled tokens, is used with its own pooling
    is_transformer = isinstance(net, VisionTransformer | Eva) and isinstance(net.fc_norm, nn.Identity)
    is_transformer = is_transformer and net.attn_pool is None
    patch_px = net.patch_embed.patch_size[0] if is_transformer else None
    width = _width(net, size_px, arch)
    prefix_tokens = net.num_prefix_tokens if is_transformer else 0
    pooling = {"cls": width, "mean": width, "cls_mean": 2 * width} if prefix_tokens else {"mean": width}
    lora_modules = [m for key, m in net.named_modules() if re.fullmatch(VIT_LORA, key)]
    blocks = len(net.blocks) if is_transformer else 0
    has_lora = bool(lora_modules) and all(isinstance(module, nn.Linear) for module in lora_modules)
    license = config.license or "not stated by timm"
    spec = ModelSpec(
        weights=HUB + config.hf_hub_id if config.hf_hub_id else None,
        weights_file=config.hf_hub_filename,
        state_dict_format="timm",
        arch=arch,
        arch_kwargs=arch_kwargs,
        pretrained_size_px=size_px,
        pretrained_antialias=True,
        size_px=size_px,
        multiple_px=patch_px or (size_px if config.fixed_input_size else POOLED_MULTIPLE_PX),
        resize_px=None,
        interpolation="bilinear" if config.interpolation == "bilinear" else "bicubic",
        patch_px=patch_px,
        normalization=Normalization(_rgb(config.mean), _rgb(config.std)),
        prefix_tokens=prefix_tokens,
        pooling=pooling,
        default_pooling="cls" if prefix_tokens and net.global_pool == "token" else "mean",
        params_m=round(sum(p.numel() for p in net.parameters()) / 1e6, 2),
        blocks=blocks,
        mpp_um=(),
        lora_targets=VIT_LORA if has_lora else None,
        lora_modules=len(lora_modules) if has_lora else 0,
        lora_layer="Linear" if has_lora else None,
        precision="fp32",
        example=None,
        license=license,
        gated=False,
        commercial=license in PERMISSIVE,
        shareable_derivatives=license in (*PERMISSIVE, *NON_COMMERCIAL),
        verified="no",
        source="timm's configuration",
    )
    return Backbone(name, spec, TransformerTrunk if is_transformer else PooledTrunk)


def _rgb(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue


def _build_on_meta(arch: str, size_px: int) -> tuple[Any, dict[str, Any]]:
    """Return the net without memory for its weights, and the keyword arguments that `PooledTrunk` needs."""
    with torch.device("meta"):
        try:
            kwargs: dict[str, Any] = {"img_size": size_px}
            return timm.create_model(arch, pretrained=False, num_classes=0, **kwargs).eval(), kwargs
        except TypeError:  # it has no argument img_size
            return timm.create_model(arch, pretrained=False, num_classes=0).eval(), {}


def _width(net: nn.Module, size_px: int, arch: str) -> int:
    """Return the width of the embedding."""
    try:
        with torch.no_grad():
            shape = net(torch.empty(1, 3, size_px, size_px, device="meta")).shape
    except Exception as error:
        raise UserError(f"The net '{arch}' of timm is not a backbone: {error}.", allowed="nets of images") from error
    if len(shape) != 2:
        raise UserError(
            f"The net '{arch}' of timm gives no embedding, but {tuple(shape)}.", allowed="nets with pooling"
        )
    return int(shape[1])
