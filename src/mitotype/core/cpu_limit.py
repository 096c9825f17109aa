"""How many CPUs this process may use (affinity, limit of its container), and how many threads it computes with."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mitotype.core.errors import UserError

_chosen = 0  # threads that the user has set; 0 without


def cpu_limit(root: Path = Path("/")) -> int:
    """Return the number of CPUs that this process may use, at least 1.

    These are the CPUs of its affinity mask, or fewer where the cgroups of its container (version 1 or 2) grant less CPU time.
    `root` is the folder that holds `proc` and `sys`.
    """
    return max(1, min([_affinity(), *(math.ceil(cpus) for cpus in _quotas(root))]))


def n_threads() -> int:
    """Return the number of threads that the user has set, else `cpu_limit`."""
    return _chosen or cpu_limit()


def use_threads(threads: int | None = None) -> None:
    """Compute with `threads` threads in this process; without a number, with no more than `cpu_limit`.

    Raises a UserError for a number below 1.
    """
    global _chosen
    if threads is not None and threads < 1:
        raise UserError(
            f"{threads} threads are not possible.", allowed="1 or more", fix="set --threads, or leave it out"
        )
    _chosen = threads or 0
    n = n_threads()
    torch = sys.modules.get("torch")
    if torch is not None and (threads or torch.get_num_threads() > n):
        torch.set_num_threads(n)
    if threads or n < _affinity():
        from threadpoolctl import ThreadpoolController

        for library in ThreadpoolController().lib_controllers:  # those of linear algebra and OpenMP that are loaded
            if threads or library.num_threads > n:
                library.set_num_threads(n)


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPUs' worth of time that each cgroup around this process grants; nothing for those without a limit."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        is_v2 = controllers == ""
        if not is_v2 and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" if is_v2 else root / "sys/fs/cgroup/cpu"
        own = mount / group.lstrip("/")
        for folder in {mount, *(path for path in (own, *own.parents) if path.is_relative_to(mount))}:
            if is_v2:
                quota, period = [*_text(folder / "cpu.max").split(), "max", ""][:2]
            else:
                quota, period = _text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip()
            if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):  # "max" and -1: no limit
                yield int(quota) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
