"""Bundles: make one of a run, export it, publish it."""

from __future__ import annotations

import os
from pathlib import Path

from mitotype.core import files, outputs
from mitotype.core.errors import UserError, unknown_name
from mitotype.deploy import from_run, hub
from mitotype.deploy.bundle import HUB, shipped
from mitotype.deploy.export import onnx
from mitotype.deploy.export.formats import FORMATS


def bundle(
    run: str | os.PathLike[str],
    out: str | Path,
    *,
    name: str = "mine",
    notes: str | Path = "",
    with_base: bool = False,
) -> Path:
    """Make a bundle of a finished run or ensemble: one folder that classifies.

    Parameters
    ----------
    run : str, Path, Run or Ensemble
        A finished run, or an ensemble of runs. Its evaluations and its ledger of test sets go onto the card.
    out : str or Path
        Folder of the bundle.
    name : str, default "mine"
        Name of the bundle.
    notes : str or Path, default ""
        Markdown for the card, or a file with it: how choices were made.
    with_base : bool, default False
        Include published weights under adapters, where their license allows it.

    Returns
    -------
    Path
        The folder of the bundle.

    Raises
    ------
    UserError
        For a run that is not finished or has no decision, an ensemble whose combiner has no coefficients, a folder that holds
        something else, and weights that may not be passed on.

    See Also
    --------
    train : Train a recipe into a run folder.
    classify : Classify images.
    push : Publish a bundle.

    Examples
    --------
    >>> import mitotype
    >>> cohort = mitotype.synthetic_cohort("cohort", patches=60, cases=12, domains=4)
    >>> run = mitotype.train("morphology", "cohort", out="run", settings=["folds=2"])
    >>> folder = mitotype.bundle(run, "my-bundle")
    >>> sorted(path.name for path in folder.iterdir())
    ['bundle.json', 'card.md', 'members']
    """
    if isinstance(notes, Path):
        notes = files.read_bytes(notes, what="notes", max_bytes=2**20).decode("utf-8", "replace")
    return from_run.bundle_from_run(Path(run), Path(out), name=name, notes=notes, with_base=with_base)


def push(
    bundle: str | Path, repository: str, *, private: bool = False, adapters_of_no_derivatives: bool = False
) -> str:
    """Publish a bundle on the Hugging Face Hub, where the licenses of the weights under it allow that.

    The upload is one commit: the files of the bundle, its card with the hub's metadata, and its results on test sets. Paths, user
    names and quoted cases in its free text are removed.

    Parameters
    ----------
    bundle : str or Path
        Folder of a bundle, or name of one that ships with the package.
    repository : str
        ``OWNER/NAME`` on the hub.
    private : bool, default False
        Make the repository private.
    adapters_of_no_derivatives : bool, default False
        Upload adapters of weights whose license forbids derivatives, with the permission of their publisher; only into a
        private repository.

    Returns
    -------
    str
        The address of the repository.

    Raises
    ------
    UserError
        Where a license forbids it, for a file with the path of your home folder, without a login, and where the hub refuses.

    See Also
    --------
    bundle : Make a bundle of a run.

    Examples
    --------
    >>> import mitotype
    >>> address = mitotype.push("my-bundle", "me/my-bundle", private=True)  # doctest: +SKIP
    """
    return hub.push(bundle, repository, private=private, adapters_of_no_derivatives=adapters_of_no_derivatives)


def export(bundle: str | Path, *, to: str = "onnx", out: str | Path | None = None) -> Path:
    """Write the nets of a bundle in a format of other programs.

    Parameters
    ----------
    bundle : str or Path
        Folder of a bundle, or name of one that ships with the package.
    to : str, default "onnx"
        ``onnx``: one graph, uint8 images in; raw logits and embeddings of every member, the calibrated logit and the
        probability of atypical out. ``wsinfer``: a folder for the WSInfer extension of QuPath. ``opencv``: a folder for
        QuPath without an extension, a graph and a script. ``timm``: a folder that ``timm.create_model`` loads, of a bundle
        with one net that timm builds.
    out : str or Path, optional
        File of ``onnx``, folder of the others. Default: ``model.onnx`` in the bundle itself, which then classifies without
        torch.

    Returns
    -------
    Path
        The file or folder.

    Raises
    ------
    UserError
        For another format, a bundle without nets, a frame other than a crop, a net that the format cannot have, and
        without the libraries of ``mitotype[train]``, for ``opencv`` those of ``mitotype[opencv]`` too.

    See Also
    --------
    bundle : Make a bundle of a run.
    classify : Classify images.

    Examples
    --------
    >>> import mitotype
    >>> path = mitotype.export("default", out="default.onnx")  # doctest: +SKIP
    >>> folder = mitotype.export("default", to="wsinfer", out="mitotype-default")  # doctest: +SKIP
    """
    if to not in FORMATS:
        raise unknown_name("format", str(to), FORMATS, "mitotype export --help")
    if out is None and to == "onnx":
        if str(bundle).startswith(HUB) or str(bundle) in shipped():
            what = f"The bundle '{bundle}' is not yours to change."
            raise UserError(what, fix="name a file, as in --out model.onnx, or copy the bundle")
        return onnx.add_graph(str(bundle))
    if out is None:
        raise UserError(f"The format '{to}' is a folder of its own.", fix="name it: --out FOLDER")
    if FORMATS[to].suffix:
        outputs.check_file(Path(out), (FORMATS[to].suffix,))
    return FORMATS[to].export(str(bundle), Path(out))
