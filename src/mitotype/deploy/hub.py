"""Hub: publish a bundle where the licences of the weights under it allow that, and refuse where they do not."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mitotype.backbones.facts import backbones
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
        what = f"'{folder}' holds weights that were trained from {names}, whose licence bars sharing them, as far as is known."
        raise Mistake(
            what, fix="keep it to yourself, or train an adapter (adaptation=lora(8, 16)) and ask the publisher"
        )
    if not found.shareable and not adapters_of_no_derivatives:
        what = (
            f"The adapters in '{folder}' were trained on {names}, whose licence bars derivatives, as far as is known."
        )
        fix = "if the publisher lets you: mitotype push … --private --adapters-of-no-derivatives"
        raise Mistake(what, fix=fix)
    if not found.shareable and not private:
        raise Mistake(f"Adapters trained on {names} are published in a private repository only.", fix="add --private")
    card = _head(told, found) + (folder / "card.md").read_text(encoding="utf-8")
    return _upload(folder, repository, private, card, [*told["files"], bundles.TOLD])


def _head(told: dict[str, Any], found: licences.Terms) -> str:
    """The hub's front matter of a card: licence, library, tags, bases."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        model_name=told["name"],
        library_name="mitotype",
        pipeline_tag="image-classification",
        tags=["pathology", "mitosis", "atypical-mitotic-figure", "research-use-only"],
        license="other" if found.bases else "apache-2.0",
    )
    if found.bases:
        data["base_model"] = [backbones.get(name).facts.repository for name in found.bases]
        data["base_model_relation"] = "finetune" if found.whole else "adapter"
    return f"---\n{data.to_yaml()}\n---\n"


def _upload(folder: Path, repository: str, private: bool, card: str, listed: list[str]) -> str:
    """Send the files of `folder` that its bundle lists, and the card as the repository's page."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError, LocalTokenNotFoundError

    try:
        api = HfApi()
        address = str(api.create_repo(repository, private=private, exist_ok=True))
        if private and not api.repo_info(repository).private:
            raise Mistake(f"'{repository}' exists already and is public.", fix="push to a repository of another name")
        with tempfile.TemporaryDirectory() as place:
            readme = Path(place) / "README.md"
            readme.write_text(card, encoding="utf-8")
            api.upload_file(path_or_fileobj=readme, path_in_repo="README.md", repo_id=repository)
        api.upload_folder(folder_path=folder, repo_id=repository, allow_patterns=listed)
    except LocalTokenNotFoundError as error:
        raise Mistake("The hub does not know you.", fix="hf auth login") from error
    except (HTTPError, OSError, ValueError) as error:  # HTTPError: the hub says no, or cannot be reached
        why = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        fix = "check the network, log in (hf auth login), or give another name"
        raise Mistake(f"'{repository}' could not be pushed: {why}.", fix=fix) from error
    return address
