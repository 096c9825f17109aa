"""The one reader of tables: text stays text, and every fault names file, line and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

import mitotype
from mitotype.core import files, tables
from mitotype.core.errors import ErrorCollector, UserError

PACKAGE = Path(mitotype.__file__).parent
IDS = ["01", "001", "NA", "1e2", "None", "null", "1.0", "True"]


def write(folder: Path, text: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_ids_are_text(tmp_path: Path) -> None:
    path = write(tmp_path, "id,x\n" + "".join(f"{name},1\n" for name in IDS))
    rows = tables.read(path, ("id",), numbers=("x",))
    assert rows["id"].tolist() == IDS
    assert rows["x"].tolist() == [1.0] * len(IDS)


def test_ids_of_a_parquet_file_are_text(tmp_path: Path) -> None:
    pd.DataFrame({"id": IDS[:3], "case": [7, 8, 9], "gap": [1.0, None, 2.5], "x": [1, 2, 3]}).to_parquet(
        tmp_path / "a.parquet"
    )
    rows = tables.read(tmp_path / "a.parquet", ("id",), numbers=("x",))
    assert rows["id"].tolist() == IDS[:3]
    assert rows["case"].tolist() == ["7", "8", "9"]
    assert rows["gap"].tolist() == ["1", "", "2.5"]
    assert rows["x"].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path: Path, encoding: str, end: str) -> None:
    text = end.join(["path,x", "Prüfung µ.png,1", "b.png,2", ""])
    rows = tables.read(write(tmp_path, text.encode(encoding)), ("path",), numbers=("x",))
    assert rows["path"].tolist() == ["Prüfung µ.png", "b.png"]
    assert rows.index.tolist() == [2, 3]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters(tmp_path: Path, delimiter: str) -> None:
    text = "\n".join(delimiter.join(cells) for cells in (("path", "x"), ('"a, b;c.png"', "0.5")))
    rows = tables.read(write(tmp_path, text), ("path",), numbers=("x",))
    assert rows["path"].tolist() == ["a, b;c.png"]
    assert rows["x"].tolist() == [0.5]


def test_decimal_commas_of_a_semicolon_file_and_the_line_that_excel_writes(tmp_path: Path) -> None:
    rows = tables.read(write(tmp_path, "sep=;\npath;x\na;0,25\nb;-1,5e-1\nc;\n"), ("path",), numbers=("x",))
    assert rows["x"].tolist()[:2] == [0.25, -0.15]
    assert rows["x"].isna().tolist() == [False, False, True]


def test_blanks_blank_lines_and_the_index_of_pandas(tmp_path: Path) -> None:
    text = ",path ,x,\n0, a.png ,1,\n\n,,,\n1,'=b.png,2,\n"
    rows = tables.read(write(tmp_path, text), ("path",), numbers=("x",))
    assert list(rows.columns) == ["path", "x"]
    assert rows["path"].tolist() == ["a.png", "=b.png"]
    assert rows.index.tolist() == [2, 5]


def test_lines_count_the_line_ends_in_cells(tmp_path: Path) -> None:
    rows = tables.read(write(tmp_path, 'a,b\n1,"x\ny"\n2,"x\ny\nz"\n3,x\n'))
    assert rows.index.tolist() == [2, 4, 7]


def test_one_row_and_one_column(tmp_path: Path) -> None:
    assert tables.read(write(tmp_path, "path\na.png"), ("path",))["path"].tolist() == ["a.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is empty"),
        ("\n\n", "is empty"),
        ("path,x\n", "has a header and no rows"),
        ("file,x\na,1\n", r"lacks the column path; it has file, x\.\n  add the column"),
        ("Path,x\na,1\n", r"lacks the column path; .* Nearest: Path\.\n  rename 'Path'"),
        ("path,x,x\na,1,2\n", "two columns called 'x'"),
        ("path,x,\na,1,2\n", "line 2: column 3 has no name"),
        ("path,x\na,1\nb,1,2\nc,1,2\n", r"line 3: 3 cells, but the header has 2 \(2 such lines\)"),
        ("path,x\na\n", "line 2: 1 cells, but the header has 2"),
        ('path,x\na,1\n"b,1\nc,2\n', "line 3: a quote that is not closed"),
        ("path,x\na,high\nb,low\n", r"line 2: x 'high', not a number \(2 such cells\)"),
        ('path,x\na,"0,5"\n', r"line 2: x '0,5', not a number\.\n  write decimals with a point \(0\.5\)"),
        ("path,x\na,50.7%\n", r"line 2: x '50\.7%', .*\n  write shares"),
        ("path,x\na,0.25 um\n", r"line 2: .*\n  write the number alone"),
        ("path,x\na,1_000\n", "not a number"),
        ("path,x\na,1e999\n", "line 2: x is not finite"),
        ("path,x\ncaf\u00e9,1\n".encode("cp1252"), r"not UTF-8: line 2 has the byte 0xe9, 'é' in Windows-1252"),
        (b"path,x\na\0b,1\n1,1\n", "line 2: a NUL character"),
        (b"PK\x03\x04rest", "a zip or Excel file"),
        (b"PAR1rest", "a parquet file"),
    ],
)
def test_a_fault_names_file_line_and_remedy(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        tables.read(write(tmp_path, text), ("path",), numbers=("x",), what="list")
    assert str(error.value).startswith(f"The list '{tmp_path / 'a.csv'}'")
    assert error.value.fix


def test_faults_of_cells_are_collected(tmp_path: Path) -> None:
    errors = ErrorCollector()
    rows = tables.read(write(tmp_path, "x,y\na,1\n2,b\n"), numbers=("x", "y", "z"), errors=errors)
    assert len(errors.errors) == 2
    assert rows["x"].tolist() == ["a", "2"]


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet", "x" * 300 + ".csv", "folder.csv"])
def test_an_absent_table_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match="There is no table"):
        tables.read(tmp_path / name)


def test_damaged_and_nested_parquet_files_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pd.DataFrame({"path": [["a"], ["b"]]}).to_parquet(path)
    with pytest.raises(UserError, match="row 1: a cell holds ndarray"):
        tables.read(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match="cannot be read"):
        tables.read(path)
    with pytest.raises(UserError, match="cannot be read"):
        tables.read_stored(path)


def test_text_of_a_parquet_file_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pd.DataFrame({"path": ["caf\u00e9-1", "caf\u00e9-2"]}).to_parquet(path, compression=None)
    path.write_bytes(path.read_bytes().replace("\u00e9".encode(), b"\xff\xff"))
    for read in (tables.read, tables.read_stored):
        with pytest.raises(UserError, match="cannot be read"):
            read(path)


def test_stored_tables_have_the_right_types(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    files.write_table(path, pd.DataFrame({"patch_id": [1, 2], "fold": [1, 1]}))
    with pytest.raises(UserError, match="wrong type in the column 'patch_id'"):
        tables.read_stored(path, ("patch_id",), ("fold",))
    with pytest.raises(UserError, match="has no column 'logit'"):
        tables.read_stored(path, (), ("logit",))


def test_escaped_cells_are_read_back_unchanged(tmp_path: Path) -> None:
    rows = pd.DataFrame({"votes": ["-AN", "A-N", "'quoted'"], "x": [-1.0, 2.0, 3.0]})
    files.write_table(tmp_path / "a.csv", rows)
    again = tables.read(tmp_path / "a.csv", numbers=("x",))
    assert again["votes"].tolist() == rows["votes"].tolist()
    assert again["x"].tolist() == rows["x"].tolist()


def test_names_of_columns_without_the_rows(tmp_path: Path) -> None:
    assert tables.column_names(write(tmp_path, "\ufeffpath; x\na;1\n")) == ["path", "x"]
    assert tables.column_names(write(tmp_path, b"\x89PNG\0", "b.csv")) == []
    assert tables.column_names(write(tmp_path, b"x", "c.parquet")) == []
    assert tables.column_names(tmp_path / "absent.csv") == []


@pytest.mark.parametrize(
    ("pattern", "file"),
    [
        (r"read_csv|read_parquet", "core/tables.py"),
        (r"csv\.reader|DictReader", "core/csv_text.py"),
        (r"rglob|os\.walk|scandir", "core/walk.py"),
    ],
)
def test_there_is_one_reader_of_tables_and_one_walk_over_folders(pattern: str, file: str) -> None:
    matches = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(pattern, path.read_text(encoding="utf-8"))
    }
    assert matches == {file}


def test_a_table_that_is_replaced_while_it_is_read_is_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Footer and rows come from one file: a member's process may write the scores of a run that another one reads."""
    path, read = tmp_path / "a.parquet", pd.read_parquet
    files.write_table(path, pd.DataFrame({"a": list(range(1000))}))

    def replaced(source: object, **options: object) -> pd.DataFrame:
        files.write_table(path, pd.DataFrame({"a": ["x"] * 7}))
        return read(source, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(pd, "read_parquet", replaced)
    assert tables.read_stored(path)["a"].tolist() == list(range(1000))
