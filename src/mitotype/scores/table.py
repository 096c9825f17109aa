"""The score table: one raw logit per patch × view × member, beside the patches it speaks of. Read, checked, joined, written."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mitotype.core import files
from mitotype.core.mistakes import Collector, Mistake
from mitotype.core.words import OUT_OF_FOLD, PATCH_COLUMNS, SCORE_COLUMNS, TEST

if TYPE_CHECKING:
    import pandas as pd

PARTS = (OUT_OF_FOLD, TEST)
KEY = ["patch_id", "part", "member", "view"]  # one logit each
PATCHES, SCORES = "patches.parquet", "scores.parquet"
CLIP = 1e-7  # a probability of 0 or 1 becomes this far from it: single precision rounds 1 - 6e-8 to 1
SCALES = ("score", "logit", "probability")
GIVEN_VIEW = "identity"


@dataclass(frozen=True)
class Scores:
    """`patches` (PATCH_COLUMNS and whatever more is known, one row per patch) and `scores` (SCORE_COLUMNS, raw logits).

    A label is 0, 1 or empty. `notes` are what a reader found worth telling. Raises a Mistake for a missing column, a
    patch or a logit that stands twice, a logit that is not finite, an unknown part and a score of an unknown patch.
    """

    patches: pd.DataFrame
    scores: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check(self.patches, self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, *, part: str | None = None, datasets: Sequence[str] | None = None) -> Scores:
        """The rows of one part and of some datasets, with the patches that they speak of."""
        patches, scores = self.patches, self.scores
        if part is not None:
            scores = scores[scores["part"] == part]
        if datasets is not None:
            patches = patches[patches["dataset"].isin(list(datasets))]
            scores = scores[scores["patch_id"].isin(patches["patch_id"])]
        patches = patches[patches["patch_id"].isin(scores["patch_id"])]
        return Scores(patches.reset_index(drop=True), scores.reset_index(drop=True), self.notes)

    def joined(self, rows: pd.DataFrame) -> pd.DataFrame:
        """`rows` (one per patch and part) with the columns of their patches; `label` as float, nan where nobody labelled."""
        import pandas as pd

        columns = [c for c in self.patches.columns if c not in rows.columns or c == "patch_id"]
        found = rows.merge(self.patches[columns], on="patch_id", how="left", validate="many_to_one")
        return found.assign(label=pd.to_numeric(found["label"], errors="coerce").astype(float))


def check(patches: pd.DataFrame, scores: pd.DataFrame) -> None:
    """Raise one Mistake that tells everything that is wrong with the two tables."""
    import pandas as pd

    trouble = Collector()
    for name, table, columns in (("patches", patches, PATCH_COLUMNS), ("scores", scores, SCORE_COLUMNS)):
        missing = [column for column in columns if column not in table.columns]
        if missing:
            trouble.add(Mistake(f"The table of {name} lacks {', '.join(missing)}.", allowed=", ".join(columns)))
    trouble.settle()
    twice = patches["patch_id"][patches["patch_id"].duplicated()]
    if len(twice):
        trouble.add(Mistake(f"The patch '{twice.iloc[0]}' stands twice among the patches.", fix="give it one row"))
    label = pd.to_numeric(patches["label"], errors="coerce").to_numpy(float)
    odd = (patches["label"].notna().to_numpy() & np.isnan(label)) | ~(np.isnan(label) | (label == 0) | (label == 1))
    if odd.any():
        row = patches.iloc[int(np.flatnonzero(odd)[0])]
        what = f"The patch '{row['patch_id']}' has the label '{row['label']}'."
        trouble.add(Mistake(what, allowed="0 (normal), 1 (atypical) or empty"))
    again = scores[scores.duplicated(KEY)]
    if len(again):
        what = f"{len(again)} scores stand twice; the first: {_named(again)}."
        trouble.add(Mistake(what, fix="keep one row per patch, part, member and view"))
    bad = scores[~np.isfinite(pd.to_numeric(scores["logit"], errors="coerce").to_numpy(float))]
    if len(bad):
        what = f"{len(bad)} logits are not finite numbers; the first: {_named(bad)}."
        trouble.add(Mistake(what, fix="score these patches again, or leave them out"))
    odd_part = scores["part"][~scores["part"].isin(PARTS)]
    if len(odd_part):
        trouble.add(Mistake(f"There is no part '{odd_part.iloc[0]}'.", allowed=", ".join(PARTS)))
    strange = scores["patch_id"][~scores["patch_id"].isin(patches["patch_id"])]
    if len(strange):
        trouble.add(_unknown_patch(strange.drop_duplicates(), patches["patch_id"]))
    trouble.settle()


def _named(rows: pd.DataFrame) -> str:
    row = rows.iloc[0]
    return f"patch '{row['patch_id']}', part '{row['part']}', member '{row['member']}', view '{row['view']}'"


def _unknown_patch(strange: pd.Series, known: pd.Series) -> Mistake:
    near = difflib.get_close_matches(str(strange.iloc[0]), [str(p) for p in known[:5000]], n=1, cutoff=0.3)
    return Mistake(
        f"{len(strange)} patches are scored that are not in the table of patches; the first: '{strange.iloc[0]}'.",
        nearest=near[0] if near else None,
        fix="a patch is called <dataset>/<file name without ending>",
    )


def read(
    where: str | Path, *, patches: pd.DataFrame | None = None, part: str = TEST, scale: str | None = None
) -> Scores:
    """The scores of a run's folder, or of anybody's `patch_id, score` table (.csv or .parquet).

    For a table, `patches` gives labels and cases; without it they come from the table's own columns and are empty where
    it has none. A column named `logit` or `probability` says its scale; one named `score` is taken for probabilities when
    all of it lies in 0..1, for logits otherwise, and a note says which (`scale` settles it). The score is that of the
    atypical class, whatever the class that was decided.
    """
    path = Path(where)
    if path.is_dir():
        return _run(path)
    if path.suffix not in (".csv", ".parquet"):
        raise Mistake(
            f"'{path}' holds no scores.", allowed="a run's folder, or a .csv or .parquet with patch_id, score"
        )
    return foreign(files.read_table(path, what="table of scores"), path.stem, patches=patches, part=part, scale=scale)


def _run(folder: Path) -> Scores:
    if not (folder / SCORES).is_file():
        raise Mistake(f"'{folder}' holds no {SCORES}.", fix="name the folder of a run, or a csv with patch_id, score")
    patches = files.read_table(folder / PATCHES, what="table of patches")
    return Scores(patches, files.read_table(folder / SCORES, what="table of scores"))


def foreign(
    rows: pd.DataFrame, name: str, *, patches: pd.DataFrame | None = None, part: str = TEST, scale: str | None = None
) -> Scores:
    """Scores from somebody's table with `patch_id` and a score. `name` becomes the member where the table names none."""
    import pandas as pd

    rows = rows.rename(columns=lambda c: str(c).strip())
    column = next((c for c in SCALES if c in rows.columns), None)
    if column is None or "patch_id" not in rows.columns:
        found = ", ".join(map(str, rows.columns[:12]))
        raise Mistake(f"The scores of '{name}' have the columns {found}.", allowed="patch_id and score")
    rows = rows.assign(patch_id=rows["patch_id"].astype(str))
    logit, note = _as_logit(pd.to_numeric(rows[column], errors="coerce"), scale or column, name)
    table = pd.DataFrame({"patch_id": rows["patch_id"], "logit": logit})
    for key, default in (("part", part), ("fold", np.nan), ("member", name), ("view", GIVEN_VIEW)):
        table[key] = rows[key] if key in rows.columns else default
    notes = [note]
    if patches is None:
        known = _own_patches(rows, name)
    else:
        known = patches[patches["patch_id"].isin(rows["patch_id"])].reset_index(drop=True)
        unscored = patches["dataset"].isin(known["dataset"]).sum() - len(known)
        if unscored:
            notes.append(f"{name}: {unscored} patches of the same datasets have no score and are left out")
    if not len(known) and len(rows):
        raise _unknown_patch(rows["patch_id"], patches["patch_id"] if patches is not None else rows["patch_id"])
    return Scores(known, table[list(SCORE_COLUMNS)], tuple(notes))


def _as_logit(score: pd.Series, scale: str, name: str) -> tuple[np.ndarray, str]:
    value = score.to_numpy(float)
    if scale == "score":
        scale = "probability" if np.all((value >= 0) & (value <= 1) | np.isnan(value)) else "logit"
    if scale == "logit":
        return value, f"{name}: the scores are taken for logits of the atypical class"
    if scale != "probability":
        raise Mistake(f"There is no scale '{scale}'.", allowed="logit, probability")
    if np.any((value < 0) | (value > 1)):
        raise Mistake(f"Some probabilities of '{name}' lie outside 0..1.", fix="name the column 'logit' if they are")
    clipped = int(np.sum((value < CLIP) | (value > 1 - CLIP)))
    value = np.clip(value, CLIP, 1 - CLIP)
    cut = f"; {clipped} nearer than {CLIP:g} to 0 or 1 are held there" if clipped else ""
    return np.log(value) - np.log1p(
        -value
    ), f"{name}: the scores are taken for probabilities of the atypical class{cut}"


def _own_patches(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    columns = [c for c in rows.columns if c not in (*SCALES, "part", "fold", "member", "view")]
    patches = rows[columns].drop_duplicates("patch_id").reset_index(drop=True)
    if "dataset" not in patches.columns:
        patches["dataset"] = [p.rsplit("/", 1)[0] if "/" in p else name for p in patches["patch_id"]]
    for column in PATCH_COLUMNS:
        if column not in patches.columns:
            patches[column] = None if column in ("case_id", "domain", "digest") else np.nan
    return patches


def write(folder: Path, scores: Scores) -> None:
    """Write both tables into a run's folder; the patches first, so that no score is ever without its patch."""
    files.write_table(folder / PATCHES, scores.patches)
    files.write_table(folder / SCORES, scores.scores)


def append(folder: Path, more: Scores) -> Scores:
    """Add rows to a run's scores; a row with the key of an old one replaces it, every other row stays. Returns them all.

    Raises a Mistake where a patch that is already there has another picture or another label.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder / ".scores.lock"):
        joint = merged([_run(folder), more]) if (folder / SCORES).is_file() else more
        write(folder, joint)
    return joint


def merged(several: Iterable[Scores]) -> Scores:
    """Several score tables as one; later rows replace earlier ones with the same patch, part, member and view.

    Patches stay in the order in which they first came: a run resumes from its table of patches.
    """
    import pandas as pd

    tables = list(several)
    patches = pd.concat([t.patches for t in tables], ignore_index=True)
    for column, word in (("digest", "another picture"), ("label", "another label")):
        known = patches[patches[column].notna() & (patches[column].astype(str) != "")]
        values = known.groupby("patch_id", sort=False)[column].nunique()
        if (values > 1).any():
            raise Mistake(
                f"{int((values > 1).sum())} patches have {word} than before; the first: '{values.index[values > 1][0]}'.",
                fix="score the changed data into a run of its own",
            )
    patches = patches.groupby("patch_id", sort=False, as_index=False).last()  # of each column the last that is known
    scores = pd.concat([t.scores for t in tables], ignore_index=True).drop_duplicates(KEY, keep="last")
    notes = tuple(dict.fromkeys(note for t in tables for note in t.notes))
    return Scores(patches, scores.reset_index(drop=True), notes)


def rows(
    patch_ids: Sequence[str], logits: Mapping[str, np.ndarray], *, part: str, fold: int, member: str
) -> pd.DataFrame:
    """Score rows of one member: `logits` maps a view's name to `logit_N` in the order of `patch_ids`."""
    import pandas as pd

    one = {"patch_id": list(patch_ids), "part": part, "fold": fold, "member": member}
    found = [
        pd.DataFrame({**one, "view": view, "logit": np.asarray(logit_N, float)}) for view, logit_N in logits.items()
    ]
    return pd.concat(found, ignore_index=True)[list(SCORE_COLUMNS)]


def none() -> pd.DataFrame:
    """A score table without rows, its columns of the right types."""
    import pandas as pd

    kinds = {"fold": "int64", "logit": "float64"}
    return pd.DataFrame({column: pd.Series(dtype=kinds.get(column, "str")) for column in SCORE_COLUMNS})


def has(folder: Path, *, member: str, part: str = OUT_OF_FOLD) -> bool:
    """Whether a run's folder holds rows of this member and part."""
    if not (folder / SCORES).is_file():
        return False
    scores = files.read_table(folder / SCORES, what="table of scores")
    return bool(((scores["member"] == member) & (scores["part"] == part)).any())
