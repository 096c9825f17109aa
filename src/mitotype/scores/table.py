"""The score table: one raw logit per patch × view × member, and the table of the patches. Read, checked, joined, written."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from mitotype.core import files, tables, walk
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.labels import parse_labels
from mitotype.core.run_layout import read_patches, read_scores
from mitotype.core.run_layout.names import PATCHES, SCORES
from mitotype.core.schema import OUT_OF_FOLD, PATCH_COLUMNS, SCORE_COLUMNS, TEST
from mitotype.scores.scale import SCALES, to_logit

PARTS = (OUT_OF_FOLD, TEST)
KEY = ["patch_id", "part", "member", "view"]  # one logit each
NUMBERS = ("fold", "votes_for", "votes")  # of a csv of scores, beside the score
IDENTITY = "identity"  # the view of an image as it is


@dataclass(frozen=True)
class Scores:
    """`patches` (PATCH_COLUMNS and any others, one row per patch) and `scores` (SCORE_COLUMNS, raw logits).

    A label is 0, 1 or empty. `notes` are remarks of the reader. Raises a UserError for a missing column, a repeated patch or
    logit, a logit that is not finite, an unknown part and a score of an unknown patch.
    """

    patches: pd.DataFrame
    scores: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(self.patches, self.scores)

    @classmethod
    def unchecked(cls, patches: pd.DataFrame, scores: pd.DataFrame, notes: tuple[str, ...] = ()) -> Scores:
        """Return rows of tables that were checked before."""
        self = object.__new__(cls)
        for name, value in (("patches", patches), ("scores", scores), ("notes", notes)):
            object.__setattr__(self, name, value)
        return self

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, *, part: str | None = None, datasets: Sequence[str] | None = None) -> Scores:
        """Return the rows of one part and of some datasets, with their patches."""
        patches, scores = self.patches, self.scores
        if part is not None and not (is_part := (scores["part"] == part).to_numpy()).all():
            scores = scores[is_part]
        if datasets is not None:
            patches = patches[patches["dataset"].isin(list(datasets))]
            scores = scores[scores["patch_id"].isin(patches["patch_id"])]
        patches = patches[patches["patch_id"].isin(codes(scores["patch_id"])[1])]
        return Scores.unchecked(patches.reset_index(drop=True), scores.reset_index(drop=True), self.notes)

    def joined(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return `rows` (one per patch and part) with the columns of their patches; `label` as float, nan if unlabelled."""
        columns = [c for c in self.patches.columns if c not in rows.columns or c == "patch_id"]
        merged = rows.merge(self.patches[columns], on="patch_id", how="left", validate="many_to_one")
        return merged.assign(label=pd.to_numeric(merged["label"], errors="coerce").astype(float))


def codes(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return the index of every cell's text in the sorted list of the texts that occur, and this list."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        code, names = column.cat.codes.to_numpy(), column.cat.categories
        used = np.bincount(code[code >= 0], minlength=len(names)) > 0
    else:
        code, names = pd.factorize(column)
        used = np.ones(len(names), bool)
    if (code < 0).any():  # a missing cell
        raise UserError(f"The column {column.name} of the scores has empty cells.", fix="fill them, or remove the rows")
    text = np.array([str(name) for name in names], dtype=object)
    order = np.flatnonzero(used)[np.argsort(text[used], kind="stable")]
    rank = np.zeros(len(names), np.int32)
    rank[order] = np.arange(len(order))
    return rank[code], text[order].tolist()


def combinations(scores: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return the combinations of cells of `columns` that occur, each once, in sorted order."""
    number_N, known = _numbered(scores, columns)
    left = np.unique(number_N) if number_N.max(initial=0) > 2**27 else np.flatnonzero(np.bincount(number_N))
    cells = {}
    for column in reversed(columns):
        names = np.array(known[column], dtype=object)
        cells[column] = names[left % max(1, len(names))]
        left = left // max(1, len(names))
    return pd.DataFrame({column: cells[column] for column in columns})


def _numbered(scores: pd.DataFrame, columns: Sequence[str]) -> tuple[np.ndarray, dict[str, list[str]]]:
    """Return a number for every row that is the same for the same cells of `columns`, and the sorted cells of each."""
    number_N, known = np.zeros(len(scores), np.int64), {}
    for column in columns:
        code_N, known[column] = codes(scores[column])
        number_N *= max(1, len(known[column]))
        number_N += code_N
    return number_N, known


def _check(patches: pd.DataFrame, scores: pd.DataFrame) -> None:
    """Raise one UserError with all errors of the two tables."""
    errors = ErrorCollector()
    for name, table, columns in (("patches", patches, PATCH_COLUMNS), ("scores", scores, SCORE_COLUMNS)):
        missing = [column for column in columns if column not in table.columns]
        if missing:
            errors.add(UserError(f"The table of {name} lacks {', '.join(missing)}.", allowed=", ".join(columns)))
    errors.raise_if_any()
    repeated_patch = patches["patch_id"][patches["patch_id"].duplicated()]
    if len(repeated_patch):
        what = f"The table of patches has several rows of the patch '{repeated_patch.iloc[0]}'."
        errors.add(UserError(what, fix="give every patch one row"))
    label = pd.to_numeric(patches["label"], errors="coerce").to_numpy(float)
    invalid = (patches["label"].notna().to_numpy() & np.isnan(label)) | ~(np.isnan(label) | (label == 0) | (label == 1))
    if invalid.any():
        row = patches.iloc[int(np.flatnonzero(invalid)[0])]
        what = f"The patch '{row['patch_id']}' has the label '{row['label']}'."
        errors.add(UserError(what, allowed="0 (normal), 1 (atypical) or empty"))
    repeated = scores[scores.duplicated(KEY)] if _is_repeated(scores) else scores[:0]
    if len(repeated):
        what = f"{len(repeated)} scores are repeated; the first: {_first(repeated)}."
        errors.add(UserError(what, fix="give every patch, part, member and view one row"))
    infinite = scores[~np.isfinite(pd.to_numeric(scores["logit"], errors="coerce").to_numpy(float))]
    if len(infinite):
        what = f"{len(infinite)} logits are not finite numbers; the first: {_first(infinite)}."
        errors.add(UserError(what, fix="score these patches again, or leave them out"))
    unknown_part = scores["part"][~scores["part"].isin(PARTS)]
    if len(unknown_part):
        errors.add(UserError(f"No part is called '{unknown_part.iloc[0]}'.", allowed=", ".join(PARTS)))
    unknown = scores["patch_id"][:0]
    if not set(scores["patch_id"].unique()) <= set(patches["patch_id"]):
        unknown = scores["patch_id"][~scores["patch_id"].isin(patches["patch_id"])]
        errors.add(_unknown_patches(unknown.drop_duplicates(), patches["patch_id"]))
    errors.raise_if_any()


def _is_repeated(scores: pd.DataFrame) -> bool:
    """Whether a key has several rows; False if cells are empty, which other checks report."""
    if scores[KEY].isna().any(axis=None):
        return bool(scores.duplicated(KEY).any())
    number_N, _ = _numbered(scores, KEY)
    number_N.sort()
    return bool((np.diff(number_N) == 0).any())


def _first(rows: pd.DataFrame) -> str:
    row = rows.iloc[0]
    return f"patch '{row['patch_id']}', part '{row['part']}', member '{row['member']}', view '{row['view']}'"


def _unknown_patches(unknown: pd.Series, known: pd.Series) -> UserError:
    near = difflib.get_close_matches(str(unknown.iloc[0]), [str(p) for p in known[:5000]], n=1, cutoff=0.3)
    return UserError(
        f"{len(unknown)} scored patches are not in the table of patches; the first: '{unknown.iloc[0]}'.",
        nearest=near[0] if near else None,
        fix="a patch is called <dataset>/<file name without its ending>",
    )


def read(
    source: str | Path, *, patches: pd.DataFrame | None = None, part: str = TEST, scale: str | None = None
) -> Scores:
    """Return the scores of a run folder, or of a `patch_id, score` table (.csv or .parquet).

    For a table, `patches` has labels and cases; without it they come from the table's own columns and are empty without
    such columns. The scale of a column named `logit` or `probability` is its name; the values of one named `score` are
    probabilities if all are in 0..1 and logits if some are negative, unless `scale` is given; a note has the scale. The score
    is that of the atypical class, whatever the decided class.
    """
    path = Path(source)
    if walk.is_folder(path):
        return _read_run(path)
    if not tables.is_table(path):
        raise UserError(
            f"'{path}' is not a table of scores.", allowed="a run folder, or a .csv or .parquet with patch_id, score"
        )
    what = "table of scores"
    rows = tables.read(path, ("patch_id",), numbers=(*SCALES, *NUMBERS), what=what)
    return from_table(rows, path.stem, patches=patches, part=part, scale=scale, source=f"The {what} '{path}'")


def _read_run(run_dir: Path) -> Scores:
    if not walk.is_file(run_dir / SCORES):
        raise UserError(f"'{run_dir}' has no {SCORES}.", fix="name a run folder, or a csv with patch_id, score")
    scores = read_scores(run_dir)  # first: another process writes the patches of its rows before the rows
    return Scores(read_patches(run_dir), scores)


def from_table(
    rows: pd.DataFrame,
    name: str,
    *,
    patches: pd.DataFrame | None = None,
    part: str = TEST,
    scale: str | None = None,
    source: str = "",
) -> Scores:
    """Return the scores of a table with `patch_id` and a score. `name` is the member if the table has no such column.

    The index of `rows` holds the lines of the file `source`. Raises a UserError that names the line of a missing or repeated
    patch, score, dataset, member, part or view: no row is dropped or merged in silence.
    """
    source = source or f"The table of scores '{name}'"
    column = next((column for column in SCALES if column in rows), SCALES[0])
    tables.check_columns(rows, source, ("patch_id", column))
    rows = _without_empty(rows.assign(patch_id=rows["patch_id"].astype(str)), column, source)
    logit, note = to_logit(rows[column].to_numpy(float), scale or column, name)
    table = pd.DataFrame({"patch_id": rows["patch_id"], "logit": logit})
    for key, default in (("part", part), ("fold", np.nan), ("member", name), ("view", IDENTITY)):
        table[key] = rows.get(key, default)
    _check_repeated(table, source)
    notes = [note]
    if patches is None:
        scored = _own_patches(rows, name, source)
    else:
        scored = patches[patches["patch_id"].isin(rows["patch_id"])].reset_index(drop=True)
        unscored = patches["dataset"].isin(scored["dataset"]).sum() - len(scored)
        if unscored:
            notes.append(f"{name}: {unscored} patches of the same datasets have no score and are left out")
    if not len(scored) and len(rows):
        raise _unknown_patches(rows["patch_id"], patches["patch_id"] if patches is not None else rows["patch_id"])
    return Scores(scored, table[list(SCORE_COLUMNS)].reset_index(drop=True), tuple(notes))


def from_frame(frame: pd.DataFrame, *, patches: pd.DataFrame | None = None) -> Scores:
    """Return the scores of a data frame with the columns of a table of scores, see `read`.

    Without the column `patch_id` its rows are numbered. Raises a UserError for a score that is not a number.
    """
    rows = frame.reset_index(drop=True).rename_axis("row")
    if "patch_id" not in rows:
        rows["patch_id"] = [f"row {row}" for row in rows.index]
    for column in (*SCALES, *NUMBERS):
        if column in rows:
            numbers = pd.to_numeric(rows[column], errors="coerce").astype(float)
            wrong = (numbers.isna() & rows[column].notna()).to_numpy()
            if wrong.any():
                what = (
                    f"The data frame, {_line(rows, wrong)}: {column} '{rows[column][wrong].iloc[0]}' is not a number."
                )
                raise UserError(what, fix="fix that cell")
            rows[column] = numbers
    if "label" in rows and not pd.api.types.is_numeric_dtype(rows["label"]):
        rows["label"] = rows["label"].where(rows["label"].notna(), "")
    return from_table(rows, "scores", patches=patches, source="The data frame")


def _without_empty(rows: pd.DataFrame, score: str, source: str) -> pd.DataFrame:
    """Return the rows without columns that are empty throughout. Raises a UserError for the first empty cell of the others."""
    for column in ("patch_id", score, "dataset", "member", "part", "view"):
        if column not in rows:
            continue
        empty = (rows[column].isna() | (rows[column].astype(str) == "")).to_numpy()
        if empty.all() and column not in ("patch_id", score):
            rows = rows.drop(columns=column)
        elif empty.any():
            message = f"{source}, {_line(rows, empty)}: the {column} is empty ({int(empty.sum())} such cells)."
            raise UserError(message, fix="fill the cell, or remove the row")
    return rows


def _line(rows: pd.DataFrame, mask: np.ndarray) -> str:
    """Return "line N" of the first row in `mask`."""
    return f"{rows.index.name or 'row'} {rows.index[int(np.argmax(mask))]}"


def _check_repeated(table: pd.DataFrame, source: str) -> None:
    repeated = table.duplicated(KEY).to_numpy()
    if repeated.any():
        first = table[repeated].iloc[0]
        message = f"{source}, {_line(table, repeated)}: a second score of patch '{first['patch_id']}'"
        message += f", part '{first['part']}', member '{first['member']}', view '{first['view']}'"
        message += f" ({int(repeated.sum())} such rows)."
        raise UserError(message, fix="give every patch, part, member and view one row")


def _own_patches(rows: pd.DataFrame, name: str, source: str) -> pd.DataFrame:
    """Return the patches of a table of scores from its own columns; those that are missing are empty.

    Raises a UserError for rows of one patch with different labels, cases or other facts.
    """
    columns = [c for c in rows.columns if c not in (*SCALES, "part", "fold", "member", "view")]
    patches = rows[columns].copy()
    if "label" in patches and not pd.api.types.is_numeric_dtype(patches["label"]):
        patches["label"] = parse_labels(patches["label"], source)
    for column in PATCH_COLUMNS[1:]:
        if column not in patches:
            continue
        first = patches.groupby("patch_id", sort=False)[column].transform(lambda cells: cells.iloc[0])
        differs = ((patches[column] != first) & ~(patches[column].isna() & first.isna())).to_numpy()
        if differs.any():
            patch = patches["patch_id"].iloc[int(np.argmax(differs))]
            message = f"{source}, {_line(rows, differs)}: another {column} of patch '{patch}' than in its first row."
            raise UserError(message, fix="give all rows of a patch the same values")
    patches = patches.drop_duplicates("patch_id").reset_index(drop=True)
    if "dataset" not in patches.columns:
        patches["dataset"] = [p.rsplit("/", 1)[0] if "/" in p else name for p in patches["patch_id"]]
    for column in PATCH_COLUMNS:
        is_text = column in ("case_id", "domain", "digest")
        if column not in patches.columns:
            patches[column] = None if is_text else np.nan
        elif is_text:
            patches[column] = patches[column].where(patches[column] != "", None)
    return patches


def write(run_dir: Path, scores: Scores) -> None:
    """Write both tables into a run folder; the patches first, so that every score has its patch at any moment."""
    files.write_table(run_dir / PATCHES, scores.patches)
    files.write_table(run_dir / SCORES, scores.scores)


def append(run_dir: Path, more: Scores) -> Scores:
    """Add rows to the scores of a run and return all of them. A row replaces an older one with the same key.

    Raises a UserError if a patch has another image or another label than before.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    with files.locked(run_dir / ".scores.lock"):
        merged = merge([_read_run(run_dir), more]) if (run_dir / SCORES).is_file() else more
        write(run_dir, merged)
    return merged


def merge(tables: Iterable[Scores]) -> Scores:
    """Return several score tables as one; later rows replace earlier ones with the same patch, part, member and view.

    Patches are in the order of their first appearance: a run resumes from its table of patches.
    """
    tables = list(tables)
    patches = pd.concat([t.patches for t in tables], ignore_index=True)
    for column, changed in (("digest", "another image"), ("label", "another label")):
        given = patches[patches[column].notna() & (patches[column].astype(str) != "")]
        values = given.groupby("patch_id", sort=False)[column].nunique()
        if (values > 1).any():
            raise UserError(
                f"{int((values > 1).sum())} patches have {changed} than before; the first: '{values.index[values > 1][0]}'.",
                fix="score the changed data into a run of its own",
            )
    patches = patches.groupby("patch_id", sort=False, as_index=False).last()  # of each column the last value given
    scores = _joined_rows([t.scores for t in tables])
    scores = scores.drop_duplicates(KEY, keep="last") if _is_repeated(scores) else scores
    notes = tuple(dict.fromkeys(note for t in tables for note in t.notes))
    return Scores(patches, scores.reset_index(drop=True), notes)


def _joined_rows(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return tables as one; columns that are categorical in all of them remain so."""
    is_categorical = [c for c in KEY if all(isinstance(t[c].dtype, pd.CategoricalDtype) for t in tables)]
    joined = {c: union_categoricals([t[c] for t in tables]) for c in is_categorical}
    others = pd.concat([t.drop(columns=is_categorical) for t in tables], ignore_index=True)
    return others.assign(**joined)[tables[0].columns.tolist()]


def member_rows(
    patch_ids: Sequence[str], logits: Mapping[str, np.ndarray], *, part: str, fold: int, member: str
) -> pd.DataFrame:
    """Return the score rows of one member: `logits` maps a view's name to `logit_N` in the order of `patch_ids`."""
    columns = {"patch_id": list(patch_ids), "part": part, "fold": fold, "member": member}
    tables = [
        pd.DataFrame({**columns, "view": view, "logit": np.asarray(logit_N, float)}) for view, logit_N in logits.items()
    ]
    return pd.concat(tables, ignore_index=True)[list(SCORE_COLUMNS)]


def empty() -> pd.DataFrame:
    """Return a score table without rows, its columns of the right types."""
    dtypes = {"fold": "int64", "logit": "float64"}
    return pd.DataFrame({column: pd.Series(dtype=dtypes.get(column, "str")) for column in SCORE_COLUMNS})


def has_rows(run_dir: Path, *, member: str, part: str = OUT_OF_FOLD) -> bool:
    """Whether a run folder has rows of this member and part."""
    if not (run_dir / SCORES).is_file():
        return False
    scores = read_scores(run_dir)
    return bool(((scores["member"] == member) & (scores["part"] == part)).any())
