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
        "torch": str(torch.__version__),
        "torchvision": str(torchvision.__version__),
    }
