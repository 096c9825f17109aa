"""File names of a run folder and of a bundle."""

from __future__ import annotations

from pathlib import Path

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
REPORT, REPORT_OUT_OF_FOLD = "report.html", "report-out-of-fold.html"
EVALUATION, EVALUATION_OUT_OF_FOLD = "evaluation.json", "evaluation-out-of-fold.json"
DONE = "DONE"
LOCK = ".lock"

# a member, in a run and in a bundle
MEMBER = "member.json"
WEIGHTS = "model.safetensors"
HEAD = "head.json"

# a bundle
BUNDLE = "bundle.json"
CARD = "card.md"
BASES = "bases"  # weights under adapters, each as DIGEST.safetensors


def is_run(folder: Path) -> bool:
    return (folder / RUN).is_file()


def is_bundle(folder: Path) -> bool:
    return (folder / BUNDLE).is_file()


def is_finished(run_dir: Path) -> bool:
    return (run_dir / DONE).is_file()


def member_dir(folder: Path, member: str) -> Path:
    return folder / MEMBERS / member


def member_dirs(folder: Path) -> list[Path]:
    """Return the folders of the complete members, sorted by name."""
    return sorted(path.parent for path in (folder / MEMBERS).glob(f"*/{MEMBER}"))
