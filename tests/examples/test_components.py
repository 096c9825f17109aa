"""Each example of a component is loaded from its file and used: in one training of two epochs, and where it is decided or evaluated."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXPECTED: dict[str, Any] = {
    "dataset": ["lab"],
    "backbone": "regnety-200mf",
    "transform": "d4 | gamma(0.3) | crop(64)",
    "loss": "poly(1) + 0.1 * mean_color + 0.01 * centers",
    "loss_with_target": ["mean_color"],
    "loss_of_domains": "Centers",
    "sampler": "alternating",
    "optimizer": "sgd(0.9)",
    "schedule": 0.6,
    "test_time_views": ["identity", "transpose"],
    "adaptation": ["bias"],
    "decision_rule": pytest.approx(0.65, abs=1e-6),
    "metric": True,
    "check": "synthetic domain 01.",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each example did, in a process whose registries no other test reads."""
    command = [sys.executable, "-m", "tests.examples.use_components", tmp_path_factory.mktemp("components")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "examples" / "components").glob("*.py")))
def test_an_example_is_used(name: str, results: dict[str, Any]) -> None:
    assert results[name] == EXPECTED[name]


def test_the_page_includes_every_example() -> None:
    page = (ROOT / "docs" / "add-a-component.md").read_text(encoding="utf-8")
    assert [name for name in EXPECTED if f"../examples/components/{name}.py" not in page] == []
