"""The user's own images: a csv, a folder with Atypical/ and Normal/, or unlabelled images. Pages of a TIFF become rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from mitotype.core import image_list, images, labels, tables, walk
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.images import SUFFIXES, check_mpp
from mitotype.core.schema import CLASS_NAMES, MPP_UM, Cohort
from mitotype.datasets import layout
from mitotype.datasets.dataset import Dataset, datasets

OPTIONAL_TEXT = ("case_id", "domain", "scanner", "tumour", "species")
OTHER_COLUMNS = ("patch_id", "dataset", "part", "expert_votes", "sub_label_1", "sub_label_2")  # of a data frame
OPTIONAL_NUMBERS = ("votes_for", "votes", "mpp_um", "page")


def detect(path: Path) -> bool:
    return path.exists()


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """Read a csv with the column `path` (optional: label, case_id, votes_for, votes, domain, scanner, tumour, species, mpp_um,
    page; paths are relative to the csv), a folder with one such csv, a folder with Atypical/ and Normal/, any other folder
    of images, or one image.

    The patch id is `<folder>/<path without suffix>`, with `#<page>` for a page of a stack. Without a case each patch is its
    own case (in class folders, a folder below them is a case); without µm/px 0.25 is used; both are noted. Damaged images
    and images of a wrong size are reported when they are packed.
    """
    is_table = tables.is_table(path) and not walk.is_folder(path)
    csv = path if is_table else layout.find_csv(path, ("path",))
    if csv is not None:
        root = csv.parent
        rows, notes = _from_csv(csv)
    elif walk.is_file(path):
        root = path.parent
        rows, notes = pd.DataFrame({"path": [str(path)]}), []
    else:
        root = path
        rows, notes = _from_folder(path)
    name = root.resolve().name or "folder"
    if not len(rows):
        fix = "give the folder or csv of the images"
        raise UserError(f"'{path}' holds no images.", allowed=", ".join(SUFFIXES), fix=fix)
    rows = _expand_pages(rows, name, mpp_um, notes)
    rows["patch_id"] = _patch_ids(name, root, rows)
    rows["dataset"] = name
    return Cohort(name, _complete(rows, name, mpp_um, notes), tuple(notes))


def read_frame(frame: pd.DataFrame, name: str, mpp_um: float | None) -> Cohort:
    """Return the cohort of a data frame with the columns of a csv, see `read`, and any other columns of a cohort.

    Paths are relative to the working folder. `patch_id` and `dataset` are derived as for a csv where they are absent.
    """
    rows = _checked(lambda errors: image_list.from_frame(frame, errors, numbers=OPTIONAL_NUMBERS), "the data frame")
    for column in OTHER_COLUMNS:
        if column in frame:
            rows[column] = frame[column].to_numpy()
    rows["path"] = [str(Path(path).absolute()) for path in rows["path"]]
    if not len(rows):
        raise UserError("The data frame has no rows.", fix="give the rows of the images")
    notes: list[str] = []
    rows = _expand_pages(rows, name, mpp_um, notes)
    if "patch_id" not in rows:
        rows["patch_id"] = _patch_ids(name, Path.cwd(), rows)
    if "dataset" not in rows:
        rows["dataset"] = name
    return Cohort(name, _complete(rows, name, mpp_um, notes), tuple(notes))


def _from_folder(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    classes = layout.class_folders(folder)
    if not classes:
        return pd.DataFrame({"path": [str(image) for image in layout.iter_images(folder)]}), []
    rows = []
    for label, class_folder in sorted(classes.items()):
        for image in layout.iter_images(class_folder):
            case = image.parent.name if image.parent != class_folder else ""
            rows.append({"path": str(image), "label": float(label), "case_id": case})
    outside = sum(1 for _ in layout.iter_images(folder)) - len(rows)
    notes = [f"{folder.name}: {outside} images outside the class folders were not read"] if outside else []
    return pd.DataFrame(rows, columns=["path", "label", "case_id"]), notes


def _from_csv(csv: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of a csv with full paths, labels and checked numbers, and notes."""
    rows = _checked(lambda errors: image_list.read_list(csv, errors, numbers=OPTIONAL_NUMBERS), f"'{csv}'")
    return rows, _unlisted_notes(csv, rows["path"])


def _checked(read_rows: Callable[[ErrorCollector], pd.DataFrame], source: str) -> pd.DataFrame:
    """Return the rows of a list with the columns of a cohort, labels as numbers; errors are raised together."""
    errors = ErrorCollector()
    table = read_rows(errors)
    rows = table[[column for column in ("path", *OPTIONAL_TEXT, *OPTIONAL_NUMBERS) if column in table]].copy()
    if "label" in table:
        with errors.capture():
            rows["label"] = labels.parse_labels(table["label"], source)
    if not errors.errors and {"votes", "votes_for"} <= set(rows) and (rows["votes_for"] > rows["votes"]).any():
        line = rows.index[rows["votes_for"] > rows["votes"]][0]
        what = f"{source} {rows.index.name or 'line'} {line} has more votes_for than votes."
        errors.add(UserError(what, fix="fix that row"))
    errors.raise_if_any()
    return rows.reset_index(drop=True)


def _unlisted_notes(csv: Path, paths: Iterable[str]) -> list[str]:
    listed = {str(Path(path).resolve()) for path in paths}
    try:
        unlisted = sum(str(image.resolve()) not in listed for image in layout.iter_images(csv.parent))
    except UserError as error:  # a folder beside the csv that cannot be read is no reason to stop
        return [f"{csv.name}: images beside it were not counted: {error.what}"]
    return [f"{csv.name}: {unlisted} images beside it have no row and were not read"] if unlisted else []


def _expand_pages(rows: pd.DataFrame, name: str, mpp_um: float | None, notes: list[str]) -> pd.DataFrame:
    """Return one row per figure of a multi-page TIFF, unless the csv states the page. Pages that are left out are noted.

    Raises a UserError for a damaged TIFF, and for one that states another µm/px than the one that would be used.
    """
    stated = rows["page"] if "page" in rows else pd.Series(math.nan, index=rows.index)
    scales = rows["mpp_um"] if "mpp_um" in rows else pd.Series(math.nan, index=rows.index)
    errors = ErrorCollector()
    pages, others = [], 0
    for path, page, scale in zip(rows["path"], stated, scales, strict=True):
        pages.append([0])
        with errors.capture():
            if path.lower().endswith((".tif", ".tiff")) or page > 0:
                header = images.read_header(Path(path), None if math.isnan(page) else int(page))
                images.scale_of(header, mpp_um if math.isnan(scale) else scale, Path(path))
                pages[-1], others = header.pages, others + header.others
    errors.raise_if_any()
    if others:
        notes.append(f"{name}: {others} reduced-resolution pages of TIFFs are no figures and were not read")
    if all(numbers == [0] for numbers in pages):
        return rows.drop(columns="page", errors="ignore")
    rows = rows.assign(page=pd.Series(pages, index=rows.index)).explode("page", ignore_index=True)
    return rows.astype({"page": "int64"})


def _patch_ids(name: str, root: Path, rows: pd.DataFrame) -> list[str]:
    """Return `<name>/<path without suffix>[#<page>]`; files that differ in their suffix alone keep it."""
    paths = [Path(path) for path in rows["path"]]
    paths = [path.relative_to(root) if path.is_relative_to(root) else path for path in paths]
    files_per_stem = Counter(path.with_suffix("") for path in set(paths))
    names = [p.with_suffix("") if files_per_stem[p.with_suffix("")] == 1 else p for p in paths]
    pages = [f"#{page}" for page in rows["page"]] if "page" in rows else [""] * len(rows)
    return [f"{name}/{path.as_posix()}{page}" for path, page in zip(names, pages, strict=True)]


def _complete(rows: pd.DataFrame, name: str, mpp_um: float | None, notes: list[str]) -> pd.DataFrame:
    """Return the rows with every column of a cohort; assumptions are appended to `notes`."""
    for column in ("label", "votes_for", "votes", "mpp_um"):
        if column not in rows:
            rows[column] = math.nan
    for column in OPTIONAL_TEXT:
        if column not in rows:
            rows[column] = ""
    unstated = rows["mpp_um"].isna()
    if mpp_um is not None:
        check_mpp(mpp_um, name)
    elif unstated.any():
        notes.append(
            f"{name}: µm/px is not stated for {int(unstated.sum())} images; {MPP_UM} is used (set it with --mpp)"
        )
    rows.loc[unstated, "mpp_um"] = MPP_UM if mpp_um is None else mpp_um
    for value in rows["mpp_um"].unique():
        check_mpp(value, name)
    caseless = rows["case_id"] == ""
    if caseless.any():
        rows.loc[caseless, "case_id"] = rows.loc[caseless, "patch_id"]
        if rows["label"].notna().any():
            notes.append(
                f"{name}: no case is stated for {int(caseless.sum())} patches; each counts as a case of its own, so "
                "intervals are too narrow and splits may leak (column case_id)"
            )
    classes = set(rows["label"].dropna())
    if len(classes) == 1:
        notes.append(f"{name}: every labelled patch is {CLASS_NAMES[int(classes.pop())]}: one class only")
    return rows


datasets.add("folder")(
    Dataset(
        title="your own images",
        license="yours",
        mpp_um=None,
        known_overlaps=("unknown: mitotype audit compares them with the published sets by image",),
        detect=detect,
        read=read,
    )
)
