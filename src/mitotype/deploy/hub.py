"""Publishing a bundle on the Hugging Face Hub, if the licenses of the weights under it allow that."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mitotype.backbones.model_spec import backbones
from mitotype.core.errors import UserError
from mitotype.core.run_layout import BundleRecord, names, read_bundle, read_member
from mitotype.deploy.bundle import find_bundle
from mitotype.deploy.licenses import LicenseTerms, license_terms


def push(
    source: str | Path, repository: str, *, private: bool = False, adapters_of_no_derivatives: bool = False
) -> str:
    """Upload a bundle, given its folder or the name of a shipped one, to `repository` (OWNER/NAME) and return its address.

    Weights whose license forbids derivatives are never uploaded. Adapters and heads trained on them are uploaded only with
    `adapters_of_no_derivatives`, into a private repository. Raises a UserError otherwise, and if the hub refuses. The token is
    that of the hub's own login.
    """
    folder = find_bundle(str(source))
    record = read_bundle(folder)
    terms = license_terms(read_member(names.member_dir(folder, name)) for name in record.members)
    bases = ", ".join(terms.backbones)
    if not terms.shareable and terms.is_finetuned:
        what = (
            f"'{folder}' contains weights trained from {bases}, whose license forbids sharing them, as far as is known."
        )
        fix = "keep it to yourself, or train an adapter (adaptation=lora(8, 16)) and ask the publisher"
        raise UserError(what, fix=fix)
    if not terms.shareable and not adapters_of_no_derivatives:
        what = f"The adapters in '{folder}' were trained on {bases}, whose license forbids derivatives, as far as is known."
        fix = "with the publisher's permission: mitotype push … --private --adapters-of-no-derivatives"
        raise UserError(what, fix=fix)
    if not terms.shareable and not private:
        raise UserError(f"Adapters trained on {bases} are published in a private repository only.", fix="add --private")
    card = _front_matter(record, terms) + (folder / names.CARD).read_text(encoding="utf-8")
    return _upload(folder, repository, private, card, [*record.files, names.BUNDLE])


def _front_matter(record: BundleRecord, terms: LicenseTerms) -> str:
    """Return the hub's metadata of a card: license, library, tags, base models."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        model_name=record.name,
        library_name="mitotype",
        pipeline_tag="image-classification",
        tags=["pathology", "mitosis", "atypical-mitotic-figure", "research-use-only"],
        license="other" if terms.backbones else "apache-2.0",
    )
    if terms.backbones:
        data["base_model"] = [backbones.get(name).spec.repository for name in terms.backbones]
        data["base_model_relation"] = "finetune" if terms.is_finetuned else "adapter"
    return f"---\n{data.to_yaml()}\n---\n"


def _upload(folder: Path, repository: str, private: bool, card: str, listed: list[str]) -> str:
    """Upload the listed files of a folder, and the card as the page of the repository."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError, LocalTokenNotFoundError

    try:
        api = HfApi()
        address = str(api.create_repo(repository, private=private, exist_ok=True))
        if private and not api.repo_info(repository).private:
            raise UserError(f"'{repository}' exists and is public.", fix="push to a repository of another name")
        with tempfile.TemporaryDirectory() as directory:
            readme = Path(directory) / "README.md"
            readme.write_text(card, encoding="utf-8")
            api.upload_file(path_or_fileobj=readme, path_in_repo="README.md", repo_id=repository)
        api.upload_folder(folder_path=folder, repo_id=repository, allow_patterns=listed)
    except LocalTokenNotFoundError as error:
        raise UserError("Not logged in to the Hugging Face Hub.", fix="hf auth login") from error
    except (HTTPError, OSError, ValueError) as error:  # HTTPError: the hub refuses or cannot be reached
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        fix = "check the network, log in (hf auth login), or choose another name"
        raise UserError(f"'{repository}' could not be pushed: {reason}.", fix=fix) from error
    return address
