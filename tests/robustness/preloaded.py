"""What the processes of commands are forked from: everything is imported, so that a moment falls into the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet
import sklearn.linear_model
import torch

from mitotype import api
from mitotype.api import benchmarking, data, deployment, models, scoring, training
from mitotype.cli import main
from mitotype.evaluation.report import plots, text
from mitotype.experiments import render

MODULES = (pyarrow, sklearn, torch, api, benchmarking, data, deployment, models, scoring, training, plots, text, render)


def run_command(
    args: Sequence[str], folder: Path, prepare: Callable[[], None] | None, environment: Mapping[str, str]
) -> None:
    """Run a command in `folder`, in a session of its own; its output is in the files stdout and stderr.

    The process is forked from a server whose environment may be older than the caller's `environment`.
    """
    os.setsid()
    os.chdir(folder)
    os.environ |= {**environment, "XDG_CACHE_HOME": str(folder / "cache"), "COLUMNS": "200"}
    for stream, name in ((sys.stdout, "stdout"), (sys.stderr, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
    sys.argv = ["mitotype", *args]
    torch.set_num_threads(1)
    if prepare:
        prepare()
    (folder / "ready").touch()
    main()
