"""The number of CPUs that a process may use: its affinity, and what the cgroups of a container grant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from mitotype.core import cpu_limit
from mitotype.core.errors import UserError


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(autouse=True)
def many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(cpu_limit, "_chosen", 0)


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "1600000 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/host/x\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        (
            {
                "proc/self/cgroup": "5:memory:/m\n4:cpu,cpuacct:/docker/1\n",
                "sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
        ({"proc/self/cgroup": "nonsense\n0::/\n", "sys/fs/cgroup/cpu.max": "x\n"}, 8),
    ],
)
def test_a_container_is_granted_what_its_cgroups_say(files: dict[str, str], cpus: int, tmp_path: Path) -> None:
    assert cpu_limit.cpu_limit(write(tmp_path, files)) == cpus


def test_the_number_of_threads_is_that_of_the_user_and_never_above_the_limit_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = torch.get_num_threads()
    try:
        cpu_limit.use_threads(3)
        assert (torch.get_num_threads(), cpu_limit.n_threads()) == (3, 3)
        monkeypatch.setattr(cpu_limit, "cpu_limit", lambda: 2)
        cpu_limit.use_threads()
        assert (torch.get_num_threads(), cpu_limit.n_threads()) == (2, 2)
        torch.set_num_threads(1)
        cpu_limit.use_threads()
        assert torch.get_num_threads() == 1
        with pytest.raises(UserError, match="0 threads"):
            cpu_limit.use_threads(0)
    finally:
        torch.set_num_threads(before)
