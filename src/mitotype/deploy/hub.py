"""Publishing a bundle on the Hugging Face Hub, if the licenses of the weights under it allow that."""

from __future__ import annotations

import hashlib
from pathlib import Path

from msgspec.structs import replace

from mitotype.core import extras, records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import bundle_digest, names, read_bundle, read_member
from mitotype.deploy.bundle import find_bundle
from mitotype.deploy.hub_errors import translated_refusals
from mitotype.deploy.licenses import LicenseTerms, license_terms
from mitotype.deploy.redaction import check_files, redact_record, redact_text


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
    _check_terms(terms, folder, private=private, with_permission=adapters_of_no_derivatives)
    return _upload(repository, published_files(folder, terms), private=private)


def published_files(folder: Path, terms: LicenseTerms) -> dict[str, Path | bytes]:
    """Return what is uploaded, by its path in the repository: the bundle without traces of its maker, page and results."""
    with extras.translated():
        from mitotype.deploy.hub_card import EVAL_RESULTS, eval_results, readme

    record = read_bundle(folder)
    content: dict[str, Path | bytes] = {file: folder / file for file in record.files}
    card = (folder / names.CARD).read_text(encoding="utf-8")
    public_card, public = redact_text(card), redact_record(record)
    content[names.BUNDLE] = folder / names.BUNDLE
    if public_card != card or public != record:
        content[names.CARD] = public_card.encode()
        public = replace(
            public, format=2, files=record.files | {names.CARD: hashlib.sha256(public_card.encode()).hexdigest()}
        )
        content[names.BUNDLE] = records.encode(replace(public, digest=bundle_digest(public)))
    check_files(path for path in content.values() if isinstance(path, Path))
    content["README.md"] = readme(public, terms, public_card).encode()
    if results := eval_results(public):
        content[EVAL_RESULTS] = results.encode()
    return content


def _check_terms(terms: LicenseTerms, folder: Path, *, private: bool, with_permission: bool) -> None:
    """Raise a UserError where the licenses do not allow the upload."""
    bases = ", ".join(terms.backbones)
    if not terms.shareable and terms.is_finetuned:
        what = (
            f"'{folder}' contains weights trained from {bases}, whose license forbids sharing them, as far as is known."
        )
        fix = "keep it to yourself, or train an adapter (adaptation=lora(8, 16)) and ask the publisher"
        raise UserError(what, fix=fix)
    if not terms.shareable and not with_permission:
        what = f"The adapters in '{folder}' were trained on {bases}, whose license forbids derivatives, as far as is known."
        fix = "with the publisher's permission: mitotype push … --private --adapters-of-no-derivatives"
        raise UserError(what, fix=fix)
    if not terms.shareable and not private:
        raise UserError(f"Adapters trained on {bases} are published in a private repository only.", fix="add --private")


def _upload(repository: str, content: dict[str, Path | bytes], *, private: bool) -> str:
    """Upload files as one commit: the repository has all of them or none."""
    with extras.translated():
        from huggingface_hub import CommitOperationAdd, HfApi
    fix = "check the network, log in (hf auth login), or choose another name"
    with translated_refusals(f"'{repository}' could not be pushed", fix):
        api = HfApi()
        address = str(api.create_repo(repository, private=private, exist_ok=True))
        if private and not api.repo_info(repository).private:
            raise UserError(f"'{repository}' exists and is public.", fix="push to a repository of another name")
        operations = [CommitOperationAdd(file, data) for file, data in sorted(content.items())]
        api.create_commit(repository, operations, commit_message="mitotype push")
    return address
