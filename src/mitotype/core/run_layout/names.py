"""File names of a run folder and of a bundle."""

from __future__ import annotations

from pathlib import Path

from mitotype.core import walk
from mitotype.core.folder_lock import LOCK as LOCK
from mitotype.core.records import FileName

MemberName = FileName  # a folder below members/

# a run
RUN = "run.json"
PATCHES = "patches.parquet"
SCORES = "scores.parquet"
MEMBERS = "members"
LOG = "log.jsonl"
DECISION = "decision.json"
OOD = "ood.json"
OOD_1 = "unlike.json"  # its name in format 1
LEDGER = "openings.jsonl"
UNFINISHED = ".unfinished"  # while test sets are scored: the command that does it
REPORT, REPORT_OUT_OF_FOLD = "report.html", "report-out-of-fold.html"
EVALUATION, EVALUATION_OUT_OF_FOLD = "evaluation.json", "evaluation-out-of-fold.json"
DONE = "DONE"

# a member, in a run and in a bundle
MEMBER = "member.json"
WEIGHTS = "model.safetensors"
HEAD = "head.json"
DIFFICULTY = "difficulty.npy"  # of every training patch (columns) after every epoch that a sampler needs it of (rows)

# an ensemble of runs
ENSEMBLE = "ensemble.json"
PLAN = "plan.json"  # of an ensemble whose runs are trained inside its folder
COMBINED = "combined.parquet"  # its cross-fitted out-of-fold rows

# a bundle
BUNDLE = "bundle.json"
CARD = "card.md"
GRAPH = "model.onnx"  # the nets, with preparation, views, combiner and calibration
BASES = "bases"  # weights under adapters, each as DIGEST.safetensors

RUN_FILES = (
    RUN,
    PATCHES,
    SCORES,
    MEMBERS,
    LOG,
    DECISION,
    OOD,
    LEDGER,
    DONE,
)  # what training and scoring write into a run
SCORE_FILES = (PATCHES, SCORES, DECISION, LEDGER)  # … and scoring into a folder of its own
BUNDLE_FILES = (BUNDLE, CARD, GRAPH, MEMBERS, BASES)
ENSEMBLE_FILES = (ENSEMBLE, PLAN, COMBINED, *SCORE_FILES, DONE)
OWN_FILES = frozenset(
    (*RUN_FILES, *BUNDLE_FILES, *ENSEMBLE_FILES, OOD_1, MEMBER, WEIGHTS, HEAD, DIFFICULTY)
)  # no name of an output


def is_run(folder: Path) -> bool:
    return walk.is_file(folder / RUN)


def is_bundle(folder: Path) -> bool:
    return walk.is_file(folder / BUNDLE)


def is_ensemble(folder: Path) -> bool:
    return walk.is_file(folder / ENSEMBLE)


def is_plan(folder: Path) -> bool:
    return walk.is_file(folder / PLAN)


def is_finished(run_dir: Path) -> bool:
    return walk.is_file(run_dir / DONE)


def member_dir(folder: Path, member: str) -> Path:
    return folder / MEMBERS / member


def member_dirs(folder: Path) -> list[Path]:
    """Return the folders of the complete members, sorted by name."""
    return sorted(path.parent for path in (folder / MEMBERS).glob(f"*/{MEMBER}"))
