"""LoRA of query and value where one Linear module computes query, key and value: peft would adapt the key too.

Shapes: B images, T tokens of width D, rank R, width E of query, key and value together, O of one of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class QueryValueLora(nn.Module):
    """`x_BTD` → `qkv_BTE` = W x + scale · [B_q A_q x; 0; B_v A_v x]: the rows of the key are those of W.

    A starts as in peft (uniform, as the weight of nn.Linear) and B at 0, so that the update is 0 at first.
    """

    def __init__(self, qkv: nn.Linear, rank: int, scale: float, dropout: float) -> None:
        super().__init__()
        self.base_layer, self.scale, self.dropout = qkv, scale, nn.Dropout(dropout)
        self.width = qkv.out_features // 3
        device = qkv.weight.device
        for part in ("q", "v"):
            a_RD = torch.empty(rank, qkv.in_features, device=device)
            nn.init.kaiming_uniform_(a_RD, a=5**0.5)
            self.register_parameter(f"lora_A_{part}", nn.Parameter(a_RD))
            self.register_parameter(f"lora_B_{part}", nn.Parameter(torch.zeros(self.width, rank, device=device)))

    def forward(self, x_BTD: Tensor) -> Tensor:
        qkv_BTE, dropped_BTD = self.base_layer(x_BTD), self.dropout(x_BTD)
        qkv_BTE[..., : self.width] += self._update(dropped_BTD, "q")
        qkv_BTE[..., -self.width :] += self._update(dropped_BTD, "v")
        return qkv_BTE

    def _update(self, x_BTD: Tensor, part: str) -> Tensor:
        a_RD, b_OR = self.get_parameter(f"lora_A_{part}"), self.get_parameter(f"lora_B_{part}")
        return self.scale * functional.linear(functional.linear(x_BTD.to(a_RD.dtype), a_RD), b_OR)

    def merged(self) -> nn.Linear:
        """Return one Linear module with the update in its weight."""
        base = self.base_layer
        linear = nn.Linear(base.in_features, base.out_features, bias=base.bias is not None, device=base.weight.device)
        q_OD, v_OD = (
            self.get_parameter(f"lora_B_{part}") @ self.get_parameter(f"lora_A_{part}") for part in ("q", "v")
        )
        update = self.scale * torch.cat([q_OD, torch.zeros_like(q_OD), v_OD])
        state = {"weight": base.weight + update.to(base.weight.dtype)}
        linear.load_state_dict(state if base.bias is None else state | {"bias": base.bias})
        return linear
