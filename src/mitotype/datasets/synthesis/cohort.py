"""Generate a synthetic cohort from a seed: cases nested in domains, patches in cases, and the votes of simulated experts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from msgspec.structs import replace
from PIL import Image

from mitotype.core import files, outputs, records
from mitotype.core.errors import UserError
from mitotype.core.schema import MPP_UM, Cohort
from mitotype.core.seeds import numpy_generator
from mitotype.datasets.readers.synthetic import CSV, MARKER, Marker, read, read_marker
from mitotype.datasets.synthesis.figures import FORM_SHARE, FORMS
from mitotype.datasets.synthesis.patch import render_patch
from mitotype.datasets.synthesis.scanner import Scanner, sample_scanner, vary_stain
from mitotype.datasets.synthesis.tissue import TissueStyle, sample_style

VERSION = 1  # of the images: within a version the same seed gives the same cohort
MAX_PATCHES = 99_999
TUMOURS = ("synthetic tumour A", "synthetic tumour B", "synthetic tumour C")
# each simulated expert votes atypical if the severity of a figure, plus noise, is above a threshold
EXPERT_THRESHOLDS = (0.68, 0.52, 0.44)  # rates of about .15, .24 and .30, Cohen's κ of .5 to .65
EXPERT_NOISE = 0.17
SHARED_NOISE = 0.07  # common to all experts


@dataclass(frozen=True)
class Case:
    """One slide: its domain, its share of severe figures, its tissue and its stain."""

    name: str
    domain: int
    severe_share: float
    style: TissueStyle
    scanner: Scanner


def generate(
    folder: Path,
    *,
    patches: int,
    cases: int,
    seed: int,
    domains: int = 10,
    on_progress: Callable[[int], None] | None = None,
) -> Cohort:
    """Write a cohort into `folder` and read it back: patches/*.png (128 px, 0.25 µm/px), cohort.csv, synthetic.json.

    Every figure has a form (tripolar, asymmetric, lagging, bridge, scattered) and a severity from 0 (a normal phase) to 1;
    three simulated experts vote on the severity and their majority is the label, so that the classes overlap. Domains
    differ in stain, optics and prevalence; the last fifth of them is the part "test". The same arguments (and libraries)
    give the same bytes. A folder that holds this cohort is read, an incomplete one is written again.

    `on_progress(1)` is called after every patch. Raises a UserError for impossible numbers, a folder that holds another
    cohort, and a full disk.
    """
    if not 1 <= domains <= cases <= patches <= MAX_PATCHES:
        raise UserError(
            f"A cohort of {patches} patches in {cases} cases in {domains} domains is not possible.",
            allowed=f"1 ≤ domains ≤ cases ≤ patches ≤ {MAX_PATCHES}",
        )
    marker = Marker(version=VERSION, patches=patches, cases=cases, seed=seed, domains=domains)
    if (folder / MARKER).exists():
        present = read_marker(folder)
        if replace(present, csv_sha256="") != marker:
            raise UserError(
                f"'{folder}' holds a synthetic cohort of {present}; this one has {marker}.",
                fix="give another folder, or remove this one",
            )
        return read(folder, "all", None)
    with outputs.claimed(folder, (CSV, "patches"), marker=MARKER):
        names = [f"seed{seed}_{index:05d}.png" for index in range(1, patches + 1)]
        _clear(folder, names)
        case_of_patch = _case_of_patch(seed, patches, _cases(seed, cases, domains))
        rows = []
        for index, (name, case) in enumerate(zip(names, case_of_patch, strict=True), start=1):
            image_HW3, row = _patch(numpy_generator(seed, "patch", index), case)
            path = folder / "patches" / name
            with files.translate_os_errors(path):
                Image.fromarray(image_HW3).save(path, "PNG", compress_level=1)
            rows.append({"path": f"patches/{name}", **row, **_case_columns(case, domains)})
            if on_progress is not None:
                on_progress(1)
        files.write_table(folder / CSV, pd.DataFrame(rows))
        records.write(folder / MARKER, replace(marker, csv_sha256=files.sha256(folder / CSV)))
        return read(folder, "all", None)


def _clear(folder: Path, names: list[str]) -> None:
    """Create the folder, and remove what an earlier, interrupted attempt wrote and this one will not replace."""
    (folder / CSV).unlink(missing_ok=True)
    with files.translate_os_errors(folder):
        (folder / "patches").mkdir(parents=True, exist_ok=True)
    for stale in set((folder / "patches").glob("seed*_*.png")) - {folder / "patches" / name for name in names}:
        stale.unlink()


def _cases(seed: int, cases: int, domains: int) -> list[Case]:
    """Return the cases, assigned to the domains in turn. A domain has a scanner and a share of severe figures."""
    generators = [numpy_generator(seed, "domain", domain) for domain in range(domains)]
    of_domain = [(sample_scanner(rng), rng.uniform(0.15, 0.5)) for rng in generators]
    result = []
    for index in range(cases):
        rng = numpy_generator(seed, "case", index)
        scanner, severe = of_domain[index % domains]
        share = float(np.clip(severe * rng.lognormal(0, 0.35), 0.02, 0.8))
        name = f"seed{seed} case {index + 1:03d}"
        result.append(Case(name, index % domains, share, sample_style(rng), vary_stain(rng, scanner)))
    return result


def _case_of_patch(seed: int, patches: int, cases: list[Case]) -> list[Case]:
    """Return the case of every patch: each has at least one, and the sizes vary as those of slides do."""
    rng = numpy_generator(seed, "sizes")
    share = rng.dirichlet([1.5] * len(cases))
    extra = rng.choice(len(cases), patches - len(cases), p=share)
    return [cases[index] for index in sorted([*range(len(cases)), *extra.tolist()])]


def _patch(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, dict[str, object]]:
    """Return one image with its label, votes, form and severity."""
    form = str(rng.choice(list(FORMS), p=FORM_SHARE))
    severe = rng.random() < case.severe_share
    severity = float(0.25 + 0.75 * rng.beta(1.6, 1.3) if severe else 0.55 * rng.beta(1.1, 3.0))
    image_HW3 = render_patch(rng, form, severity, case.style, case.scanner)
    perceived = severity + rng.normal(0, SHARED_NOISE) + rng.normal(0, EXPERT_NOISE, len(EXPERT_THRESHOLDS))
    votes = [bool(value > threshold) for value, threshold in zip(perceived, EXPERT_THRESHOLDS, strict=True)]
    return image_HW3, {
        "label": "atypical" if sum(votes) * 2 > len(votes) else "normal",
        "votes_for": sum(votes),
        "votes": len(votes),
        "expert_votes": "".join("A" if vote else "N" for vote in votes),
        "form": form,
        "severity": round(severity, 4),
    }


def _case_columns(case: Case, domains: int) -> dict[str, object]:
    """Return the columns of a case; the last fifth of the domains (at least one of two or more) is the part "test"."""
    is_test = domains > 1 and case.domain >= domains - max(1, domains // 5)
    return {
        "case_id": case.name,
        "domain": f"synthetic domain {case.domain + 1:02d}",
        "scanner": f"synthetic scanner {case.domain + 1:02d}",
        "tumour": TUMOURS[case.domain % len(TUMOURS)],
        "species": "synthetic",
        "mpp_um": MPP_UM,
        "part": "test" if is_test else "train",
    }
