"""A synthetic cohort: H&E-like patches of mitotic figures, generated from a seed; no pixel comes from a real picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.core.seeds import numpy_generator
from mitotype.core.words import MPP_UM, Cohort
from mitotype.datasets import Dataset, datasets, folder, layout

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import pandas as pd

    from mitotype.datasets.synthesis.scanner import Scanner
    from mitotype.datasets.synthesis.tissue import Habit

CSV = "cohort.csv"
MARKER = "synthetic.json"  # written last: without it the folder is not whole
VERSION = 1  # of the pictures: the same seed gives the same cohort under one version
MAX_PATCHES = 99_999
TUMOURS = ("synthetic tumour A", "synthetic tumour B", "synthetic tumour C")
# simulated experts: each calls a figure atypical when its severity, as he sees it, passes his threshold
EXPERT_THRESHOLDS = (0.68, 0.52, 0.44)  # rates of about .15, .24 and .30, Cohen's κ of .5 to .65
EXPERT_NOISE = 0.17
SHARED_NOISE = 0.07  # what all three see alike and wrongly in one figure


@dataclass(frozen=True)
class Case:
    """One slide: its domain, its share of severe figures, its tissue and its stain."""

    name: str
    domain: int
    severe: float
    look: Habit
    made: Scanner


def generate(
    where: Path,
    *,
    patches: int,
    cases: int,
    seed: int,
    domains: int = 10,
    told: Callable[[int], None] | None = None,
) -> Cohort:
    """Write a cohort into the folder `where` and read it back: patches/*.png (128 px, 0.25 µm/px), cohort.csv, synthetic.json.

    Cases are nested in domains (stain, optics, prevalence), patches in cases. Every figure has a form (tripolar,
    asymmetric, lagging, bridge, scattered) and a severity from 0 (a normal phase) to 1; three simulated experts with
    thresholds and noise of their own vote on the severity, and their majority is the label, so that the classes overlap.
    The last fifth of the domains is the part "test". Deterministic: the same arguments (and libraries) give the same bytes. A folder that
    already holds this very cohort is read, a half-written one is written anew; `told` hears of every patch written.

    Raises a Mistake: impossible numbers, a folder that holds another cohort, a full disk.
    """
    _check(patches, cases, domains)
    asked = {"version": VERSION, "patches": patches, "cases": cases, "seed": seed, "domains": domains}
    if (where / MARKER).exists():
        found = {key: value for key, value in _marker(where).items() if key in asked}
        if found != asked:
            raise Mistake(
                f"'{where}' holds a synthetic cohort with {found}; asked were {asked}.",
                fix="give another folder, or remove this one",
            )
        return read(where, "all", None)
    names = [f"seed{seed}_{index:05d}.png" for index in range(1, patches + 1)]
    _make_room(where, names)
    drawn = _cases(seed, cases, domains)
    whose = _nested(seed, patches, drawn)
    rows = []
    for index, (name, case) in enumerate(zip(names, whose, strict=True), start=1):
        image, row = _patch(numpy_generator(seed, "patch", index), case)
        _save(where / "patches" / name, image)
        rows.append({"path": f"patches/{name}", **row, **_place(case, domains)})
        if told is not None:
            told(1)
    _write(where, rows, asked)
    return read(where, "all", None)


def recognises(path: Path) -> bool:
    return path.is_dir() and (path / MARKER).is_file()


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """A whole synthetic cohort, or its part "train" or "test". Raises a Mistake where it is half-written or was changed."""
    asked = _marker(path)
    csv = path / CSV
    if not csv.is_file() or files.sha256(csv) != asked.get("csv_sha256"):
        raise Mistake(
            f"'{csv}' is not the list that was written with this synthetic cohort.",
            fix="remove the folder and generate it again",
        )
    cohort = folder.read(csv, part, mpp_um)
    said = layout.read_csv(csv, ("path", "expert_votes", "part"), what="list of synthetic patches")
    rows = cohort.rows.copy()
    rows["patch_id"] = [f"synthetic/{Path(name).stem}" for name in said["path"]]
    rows["dataset"] = "synthetic"
    rows["expert_votes"], rows["part"] = list(said["expert_votes"]), list(said["part"])
    whole = Cohort("synthetic", rows, cohort.notes)
    return whole if part == "all" else whole.take(rows["part"] == part)


def _check(patches: int, cases: int, domains: int) -> None:
    if not 1 <= domains <= cases <= patches <= MAX_PATCHES:
        raise Mistake(
            f"A cohort of {patches} patches in {cases} cases in {domains} domains is not possible.",
            allowed=f"1 ≤ domains ≤ cases ≤ patches ≤ {MAX_PATCHES}",
        )


def _marker(path: Path) -> dict[str, object]:
    kept = files.read_json(path / MARKER, what="synthetic cohort's marker")
    if not isinstance(kept, dict):
        raise Mistake(f"'{path / MARKER}' is no marker of a synthetic cohort.", fix="remove the folder")
    return kept


def _make_room(where: Path, names: list[str]) -> None:
    """The folder, without what an earlier, broken attempt left behind."""
    if (where / CSV).exists():
        (where / CSV).unlink()
    with files.told_disk(where):
        (where / "patches").mkdir(parents=True, exist_ok=True)
    for stale in set((where / "patches").glob("seed*_*.png")) - {where / "patches" / name for name in names}:
        stale.unlink()


def _cases(seed: int, cases: int, domains: int) -> list[Case]:
    """Every case in turn goes to the next domain. A domain has its scanner and its share of severe figures."""
    import numpy as np

    from mitotype.datasets.synthesis import scanner, tissue

    of_domain = []
    for domain in range(domains):
        rng = numpy_generator(seed, "domain", domain)
        of_domain.append((scanner.scanner(rng), rng.uniform(0.15, 0.5)))
    drawn = []
    for index in range(cases):
        rng = numpy_generator(seed, "case", index)
        made, severe = of_domain[index % domains]
        share = float(np.clip(severe * rng.lognormal(0, 0.35), 0.02, 0.8))
        name = f"seed{seed} case {index + 1:03d}"
        drawn.append(Case(name, index % domains, share, tissue.habit(rng), scanner.of_case(rng, made)))
    return drawn


def _nested(seed: int, patches: int, cases: list[Case]) -> list[Case]:
    """The case of every patch: each has at least one, some have many, as slides do."""
    rng = numpy_generator(seed, "sizes")
    share = rng.dirichlet([1.5] * len(cases))
    extra = rng.choice(len(cases), patches - len(cases), p=share)
    return [cases[index] for index in sorted([*range(len(cases)), *extra.tolist()])]


def _patch(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, dict[str, object]]:
    """One picture with its label, votes, form and severity."""
    from mitotype.datasets.synthesis.figures import FORM_SHARE, FORMS
    from mitotype.datasets.synthesis.patch import patch

    form = str(rng.choice(list(FORMS), p=FORM_SHARE))
    severe = rng.random() < case.severe
    severity = float(0.25 + 0.75 * rng.beta(1.6, 1.3) if severe else 0.55 * rng.beta(1.1, 3.0))
    image = patch(rng, form, severity, case.look, case.made)
    seen = severity + rng.normal(0, SHARED_NOISE) + rng.normal(0, EXPERT_NOISE, len(EXPERT_THRESHOLDS))
    votes = [bool(value > threshold) for value, threshold in zip(seen, EXPERT_THRESHOLDS, strict=True)]
    return image, {
        "label": "atypical" if sum(votes) * 2 > len(votes) else "normal",
        "votes_for": sum(votes),
        "votes": len(votes),
        "expert_votes": "".join("A" if vote else "N" for vote in votes),
        "form": form,
        "severity": round(severity, 4),
    }


def _place(case: Case, domains: int) -> dict[str, object]:
    """Where a case comes from; the last fifth of the domains (at least one, where there are two) is held out."""
    test = domains > 1 and case.domain >= domains - max(1, domains // 5)
    return {
        "case_id": case.name,
        "domain": f"synthetic domain {case.domain + 1:02d}",
        "scanner": f"synthetic scanner {case.domain + 1:02d}",
        "tumour": TUMOURS[case.domain % len(TUMOURS)],
        "species": "synthetic",
        "mpp_um": MPP_UM,
        "part": "test" if test else "train",
    }


def _save(path: Path, image_HW3: np.ndarray) -> None:
    from PIL import Image

    with files.told_disk(path):
        Image.fromarray(image_HW3).save(path, "PNG", compress_level=1)


def _write(where: Path, rows: list[dict[str, object]], asked: dict[str, int]) -> None:
    """The list, then the marker that makes the folder whole."""
    import pandas as pd

    table: pd.DataFrame = pd.DataFrame(rows)
    files.write_table(where / CSV, table)
    files.write_json(where / MARKER, {**asked, "csv_sha256": files.sha256(where / CSV)})


DATASET = datasets.add("synthetic")(
    Dataset(
        title="Synthetic cohort",
        url="",
        licence="Apache-2.0",
        citation="",
        mpp_um=MPP_UM,
        counts={},
        known_overlaps=("none: it is generated from a seed and holds no pixel of a real picture",),
        sources=(),
        recognises=recognises,
        read=read,
    )
)
