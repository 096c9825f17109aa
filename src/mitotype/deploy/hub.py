"""Hub: publish a bundle where the licences of the weights under it allow that, and refuse where they do not."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.deploy import bundle as bundles
from mitotype.deploy import licences


def push(folder: Path, repository: str, *, private: bool, adapters_of_no_derivatives: bool = False) -> str:
    """Upload a bundle to `repository` (OWNER/NAME) and return its address. The token is the hub's own login.

    Weights whose licence bars derivatives are never uploaded. Adapters and heads trained beside them go up only with
    `adapters_of_no_derivatives`, into a private repository. Raises a Mistake otherwise, and where the hub refuses.
    """
    told = bundles.read(folder)
    members = [files.read_json(folder / "members" / name / "member.json") for name in told["members"]]
    found = licences.terms([member for member in members if "architecture" in member])
    names = ", ".join(found.bases)
    if not found.shareable and found.whole:
        what = f"'{folder}' holds weights that were trained from {names}, whose licence bars sharing them."
        raise Mistake(
            what, fix="keep it to yourself, or train an adapter (adaptation=lora(8, 16)) and ask the publisher"
        )
    if not found.shareable and not adapters_of_no_derivatives:
        what = f"The adapters in '{folder}' were trained on {names}, whose licence bars derivatives."
        fix = "if the publisher lets you: mitotype push … --private --adapters-of-no-derivatives"
        raise Mistake(what, fix=fix)
    if not found.shareable and not private:
        raise Mistake(f"Adapters trained on {names} are published in a private repository only.", fix="add --private")
    return _upload(folder, repository, private, _head(told, found))


def _head(told: dict[str, Any], found: licences.Terms) -> str:
    """The hub's front matter of a card: licence, library, tags, bases."""
    lines = ["---", "library_name: mitotype", "tags: [pathology, mitosis, atypical-mitotic-figure, research-use-only]"]
    lines.append("license: apache-2.0" if not found.bases else "license: other")
    lines += [f"base_model: {name}" for name in found.bases]
    return "\n".join([*lines, f"pipeline_tag: image-classification\nmodel_name: {told['name']}", "---", ""])


def _upload(folder: Path, repository: str, private: bool, head: str) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        api = HfApi()
        address = str(api.create_repo(repository, private=private, exist_ok=True))
        with tempfile.TemporaryDirectory() as place:
            readme = Path(place) / "README.md"
            readme.write_text(head + (folder / "card.md").read_text(encoding="utf-8"), encoding="utf-8")
            api.upload_file(path_or_fileobj=readme, path_in_repo="README.md", repo_id=repository)
        api.upload_folder(folder_path=folder, repo_id=repository)
    except LocalTokenNotFoundError as error:
        raise Mistake("The hub does not know you.", fix="hf auth login") from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise Mistake(
            f"The hub refused '{repository}': {str(error).splitlines()[0]}.", fix="hf auth login, or another name"
        ) from error
    return address
