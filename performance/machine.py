"""What a benchmark was run on."""

from __future__ import annotations

import platform
from typing import Any

import torch
import torchvision

from mitotype.fit.environment import processor


def machine() -> dict[str, Any]:
    return {
        "cpu": processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }
