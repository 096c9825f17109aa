"""Every dataset of the registry fulfils the contract, and the contract can fail."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mitotype.core.schema import Cohort
from mitotype.datasets.dataset import Dataset, Part, datasets
from mitotype.datasets.synthesis import cohort as synthetic
from tests.datasets import example_folders as examples
from tests.datasets.contract import check_reader, loaded_by

OF_EVERYTHING = ("folder",)  # detects any path


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a tiny folder of every dataset, each in a folder of its own."""
    root = tmp_path_factory.mktemp("datasets")
    amibr, own = examples.some_rows("amibr", train=4, test=2), root / "e" / "own"
    examples.write_class_folders(root / "a" / "AMi-Br", amibr)
    for seed, (folder, title, name) in enumerate((("b", "AtNorM-Br", "atnorm-br"), ("c", "AtNorM-MD", "atnorm-md"))):
        examples.write_class_folders(root / folder / title, examples.some_rows(name, test=3), seed=100 * seed)
    for seed, name in enumerate(("Atypical", "Normal")):
        examples.write_image(own / name / "case" / "x.png", seed)
    synthetic.generate(root / "f" / "synthetic", patches=16, cases=6, seed=0, domains=2)
    return {
        "amibr": root / "a" / "AMi-Br",
        "atnorm-br": root / "b" / "AtNorM-Br",
        "atnorm-md": root / "c" / "AtNorM-MD",
        "midog25": examples.write_midog(root / "d" / "MIDOG25"),
        "omg-octo": examples.write_octo(root / "g" / "OMG-Octo"),
        "folder": own,
        "synthetic": root / "f" / "synthetic",
    }


@pytest.mark.parametrize("name", datasets.names())
def test_a_reader_fulfils_the_contract(name: str, folders: dict[str, Path]) -> None:
    others = [folder for other, folder in folders.items() if other != name and name not in OF_EVERYTHING]
    check_reader(name, folders[name], others)


def test_the_contract_reports_a_wrong_reader(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    right = datasets.get("omg-octo")

    def changed(**columns: object) -> Dataset:
        def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
            cohort = right.read(path, part, mpp_um)
            return Cohort(cohort.name, cohort.rows.assign(**columns), cohort.notes)

        return dataclasses.replace(right, read=read)

    for columns in ({"label": 2.0}, {"label": 1}, {"case_id": ""}, {"domain": None}, {"path": "absent.png"}):
        monkeypatch.setitem(datasets._items, "omg-octo", changed(**columns))
        with pytest.raises(AssertionError):
            check_reader("omg-octo", folders["omg-octo"])
    for facts in ({"detect": lambda path: True}, {"parts": {"octo-test": Part(split="test")}}, {"overlaps": ("x",)}):
        monkeypatch.setitem(datasets._items, "omg-octo", dataclasses.replace(right, **facts))
        with pytest.raises(AssertionError):
            check_reader("omg-octo", folders["omg-octo"], [folders["amibr"]])


def test_the_readers_load_nothing_heavy() -> None:
    """Nor does the package: a reader imports such a library where it is used."""
    assert loaded_by("from mitotype.datasets import datasets; datasets.names()") == set()
    assert loaded_by("import sklearn") == {"sklearn", "scipy"}
