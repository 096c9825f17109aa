"""The trunk of every vision transformer that timm builds: all tokens of the last block, normed, prefix tokens first.

Shapes: B patches, S side of the input in px, T tokens, P prompts, N blocks with prompts, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
import torch
from timm.layers import SwiGLUPacked
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mitotype.backbones.model_spec import ModelSpec

LAYERS = {"SwiGLUPacked": SwiGLUPacked, "SiLU": nn.SiLU}  # layers that arch_kwargs of a spec name as text


class TransformerTrunk(nn.Module):
    """`x_B3SS` → `tokens_BTD`, block by block, with optional prompts and gradient checkpointing.

    `net` is timm's VisionTransformer or Eva, built for `size_px` with a position embedding of that grid.
    """

    net: Any

    def __init__(self, spec: ModelSpec, size_px: int, model_kwargs: Mapping[str, Any]) -> None:
        super().__init__()
        kwargs: dict[str, Any] = {
            key: LAYERS.get(value, value) if isinstance(value, str) else value
            for key, value in spec.arch_kwargs.items()
        }
        kwargs |= {"img_size": size_px, **model_kwargs}
        self.net = timm.create_model(spec.arch, pretrained=False, num_classes=0, **kwargs)
        if self.net.num_prefix_tokens != spec.prefix_tokens:
            raise ValueError(f"{spec.arch} has {self.net.num_prefix_tokens} prefix tokens, not {spec.prefix_tokens}")
        self.prefix_tokens = spec.prefix_tokens
        self.prompts: Prompts | None = None
        self._grad_checkpointing = False

    def set_grad_checkpointing(self, enable: bool) -> None:
        """Recompute a block's activations in the backward pass instead of storing them."""
        self._grad_checkpointing = enable

    @property
    def blocks(self) -> nn.ModuleList:
        return self.net.blocks

    def forward(self, x_B3SS: Tensor) -> Tensor:
        return self.forward_from(self.forward_until(x_B3SS, 0), 0)

    def forward_until(self, x_B3SS: Tensor, block: int) -> Tensor:
        """Return `tokens_BTD` before block number `block`."""
        embedded = self.net._pos_embed(self.net.patch_embed(x_B3SS))
        tokens_BTD = embedded[0] if isinstance(embedded, tuple) else embedded
        return self._run_blocks(self.net.norm_pre(tokens_BTD), 0, block)

    def forward_from(self, tokens_BTD: Tensor, block: int) -> Tensor:
        """Return the trunk's `tokens_BTD` from those before block number `block`."""
        return self.net.norm(self._run_blocks(tokens_BTD, block, len(self.blocks)))

    def _run_blocks(self, tokens_BTD: Tensor, start: int, stop: int) -> Tensor:
        rope = getattr(self.net, "rope", None)
        rotary = None if rope is None else rope.get_embed()
        for index in range(start, stop):
            if self._grad_checkpointing and self.training and torch.is_grad_enabled():
                tokens_BTD = checkpoint(self._block, tokens_BTD, index, rotary, use_reentrant=False)
            else:
                tokens_BTD = self._block(tokens_BTD, index, rotary)
        return tokens_BTD

    def _block(self, tokens_BTD: Tensor, index: int, rotary: Tensor | None) -> Tensor:
        prompts = self.prompts if self.prompts is not None and index >= self.prompts.first else None
        if prompts is not None:
            tokens_BTD = prompts.insert(tokens_BTD, index, self.prefix_tokens)
        block = self.blocks[index]
        tokens_BTD = block(tokens_BTD) if rotary is None else block(tokens_BTD, rope=rotary)
        return tokens_BTD if prompts is None else prompts.remove(tokens_BTD, self.prefix_tokens)


class Prompts(nn.Module):
    """Visual prompts (Jia et al., arXiv 2203.12119, deep variant): P learned tokens between prefix and patch tokens of a block.

    They are removed after the block, because every block has its own.
    """

    def __init__(self, trunk: TransformerTrunk, count: int, first: int) -> None:
        super().__init__()
        width = trunk.net.embed_dim
        bound = (6 / (3 * trunk.net.patch_embed.patch_size[0] ** 2 + width)) ** 0.5
        self.first, self.count = first, count
        self.token_NPD = nn.Parameter(torch.empty(len(trunk.blocks) - first, count, width).uniform_(-bound, bound))
        blocks: Any = trunk.blocks[first:]
        for block in blocks:
            if hasattr(block.attn, "num_prefix_tokens"):  # tokens that rotary position embeddings skip
                block.attn.num_prefix_tokens += count

    def insert(self, tokens_BTD: Tensor, index: int, prefix_tokens: int) -> Tensor:
        prompt_BPD = self.token_NPD[index - self.first].to(tokens_BTD.dtype).expand(len(tokens_BTD), -1, -1)
        return torch.cat([tokens_BTD[:, :prefix_tokens], prompt_BPD, tokens_BTD[:, prefix_tokens:]], 1)

    def remove(self, tokens_BTD: Tensor, prefix_tokens: int) -> Tensor:
        return torch.cat([tokens_BTD[:, :prefix_tokens], tokens_BTD[:, prefix_tokens + self.count :]], 1)
