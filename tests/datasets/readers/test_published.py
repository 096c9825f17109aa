"""The published datasets: layouts, parts, votes, and errors for copies that do not match."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from mitotype import datasets
from mitotype.core.errors import UserError
from mitotype.core.schema import COHORT_COLUMNS
from mitotype.datasets.readers import atnorm_md, midog25
from tests.datasets import example_folders as examples


@pytest.fixture(scope="module")
def benchmark_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return examples.write_benchmark(tmp_path_factory.mktemp("examples") / "AMi-Br_Benchmark")


@pytest.fixture
def root(benchmark_root: Path, tmp_path: Path) -> Path:
    """Return a copy of the benchmark that a test may change."""
    return Path(shutil.copytree(benchmark_root, tmp_path / "AMi-Br_Benchmark"))


def test_the_benchmark_root_has_a_cohort_list_per_part(benchmark_root: Path) -> None:
    (train,) = datasets.read(str(benchmark_root), part="train")
    assert (train.name, len(train), int(train.rows["label"].sum())) == ("amibr-train", 8, 4)
    assert set(train.rows["part"]) == {"train"}
    test = datasets.read(str(benchmark_root), part="test")
    assert [c.name for c in test] == ["amibr-test", "atnorm-br", "atnorm-md"]
    assert [len(c) for c in test] == [4, 6, 8]
    assert [c.name for c in datasets.read(str(benchmark_root), part="all")] == ["amibr", "atnorm-br", "atnorm-md"]
    for cohort in test:
        assert set(COHORT_COLUMNS) <= set(cohort.rows.columns)
        assert all(Path(path).is_file() for path in cohort.rows["path"])
        assert any("partial copy" in note for note in cohort.notes)


def test_a_name_selects_dataset_and_part(benchmark_root: Path) -> None:
    (test,) = datasets.read(f"amibr-test={benchmark_root}", part="test")
    assert test.name == "amibr-test"
    (md,) = datasets.read(f"atnorm-md={benchmark_root / 'AtNorM-MD'}", part="test")
    assert md.name == "atnorm-md"
    (br,) = datasets.read(str(benchmark_root / "AtNorM-Br"), part="train")
    assert any("cannot be tested" in note for note in br.notes)
    with pytest.raises(UserError, match="is not trained on"):
        datasets.read(f"amibr-test={benchmark_root}", part="train")
    with pytest.raises(UserError, match="Nearest: amibr"):
        datasets.read(f"amibrr={benchmark_root}", part="train")
    with pytest.raises(UserError, match="nothing at"):
        datasets.read(str(benchmark_root / "absent"), part="train")
    with pytest.raises(UserError, match="No part"):
        datasets.read(str(benchmark_root), part="validation")


def test_amibr_reads_the_other_layout_with_votes(root: Path, tmp_path: Path) -> None:
    rows = examples.some_rows("amibr", train=4, test=2)
    examples.write_class_folders(tmp_path / "repo" / "patches", rows, lower=True)
    text = examples.amibr_csv(rows).replace("\n", "\r\n")
    (tmp_path / "repo" / "AMI-BR.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (cohort,) = datasets.read(str(tmp_path / "repo"), part="all")
    assert len(cohort) == 12
    atypical = cohort.rows[cohort.rows["label"] == 1]
    assert set(atypical["expert_votes"]) == {"ANA"} and set(atypical["votes_for"]) == {2.0}
    assert set(cohort.rows["sub_label_1"]) == {"AMF other"}
    assert cohort.rows["y_px"].tolist() == [50.0] * 12
    row = cohort.rows.set_index("patch_id").loc["amibr/" + rows.index[0]]
    assert row["case_id"].endswith(rows["slide"].iloc[0])


def test_test_votes_come_from_the_csv_beside_the_folder(root: Path) -> None:
    (test,) = datasets.read(f"amibr-test={root}", part="test")
    assert test.rows["votes"].isna().all() and any("have no experts' votes" in note for note in test.notes)
    repository = root.parent / "AMi-Br"
    repository.mkdir()
    (repository / "AMI-BR.csv").write_text(examples.amibr_csv(examples.some_rows("amibr", train=4, test=2)))
    for source in (root, root / "AMi-Br"):
        (test,) = datasets.read(f"amibr-test={source}", part="test")
        assert test.rows["votes"].tolist() == [3.0] * 4


def test_reading_the_training_part_uses_no_test_label(root: Path) -> None:
    before = datasets.read(str(root), part="train")[0].rows
    rows = examples.some_rows("amibr", test=2)
    for stem, label in rows["label"].items():
        right, wrong = (root / "AMi-Br" / examples.FOLDERS[value] / f"{stem}.png" for value in (label, 1 - label))
        right.rename(wrong)
    pd.testing.assert_frame_equal(before, datasets.read(str(root), part="train")[0].rows)
    with pytest.raises(UserError, match="4 errors"):
        datasets.read(f"amibr-test={root}", part="test")


def test_errors_of_amibr_name_the_file(root: Path) -> None:
    folder, csv = root / "AMi-Br", root / "amibr_train_split.csv"
    good = csv.read_text()
    stem = examples.some_rows("amibr", train=4).index[0]
    examples.write_image(folder / "Normal" / "MIDOG21_999999.png", 1)
    with pytest.raises(UserError, match=r"MIDOG21_999999\.png' has no row"):
        datasets.read(str(root), part="train")
    (folder / "Normal" / "MIDOG21_999999.png").unlink()

    csv.write_text(good.replace("expert2_atypical", "expert_two"))
    with pytest.raises(UserError, match="lacks the column expert2_atypical"):
        datasets.read(str(root), part="train")
    csv.write_text(good.replace("False,True,False,False", "False,True,True,False", 1))
    with pytest.raises(UserError, match=r"majority of .* is not that of its votes"):
        datasets.read(str(root), part="train")
    csv.write_text(good.replace("True", "yes", 1))
    with pytest.raises(UserError, match="other than False or True"):
        datasets.read(str(root), part="train")
    test_stem = examples.some_rows("amibr", test=2).index[0]
    csv.write_text(good.replace(f"{stem}.png", f"{test_stem}.png"))
    with pytest.raises(UserError, match=r"M004.*are test patches of the published split"):
        datasets.read(str(root), part="train")
    csv.write_text(good)
    examples.write_image(folder / "Atypical" / f"{stem}.png", 7)
    with pytest.raises(UserError, match="have the same patch name"):
        datasets.read(str(root), part="train")
    shutil.rmtree(folder / "Atypical")
    with pytest.raises(UserError, match="no folders Atypical and Normal"):
        datasets.read(f"amibr={root}", part="train")


def test_atnorm_br_has_checked_classes_and_pseudo_slides(root: Path) -> None:
    folder = root / "AtNorM-Br"
    (cohort,) = datasets.read(str(folder), part="test")
    assert all(case.startswith("AtNorM-Br/BRseg") for case in cohort.rows["case_id"])
    assert any("pseudo-slides" in note for note in cohort.notes)
    moved = next((folder / "Atypical").glob("[0-9]*.png"))
    moved.rename(folder / "Normal" / moved.name)
    with pytest.raises(UserError, match=r"is in normal; in atnorm-br it is atypical"):
        datasets.read(str(folder), part="test")


def test_atnorm_md_has_slides_from_the_table_and_votes_from_the_csv(root: Path) -> None:
    (cohort,) = datasets.read(str(root / "AtNorM-MD"), part="test")
    assert set(cohort.rows["expert_votes"]) == {"ANAAN", "NNNAN"}
    assert all(case.startswith("MIDOG++/") for case in cohort.rows["case_id"])
    assert cohort.rows["x_px"].notna().all() and set(cohort.rows["domain"]) == set(cohort.rows["tumour"])
    csv = root / "AtNorM-MD_expert_votes.csv"
    csv.rename(root / "atnorm-md_EXPERT_votes.csv")
    assert datasets.read(str(root / "AtNorM-MD"), part="test")[0].rows["votes"].tolist() == [5.0] * 8
    text = (root / "atnorm-md_EXPERT_votes.csv").read_text()
    csv.write_text(
        text.replace("Atypical,Normal,Atypical,Atypical,Normal", "Atypical,Normal,Normal,Atypical,Normal", 1)
    )
    (root / "atnorm-md_EXPERT_votes.csv").unlink()
    with pytest.raises(UserError, match="is not that of its votes"):
        datasets.read(str(root / "AtNorM-MD"), part="test")
    csv.write_text(text.replace("Normal", "Maybe", 1))
    with pytest.raises(UserError, match="other than Normal or Atypical"):
        datasets.read(str(root / "AtNorM-MD"), part="test")
    csv.unlink()
    (cohort,) = datasets.read(str(root / "AtNorM-MD"), part="test")
    assert cohort.rows["votes"].isna().all() and any("no votes" in note for note in cohort.notes)


def test_midog25_notes_spellings_and_contradictions(tmp_path: Path) -> None:
    folder = examples.write_midog(tmp_path / "MIDOG25")
    (cohort,) = datasets.read(str(folder), part="train")
    rows = cohort.rows.set_index("patch_id")
    assert (
        rows.loc["midog25/2", "scanner"] == "Hamamatsu XR"
        and rows.loc["midog25/2", "scanner_original"] == "Hamammatsu XR"
    )
    assert (
        rows.loc["midog25/2", "domain"] == "MIDOG21 Hamamatsu XR"
        and rows.loc["midog25/2", "case_id"] == "MIDOG++/002.tiff"
    )
    assert rows["label"].tolist() == [0.0, 0.0, 1.0] and rows["expert_votes"].tolist() == ["NN-", "AAN", "AA-"]
    assert rows["votes"].tolist() == [2.0, 3.0, 2.0]
    notes = " ".join(cohort.notes)
    assert "1 rows have a majority against their votes (1 AAN → N)" in notes and "'Hamammatsu XR' (1 rows)" in notes


def test_a_tumour_of_two_laboratories_is_two_domains(tmp_path: Path) -> None:
    line = "{}.png,{}.tiff,1,2,canine soft tissue sarcoma,3D Histech,{},Canine,NMF,NMF,,NMF"
    lines = [line.format(1, 1, "AMC New York"), line.format(2, 2, "VMU Vienna"), examples.MIDOG_LINES[2]]
    (cohort,) = datasets.read(str(examples.write_midog(tmp_path / "MIDOG25", *lines)), part="train")
    assert cohort.rows["domain"].tolist() == [
        "canine soft tissue sarcoma, AMC New York", "canine soft tissue sarcoma, VMU Vienna", "human melanoma",
    ]  # fmt: skip


def test_midog25_reads_a_zip_and_a_folder_beside_its_csv(tmp_path: Path) -> None:
    folder = examples.write_midog(tmp_path / "MIDOG25")
    expected = datasets.read(str(folder), part="train")[0].rows.drop(columns="path")
    with zipfile.ZipFile(folder / "set.zip", "w") as archive:
        for number in (1, 2, 3):
            archive.write(folder / "png" / f"{number}.png", f"wrapped/{number}.png")
        archive.writestr("__MACOSX/wrapped/._1.png", b"\0")
    from_folder = datasets.read(str(folder / "png"), part="train")[0].rows.drop(columns="path")
    (cohort,) = datasets.read(str(folder / "set.zip"), part="train")
    pd.testing.assert_frame_equal(cohort.rows.drop(columns="path"), expected)
    pd.testing.assert_frame_equal(from_folder, expected)
    with zipfile.ZipFile(folder / "set.zip", "a") as archive:
        archive.write(folder / midog25.CSV_NAME, f"wrapped/{midog25.CSV_NAME}")
    (folder / midog25.CSV_NAME).unlink()
    (cohort,) = datasets.read(str(folder / "set.zip"), part="train")
    pd.testing.assert_frame_equal(cohort.rows.drop(columns="path"), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("AMF,AMF,,AMF", "AMF,XYZ,,AMF"), "unknown votes, '3.png'"),
        (lambda text: text.replace("AMF,AMF,,AMF", "AMF,AMF,,both"), r"'both' \(line 4\)"),
        (lambda text: text.replace("AMF,AMF,,AMF", "AMF,AMF,,"), "no majority for '3.png'"),
        (lambda text: text.replace("expert3", "third"), "lacks the column expert3"),
        (lambda text: text.replace("2.png", "1.png"), "two rows for '1'"),
        (lambda text: text.replace("3.png", "4.png"), r"3\.png' has no row"),
    ],
)
def test_errors_of_midog25(tmp_path: Path, change: object, message: str) -> None:
    folder = examples.write_midog(tmp_path / "MIDOG25")
    csv = folder / midog25.CSV_NAME
    csv.write_text(change(csv.read_text()))  # type: ignore[operator]
    with pytest.raises(UserError, match=message):
        datasets.read(f"midog25={folder}", part="train")


@pytest.mark.parametrize(("head", "normal"), [("image_id,filename,majority", "NMF"), ("image_file,label", "MF")])
def test_omg_octo_reads_both_spellings(tmp_path: Path, head: str, normal: str) -> None:
    names = ["ab_x1_y2_3_4_5_6.png", "ab_x9_y2_3_4_5_6.png", "c_x1_y1_3_4_5_6.png"]
    for seed, name in enumerate(names):
        examples.write_image(tmp_path / "OMG" / "png" / name, seed)
    middle = ["ab,", "ab,", "c,"] if "filename" in head else ["", "", ""]
    labels = ["AMF", normal, "AMF"]
    lines = [f"{name},{m}{label}" for name, m, label in zip(names, middle, labels, strict=True)]
    (tmp_path / "OMG" / "labels.csv").write_text("\n".join([head, *lines, lines[0]]) + "\n")
    (cohort,) = datasets.read(str(tmp_path / "OMG"), part="train")
    assert cohort.name == "omg-octo" and cohort.rows["label"].tolist() == [1.0, 0.0, 1.0]
    assert cohort.rows["case_id"].tolist() == ["OMG-Octo/ab", "OMG-Octo/ab", "OMG-Octo/c"]
    assert any("two rows of one label" in note for note in cohort.notes)
    other = lines[0].replace("AMF", normal)
    (tmp_path / "OMG" / "labels.csv").write_text("\n".join([head, *lines, other]) + "\n")
    with pytest.raises(UserError, match=r"M005.*both atypical and normal"):
        datasets.read(str(tmp_path / "OMG"), part="train")


def test_a_stated_resolution_is_used_and_noted(benchmark_root: Path) -> None:
    (cohort,) = datasets.read(str(benchmark_root), part="train", mpp_um=0.5)
    assert set(cohort.rows["mpp_um"]) == {0.5} and any("0.5 µm/px as stated" in note for note in cohort.notes)


def test_a_damaged_csv_is_an_error(root: Path) -> None:
    (root / "amibr_train_split.csv").write_bytes(b"\xff\xfe\x00dataset_uid\n\x93")
    with pytest.raises(UserError, match="lacks the column dataset_uid"):
        datasets.read(str(root), part="train")


def test_the_download_folder_is_read_as_its_dataset(benchmark_root: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(benchmark_root, data / "AMi-Br_Benchmark")
    for source in (str(data), f"amibr-train={data}", f"amibr={data}"):
        (cohort,) = datasets.read(source, part="train")
        assert (cohort.name, len(cohort)) == ("amibr-train", 8)
    assert len(datasets.read(str(data), part="test")) == 3
    examples.write_midog(data / "MIDOG25")
    assert datasets.read(f"midog25={data}", part="train")[0].name == "midog25"
    with pytest.raises(UserError, match=r"holds several datasets(.|\n)*AMi-Br_Benchmark, .*MIDOG25"):
        datasets.read(str(data), part="train")


@pytest.mark.real
def test_the_real_benchmark(shared_data: Path) -> None:
    (train,) = datasets.read(str(shared_data / "AMi-Br_Benchmark"), part="train")
    rows = train.rows
    assert (len(rows), int(rows["label"].sum()), rows["case_id"].nunique()) == (2894, 648, 146)
    assert train.notes == () and rows["domain"].nunique() == 5
    amibr, br = datasets.read(str(shared_data / "AMi-Br_Benchmark"), part="test")
    assert (len(amibr), int(amibr.rows["label"].sum()), amibr.rows["case_id"].nunique()) == (826, 184, 56)
    assert amibr.rows["votes_for"].value_counts().sort_index().tolist() == [564, 78, 92, 92]
    assert (len(br), int(br.rows["label"].sum()), br.rows["case_id"].nunique()) == (746, 128, 95)
    (amibr_all,) = datasets.read(f"amibr={shared_data / 'AMi-Br_Benchmark'}", part="all")
    counted = amibr_all.rows.groupby("domain")["label"].agg(["size", "sum"])
    assert counted.loc["TUPAC16 01-23"].tolist() == [1329, 277]
    assert counted.loc["MIDOG21 Hamamatsu XR"].tolist() == [451, 105]
    sub = amibr_all.rows["sub_label_1"].str.startswith("AMF") == (amibr_all.rows["expert_votes"].str[0] == "A")
    assert sub.all()


@pytest.mark.real
def test_a_renamed_copy_is_detected_by_its_images(shared_data: Path, tmp_path: Path) -> None:
    for name in ("Atypical", "Normal"):
        (tmp_path / "copy" / name).mkdir(parents=True)
        for file in sorted((shared_data / "AMi-Br_Benchmark" / "AtNorM-Br" / name).glob("*.png"))[:3]:
            shutil.copy(file, tmp_path / "copy" / name)
    assert datasets.read(str(tmp_path / "copy"), part="test")[0].name == "atnorm-br"


@pytest.mark.real
def test_the_real_label_tables(shared_data: Path) -> None:
    midog_all = examples.table_cohort("midog25", shared_data / "MIDOG25" / midog25.CSV_NAME)
    assert (len(midog_all), midog_all.rows["case_id"].nunique()) == (11937, 475)
    assert any("49 rows" in note and "25 AAN → N" in note for note in midog_all.notes)
    assert midog_all.rows["scanner"].nunique() == 4 and len(midog_all.notes) == 2
    domains = midog_all.rows["domain"].value_counts()
    assert len(domains) == 10 and domains["canine soft tissue sarcoma, VMU Vienna"] == 189
    octo = examples.table_cohort("omg-octo", shared_data / "OMG-Octo" / "labels.csv")
    assert (len(octo), int(octo.rows["label"].sum()), octo.rows["case_id"].nunique()) == (1753, 1375, 125)
    md = examples.table_cohort("atnorm-md", shared_data / "AMi-Br_Benchmark" / atnorm_md.VOTES_CSV)
    assert (len(md), int(md.rows["label"].sum()), md.rows["case_id"].nunique()) == (2107, 219, 60)
    assert md.rows.groupby("domain")["label"].sum()["human melanoma"] == 69
    with pytest.raises(UserError, match="None of the 11937 images"):
        datasets.read(str(shared_data / "MIDOG25"), part="train")


@pytest.mark.real
def test_a_figure_has_the_same_case_and_centre_in_both_tables(shared_data: Path) -> None:
    """AMi-Br's MIDOG21 patches are MIDOG 2025's by slide and centre, all 1,721, with the same domain."""
    (amibr,) = datasets.read(f"amibr={shared_data / 'AMi-Br_Benchmark'}", part="all")
    midog_all = examples.table_cohort("midog25", shared_data / "MIDOG25" / midog25.CSV_NAME)
    key = ["case_id", "x_px", "y_px", "domain"]
    both = amibr.rows.merge(midog_all.rows, on=key, suffixes=("", "_m"))
    assert len(both) == 1721 and (both["part"] == "test").sum() == 429
