"""Classify: pictures → probability, class, decision, spread and flags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.core import files, pictures
from mitotype.core.mistakes import Collector, Mistake
from mitotype.core.words import MPP_UM

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mitotype.deploy.scorer import Scorer

CHUNK = 512  # pictures held in memory at once


@dataclass(frozen=True)
class Answer:
    """What is said of one picture.

    probability   of atypical, calibrated        class         atypical or normal, by the threshold
    decision      the class, or "uncertain"      spread        SD of the members' probabilities, nan for one
    flags         "uncertain", "unlike the training figures"
    words         what the shape descriptors say, where it was asked for
    """

    path: str
    page: int
    probability: float
    decision: str
    klass: str
    spread: float
    flags: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        said = asdict(self)
        said["class"] = said.pop("klass")
        order = ["path", "page", "probability", "decision", "class", "spread", "flags"] + ["words"] * bool(self.words)
        return {key: list(said[key]) if key in ("flags", "words") else said[key] for key in order}


def gather(named: Iterable[str], mpp_um: float | None = None) -> list[tuple[Path, float]]:
    """Files, folders (searched through, hidden files left out) and csv lists (column path, and mpp_um where it varies).

    `mpp_um` is what holds where a list says nothing; without it 0.25 µm/px, the scale of the published patches.
    """
    scale = pictures.check_mpp(mpp_um, "--mpp") if mpp_um is not None else MPP_UM
    found: list[tuple[Path, float]] = []
    for name in named:
        path = Path(name)
        if path.is_dir():
            inside = sorted(
                p for p in path.rglob("*") if p.suffix.lower() in pictures.SUFFIXES and not _hidden(p, path)
            )
            if not inside:
                raise Mistake(f"The folder '{path}' holds no pictures.", allowed=", ".join(pictures.SUFFIXES))
            found += [(p, scale) for p in inside]
        elif path.suffix.lower() == ".csv":
            rows = files.read_table(path, what="list of pictures")
            if "path" not in rows:
                raise Mistake(
                    f"The list '{path}' has no column 'path'.",
                    allowed="path, and mpp_um if it varies; found: " + ", ".join(rows.columns),
                )
            scales = rows["mpp_um"].fillna(scale) if "mpp_um" in rows else [scale] * len(rows)
            found += [
                (path.parent / p, pictures.check_mpp(float(s), f"'{p}' in '{path}'"))
                for p, s in zip(rows["path"], scales, strict=True)
            ]
        else:
            found.append((path, scale))
    if not found:
        raise Mistake("No pictures were named.", fix="mitotype classify FOLDER")
    return found


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def classify(
    scorer: Scorer,
    asked: list[tuple[Path, float]],
    *,
    words: bool = False,
    done: Callable[[int], None] = lambda n: None,
) -> list[Answer]:
    """Answer every page of every picture, in the order asked; with `words` also what the shape descriptors say of it.

    Pictures are read while the last ones are scored, CHUNK at a time. Raises one Mistake that names every picture that
    cannot be read or is too small; nothing is skipped in silence.
    """
    if words and not scorer.described:
        what = f"No shape descriptors are among the members of '{scorer.where.name}', so that none can speak."
        raise Mistake(what, fix="mitotype classify PICTURES --words --bundle morphology")
    answers: list[Answer] = []
    trouble = Collector()
    for chunk in _read_ahead(asked, scorer.needs_px, trouble):
        if chunk and not trouble.found:
            found = _answer(scorer, chunk)
            if words:
                found = [replace(one, words=scorer.words(image)) for one, (*_, image) in zip(found, chunk, strict=True)]
            answers += found
        done(len(chunk))
    trouble.settle()
    return answers


def _read_ahead(
    asked: list[tuple[Path, float]], needs_px: int, trouble: Collector
) -> Iterator[list[tuple[str, int, np.ndarray]]]:
    """Chunks of (path, page, centred `image_3HW`), the next one being read while the caller works on the last."""

    def load(item: tuple[Path, float]) -> list[tuple[str, int, np.ndarray]]:
        path, mpp_um = item
        with trouble.note():
            pages = [pictures.at_scale(image, mpp_um) for image in pictures.read_pages(path)]
            return [(str(path), page, _cut(image, needs_px, path)) for page, image in enumerate(pages)]
        return []

    def read(start: int) -> list[tuple[str, int, np.ndarray]]:
        return [page for item in asked[start : start + CHUNK] for page in load(item)]

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(read, 0)
        for start in range(0, len(asked), CHUNK):
            chunk = ahead.result()
            if start + CHUNK < len(asked):
                ahead = pool.submit(read, start + CHUNK)
            yield chunk


def _cut(image_HW3: np.ndarray, px: int, path: Path) -> np.ndarray:
    height, width = image_HW3.shape[:2]
    if min(height, width) < px:
        what = f"The picture '{path}' is {width} × {height} px at {MPP_UM} µm/px; the frame needs {px} px ({px * MPP_UM:g} µm)."
        raise Mistake(what, fix="cut a larger patch, or state its µm/px with --mpp")
    return pictures.centred(image_HW3, px).transpose(2, 0, 1)


def _answer(scorer: Scorer, chunk: list[tuple[str, int, np.ndarray]]) -> list[Answer]:
    """What the decision says of every picture of a chunk."""
    import numpy as np
    import pandas as pd

    from mitotype.core.words import PATCH_COLUMNS
    from mitotype.scores.table import Scores

    ids = [str(number) for number in range(len(chunk))]
    rows, unlike_N = scorer.rows(ids, np.stack([image for *_, image in chunk]))
    patches = pd.DataFrame({"patch_id": ids, "dataset": "asked"}).reindex(columns=list(PATCH_COLUMNS))
    said = (
        scorer.decision.apply(scorer.combine.apply(Scores(patches, rows)), guard=False).set_index("patch_id").loc[ids]
    )
    spread_N = _spread(scorer, rows, ids)
    answers = []
    for number, (path, page, _) in enumerate(chunk):
        decision = str(said["decision"].iloc[number])
        flags = ["uncertain"] if decision == "uncertain" else []
        if unlike_N[number] > 0:
            flags.append("unlike the training figures")
        probability, klass = float(said["probability"].iloc[number]), str(said["class"].iloc[number])
        answers.append(Answer(path, page, probability, decision, klass, float(spread_N[number]), tuple(flags)))
    return answers


def _spread(scorer: Scorer, rows: pd.DataFrame, ids: list[str]) -> np.ndarray:
    """`spread_N`: sample SD of the calibrated probabilities over members (over views where there is one member)."""
    by = "member" if len(scorer.members) > 1 else "view"
    logit = rows.groupby(["patch_id", by], sort=False)["logit"].mean().unstack(by).loc[ids].to_numpy(float)
    probability = scorer.decision.calibration.probability(logit.ravel()).reshape(logit.shape)
    return probability.std(1, ddof=1) if logit.shape[1] > 1 else probability[:, 0] * float("nan")
