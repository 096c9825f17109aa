"""Predictor: the members of a bundle or run, opened once, and their outputs for images.

Shapes: N patches, H side of an image in px, D width of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from mitotype.core import extras, html_text, records
from mitotype.core.errors import UserError
from mitotype.core.packing import pack_images
from mitotype.core.run_layout import BundleRecord, names, read_bundle, read_member
from mitotype.core.schema import MPP_UM, TEST, Cohort
from mitotype.deploy.bundle import find_bundle
from mitotype.deploy.described_run import describe_run
from mitotype.deploy.runtime import MemberOutputs, OnProgress, Runtime
from mitotype.scores.decision import Decision, has_digest
from mitotype.scores.ensemble import Combiner

if TYPE_CHECKING:
    from mitotype.deploy.descriptor_runtime import DescriptorRuntime
    from mitotype.scores import table

RuntimeName = Literal["auto", "torch", "onnx"]


@dataclass(frozen=True, repr=False)
class Predictor:
    """An opened classifier, which `classify` takes in place of the name of a bundle; `open_bundle` returns it.

    Parameters
    ----------
    dir : Path
        The folder of the bundle or run.
    record : BundleRecord
        What bundle.json contains; that of a run as if it were a bundle.
    nets : Runtime or None
        The members that are nets, on ONNX Runtime or torch.
    descriptors : DescriptorRuntime or None
        The members that are shape descriptors with a head.
    combiner : Combiner
        How one logit comes from those of the members and views.
    decision : Decision
        Calibration, threshold and band of uncertainty.
    device : str
        Where the nets are.
    precision : str, default "auto"
        Mixed precision of a GPU.

    See Also
    --------
    open_bundle : Open a classifier.
    classify : Classify images.

    Examples
    --------
    >>> import mitotype
    >>> predictor = mitotype.open_bundle()
    >>> mitotype.classify(mitotype.example_images(), predictor).counts
    {'atypical': 3, 'normal': 2, 'uncertain': 1, 'failed': 0}
    """

    dir: Path
    record: BundleRecord
    nets: Runtime | None
    descriptors: DescriptorRuntime | None
    combiner: Combiner
    decision: Decision
    device: str
    precision: str = "auto"

    def __repr__(self) -> str:
        return f"<Predictor '{self.record.name}' with the members {', '.join(self.members)}>"

    def _repr_html_(self) -> str:
        threshold, band = self.decision.threshold, self.decision.abstention
        rows = [
            ("folder", self.dir),
            ("members", ", ".join(self.members)),
            ("images", f"at least {self.needs_px} px at {MPP_UM} µm/px"),
            ("threshold", f"P(atypical) ≥ {threshold.value:.3f} ({threshold.rule})"),
            ("uncertain", f"between {band.low:.3f} and {band.high:.3f} ({band.rule})"),
            ("device", self.device),
        ]
        return html_text.table(f"Classifier {self.record.name}", rows)

    @property
    def runtimes(self) -> tuple[Runtime, ...]:
        """What runs the members: the nets, then the shape descriptors."""
        return tuple(runtime for runtime in (self.nets, self.descriptors) if runtime)

    @property
    def members(self) -> tuple[str, ...]:
        """The names of all members."""
        return tuple(chain.from_iterable(runtime.members for runtime in self.runtimes))

    @property
    def needs_px(self) -> int:
        """The smallest side of an image."""
        return max(runtime.needs_px for runtime in self.runtimes)

    def predict(
        self, image_N3HW: np.ndarray, on_progress: OnProgress = lambda n: None
    ) -> tuple[list[MemberOutputs], np.ndarray]:
        """Return the outputs of every member for images, and their out-of-distribution scores.

        Parameters
        ----------
        image_N3HW : numpy.ndarray
            Images, uint8, at 0.25 µm/px, with sides of at least `needs_px`.
        on_progress : callable, optional
            Receives the number of patches that the last member has scored.

        Returns
        -------
        outputs : list of MemberOutputs
            The raw logits of each member by view.
        ood_N : numpy.ndarray
            Above 0: out of distribution; nan without a detector.
        """
        outputs: list[MemberOutputs] = []
        for runtime in self.runtimes:
            is_last = runtime is self.runtimes[-1]
            report = on_progress if is_last else lambda n: None
            outputs += runtime.run(image_N3HW, precision=self.precision, on_progress=report)
        ood = self.record.ood
        scores = [
            ood.detectors[output.name].score(output.embedding_ND) - ood.threshold
            for output in outputs
            if ood and output.embedding_ND is not None
        ]
        return outputs, np.mean(scores, axis=0) if scores else np.full(len(image_N3HW), np.nan)

    def explain(self, image_3HW: np.ndarray) -> tuple[str, ...]:
        """Return the explanation of one image by the first member that is a feature.

        Parameters
        ----------
        image_3HW : numpy.ndarray
            The image, uint8, at 0.25 µm/px.

        Returns
        -------
        tuple of str
            Phrases of its shape descriptors.
        """
        return self.descriptors.explain(image_3HW) if self.descriptors else ()


def open_predictor(source: str, *, device: str = "cpu", runtime: RuntimeName = "auto") -> Predictor:
    """Open a bundle (by name or folder) or a finished run.

    Nets run on the graph of the bundle, if it has one, and on torch elsewhere and on a GPU; or on what `runtime` names.
    """
    folder = find_bundle(source)
    record = read_bundle(folder) if names.is_bundle(folder) else describe_run(folder)
    member_dirs = [names.member_dir(folder, name) for name in record.members]
    described = {path: read_member(path) for path in member_dirs}
    for path, member in described.items():
        if member.name != path.name:
            what = f"The member in '{path}' is called '{member.name}'."
            raise UserError(what, fix="name the folder as it was, or copy it again from its source")
    net_dirs = [path for path, member in described.items() if member.feature is None]
    descriptor_dirs = [path for path in member_dirs if path not in net_dirs]
    nets = _open_nets(folder, record, net_dirs, device, runtime) if net_dirs else None
    if record.ood and nets:
        _check_detectors(record, nets, folder)
    return Predictor(
        dir=folder,
        record=record,
        nets=nets,
        descriptors=_open_descriptors(descriptor_dirs) if descriptor_dirs else None,
        combiner=records.convert(record.combiner, Combiner),
        decision=records.convert(record.decision, Decision),
        device=device,
        precision=record.run.recipe_text("precision", "auto") if record.run else "auto",
    )


def _open_nets(
    folder: Path, record: BundleRecord, member_dirs: Sequence[Path], device: str, runtime: RuntimeName
) -> Runtime:
    has_graph = names.GRAPH in record.files
    if runtime == "onnx" and not has_graph:
        raise UserError(f"The bundle '{folder}' has no graph.", fix=f"make it: mitotype export {folder} --to onnx")
    if runtime == "onnx" or (runtime == "auto" and has_graph and device == "cpu"):
        from mitotype.deploy.onnx_runtime import open_graph

        return open_graph(folder, record)
    with extras.translated():
        from mitotype.deploy.torch_runtime import open_nets

    return open_nets({path: record.tta_of(path.name) for path in member_dirs}, device)


def _open_descriptors(member_dirs: Sequence[Path]) -> DescriptorRuntime:
    from mitotype.deploy.descriptor_runtime import open_descriptors

    return open_descriptors(member_dirs)


def _check_detectors(record: BundleRecord, nets: Runtime, folder: Path) -> None:
    """Check that every net has an out-of-distribution detector of its width."""
    for name, width in nets.widths.items():
        detector = record.ood.detectors.get(name) if record.ood else None
        if detector is None or len(detector.mean) != width:
            what = f"The out-of-distribution detector of the member '{name}' of '{folder}' is missing or does not fit its net."
            raise UserError(what, fix="copy the folder again from its source")


def score(predictor: Predictor, cohort: Cohort, *, on_progress: OnProgress = lambda n: None) -> table.Scores:
    """Return the raw logits of a test cohort. Raises a UserError (M004) for images that the predictor was trained on."""
    import pandas as pd  # not at the top: classify imports this file and needs no tables

    from mitotype.scores import table

    pack = pack_images(cohort, min_px=predictor.needs_px)
    patches = cohort.rows.assign(digest=list(pack.digests), fold=0)
    seen = patches[has_digest(patches, predictor.decision.digests)]
    if len(seen):
        first = seen["patch_id"].iloc[0]
        what = f"'{predictor.dir}' was trained on {len(seen)} of the {len(cohort)} images of '{cohort.name}'; the first: '{first}'."
        raise UserError(what, fix="score a test set, or train with --hold-out", code="M004")
    outputs, _ = predictor.predict(pack.image_N3HW, on_progress)
    ids = list(patches["patch_id"])
    rows = [table.member_rows(ids, output.logit, part=TEST, fold=0, member=output.name) for output in outputs]
    patches = patches if "dataset" in patches else patches.assign(dataset=cohort.name)
    return table.Scores(patches, pd.concat(rows, ignore_index=True))
