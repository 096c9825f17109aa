"""Optional libraries: every one is in its extra of pyproject.toml, and an absent one is an error with the line to type."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from mitotype.core import extras
from mitotype.core.errors import UserError

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = {
    "sklearn": "scikit-learn",
    "cv2": "opencv-python-headless",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}  # named unlike the library


def test_every_optional_library_is_in_its_extra() -> None:
    base = {re.split(r"[^\w-]", requirement)[0] for requirement in PROJECT["dependencies"]}
    for extra, libraries in extras.EXTRAS.items():
        names = {re.split(r"[^\w-]", requirement)[0] for requirement in PROJECT["optional-dependencies"][extra]}
        for library in libraries:
            assert DISTRIBUTIONS.get(library, library) in names - base


def test_an_absent_library_is_an_error_with_the_line_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras._EXTRA_OF, "not_there", "train")
    with pytest.raises(UserError, match=r'pip install "mitotype\[train\]"'), extras.translated():
        import not_there.part  # type: ignore[import-not-found]  # noqa: F401
    with pytest.raises(ModuleNotFoundError), extras.translated():
        import not_in_an_extra  # type: ignore[import-not-found]  # noqa: F401
