"""The trunk of every vision transformer that timm builds: all tokens of the last block, normed, prefix tokens first.

Shapes: B patches, S side of the input in px, T tokens, P prompts, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import timm
import torch
from timm.layers import SwiGLUPacked
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from mitotype.backbones.facts import Facts

LAYERS = {"SwiGLUPacked": SwiGLUPacked, "SiLU": nn.SiLU}  # what facts name in words


class TransformerTrunk(nn.Module):
    """`x_B3SS` → `tokens_BTD`. The blocks are walked here, so that prompts, recomputation and a shared stem have their place.

    `net` is timm's VisionTransformer or Eva, built for `size_px` with a position embedding of that grid. `recompute` trades
    time for memory: a block's activations are made again in the backward pass instead of being kept.
    """

    net: Any

    def __init__(self, facts: Facts, size_px: int, options: Mapping[str, Any]) -> None:
        super().__init__()
        told = {
            key: LAYERS.get(value, value) if isinstance(value, str) else value
            for key, value in facts.arch_options.items()
        }
        self.net = timm.create_model(
            facts.offline_arch, pretrained=False, num_classes=0, **{**told, "img_size": size_px, **options}
        )
        if self.net.num_prefix_tokens != facts.prefix_tokens:
            raise ValueError(
                f"{facts.offline_arch} has {self.net.num_prefix_tokens} prefix tokens, its facts say {facts.prefix_tokens}"
            )
        self.prefix_tokens = facts.prefix_tokens
        self.prompts: Prompts | None = None
        self.recompute = False

    @property
    def blocks(self) -> nn.ModuleList:
        return self.net.blocks

    def forward(self, x_B3SS: Tensor) -> Tensor:
        return self.tail(self.stem(x_B3SS, 0), 0)

    def stem(self, x_B3SS: Tensor, blocks: int) -> Tensor:
        """`tokens_BTD` after the first `blocks` blocks."""
        x = self.net.patch_embed(x_B3SS)
        embedded = self.net._pos_embed(x)
        tokens_BTD = embedded[0] if isinstance(embedded, tuple) else embedded
        return self._walk(self.net.norm_pre(tokens_BTD), 0, blocks)

    def tail(self, tokens_BTD: Tensor, blocks: int) -> Tensor:
        """`tokens_BTD` of the whole trunk from those after its first `blocks` blocks."""
        return self.net.norm(self._walk(tokens_BTD, blocks, len(self.blocks)))

    def _walk(self, tokens_BTD: Tensor, start: int, stop: int) -> Tensor:
        rope = self._rope()
        for number in range(start, stop):
            if self.recompute and self.training and torch.is_grad_enabled():
                tokens_BTD = checkpoint(self._block, tokens_BTD, number, rope, use_reentrant=False)
            else:
                tokens_BTD = self._block(tokens_BTD, number, rope)
        return tokens_BTD

    def _block(self, tokens_BTD: Tensor, number: int, rope: Tensor | None) -> Tensor:
        prompts = self.prompts if self.prompts is not None and number >= self.prompts.first else None
        if prompts is not None:
            tokens_BTD = prompts.put(tokens_BTD, number, self.prefix_tokens)
        block = self.blocks[number]
        tokens_BTD = block(tokens_BTD) if rope is None else block(tokens_BTD, rope=rope)
        return tokens_BTD if prompts is None else prompts.taken(tokens_BTD, self.prefix_tokens)

    def _rope(self) -> Tensor | None:
        rope = getattr(self.net, "rope", None)
        return None if rope is None else rope.get_embed()


class Prompts(nn.Module):
    """Visual prompts (Jia et al., arXiv 2203.12119, deep variant): P learnt tokens before the patch tokens of every block.

    They stand behind the prefix tokens and are taken out again after the block, so that the next one sees its own.
    """

    def __init__(self, trunk: TransformerTrunk, count: int, first: int) -> None:
        super().__init__()
        width = trunk.net.embed_dim
        bound = (6 / (3 * trunk.net.patch_embed.patch_size[0] ** 2 + width)) ** 0.5
        self.first, self.count = first, count
        self.token_NPD = nn.Parameter(torch.empty(len(trunk.blocks) - first, count, width).uniform_(-bound, bound))
        blocks: Any = trunk.blocks[first:]
        for block in blocks:
            if hasattr(block.attn, "num_prefix_tokens"):  # tokens that rotary position embeddings leave alone
                block.attn.num_prefix_tokens += count

    def put(self, tokens_BTD: Tensor, number: int, prefix: int) -> Tensor:
        mine_BPD = self.token_NPD[number - self.first].to(tokens_BTD.dtype).expand(len(tokens_BTD), -1, -1)
        return torch.cat([tokens_BTD[:, :prefix], mine_BPD, tokens_BTD[:, prefix:]], 1)

    def taken(self, tokens_BTD: Tensor, prefix: int) -> Tensor:
        return torch.cat([tokens_BTD[:, :prefix], tokens_BTD[:, prefix + self.count :]], 1)
