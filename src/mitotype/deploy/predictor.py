"""Predictor: the members of a bundle or run, opened once, and their outputs for images.

Shapes: N patches, H side of an image in px, D width of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from mitotype.backbones import backbones, shared_base
from mitotype.backbones.predict import InferenceConfig, amp_dtype, predict_ensemble
from mitotype.backbones.shared_base import SharedBaseEnsemble
from mitotype.core import html_text, records
from mitotype.core.errors import UserError
from mitotype.core.packing import pack_images
from mitotype.core.run_layout import BundleRecord, names, read_bundle, read_member
from mitotype.core.schema import MPP_UM, TEST, Cohort
from mitotype.deploy.bundle import find_bundle
from mitotype.deploy.describe import describe_run
from mitotype.features import explain as explanations
from mitotype.features import features
from mitotype.features import member_files as feature_members
from mitotype.features.member_files import FeatureMember
from mitotype.scores import table
from mitotype.scores.decision import Decision, has_digest
from mitotype.scores.ensemble import Combiner
from mitotype.transforms import Frame, tta_views

OnProgress = Callable[[int], None]


@dataclass(frozen=True, repr=False)
class Predictor:
    """An opened classifier, which `classify` takes in place of the name of a bundle; `open_bundle` returns it.

    Parameters
    ----------
    dir : Path
        The folder of the bundle or run.
    record : BundleRecord
        What bundle.json contains; that of a run as if it were a bundle.
    ensembles : tuple of SharedBaseEnsemble
        The nets, one ensemble for each base that they share.
    feature_members : tuple of FeatureMember
        The members that are features with a head.
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
    ensembles: tuple[SharedBaseEnsemble, ...]
    feature_members: tuple[FeatureMember, ...]
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
    def members(self) -> tuple[str, ...]:
        """The names of all members."""
        nets = [name for ensemble in self.ensembles for name in ensemble.names]
        return (*nets, *(member.name for member in self.feature_members))

    @property
    def needs_px(self) -> int:
        """The smallest side of an image."""
        nets = [Frame(ensemble.frame).needs_px for ensemble in self.ensembles]
        return max(nets + [features.get(member.feature).needs_px for member in self.feature_members])

    def predict(
        self, patch_ids: Sequence[str], image_N3HW: np.ndarray, on_progress: OnProgress = lambda n: None
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Return the raw logits of images as test rows of a score table, and their out-of-distribution scores.

        Parameters
        ----------
        patch_ids : sequence of str
            Names of the N patches.
        image_N3HW : numpy.ndarray
            Images, uint8, at 0.25 µm/px, with sides of at least `needs_px`.
        on_progress : callable, optional
            Receives the number of patches that the last member has scored.

        Returns
        -------
        rows : pandas.DataFrame
            One row per patch, member and view.
        ood_N : numpy.ndarray
            Above 0: out of distribution; nan without a detector.
        """
        rows, ood_scores = [], []
        for number, ensemble in enumerate(self.ensembles, 1):
            is_last = number == len(self.ensembles) and not self.feature_members
            config = InferenceConfig(
                device=self.device,
                dtype=amp_dtype(self.device, self.precision),
                on_progress=on_progress if is_last else lambda n: None,
            )
            views = tta_views(_tta(self.record, ensemble.names[0]))
            outputs = predict_ensemble(ensemble, image_N3HW, Frame(ensemble.frame), views, config)
            for name, output in zip(ensemble.names, outputs, strict=True):
                rows.append(table.member_rows(patch_ids, output.logit, part=TEST, fold=0, member=name))
                if self.record.ood:
                    score_N = self.record.ood.detectors[name].score(output.embedding_ND)
                    ood_scores.append(score_N - self.record.ood.threshold)
        for feature, members in groupby(self.feature_members, key=lambda member: member.feature):
            value_ND = features.get(feature).compute(image_N3HW).value_BD
            for member in members:
                logit = {"identity": member.head.logit(value_ND)}
                rows.append(table.member_rows(patch_ids, logit, part=TEST, fold=0, member=member.name))
        if self.feature_members:
            on_progress(len(patch_ids))
        ood_N = np.mean(ood_scores, axis=0) if ood_scores else np.full(len(patch_ids), np.nan)
        return pd.concat(rows, ignore_index=True), ood_N

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
        member = self.feature_members[0]
        feature = features.get(member.feature)
        value_D = feature.compute(image_3HW[None]).value_BD[0]
        traits = explanations.explain(member.head, feature.descriptors, value_D)
        return tuple(explanation.text for explanation in traits)


def open_predictor(source: str, *, device: str = "cpu") -> Predictor:
    """Open a bundle (by name or folder) or a finished run."""
    folder = find_bundle(source)
    record = read_bundle(folder) if names.is_bundle(folder) else describe_run(folder)
    member_dirs = [names.member_dir(folder, name) for name in record.members]
    described = {path: read_member(path) for path in member_dirs}
    for path, member in described.items():
        if member.name != path.name:
            what = f"The member in '{path}' is called '{member.name}'."
            raise UserError(what, fix="name the folder as it was, or copy it again from its source")
    net_dirs = [path for path, member in described.items() if member.feature is None]
    by_tta: dict[str, list[Path]] = {}
    for path in net_dirs:
        by_tta.setdefault(_tta(record, path.name), []).append(path)
    ensembles = tuple(e for paths in by_tta.values() for e in shared_base.read_ensembles(paths, device=device))
    _check_detectors(record, ensembles, folder)
    return Predictor(
        dir=folder,
        record=record,
        ensembles=ensembles,
        feature_members=tuple(feature_members.read_member(path) for path in member_dirs if path not in net_dirs),
        combiner=records.convert(record.combiner, Combiner),
        decision=records.convert(record.decision, Decision),
        device=device,
        precision=record.run.recipe_text("precision", "auto") if record.run else "auto",
    )


def _tta(record: BundleRecord, member: str) -> str:
    """Return the spec of a member's views."""
    return record.member_tta.get(member, record.tta)


def _check_detectors(record: BundleRecord, ensembles: Sequence[SharedBaseEnsemble], folder: Path) -> None:
    """Check that every net has an out-of-distribution detector of its width, where there are any."""
    for ensemble in ensembles if record.ood else ():
        architecture = ensemble.classifier.architecture
        width = backbones.get(architecture.backbone).spec.pooling[architecture.pooling]
        for name in ensemble.names:
            detector = record.ood.detectors.get(name) if record.ood else None
            if detector is None or len(detector.mean) != width:
                what = f"The out-of-distribution detector of the member '{name}' of '{folder}' is missing or does not fit its net."
                raise UserError(what, fix="copy the folder again from its source")


def score(predictor: Predictor, cohort: Cohort, *, on_progress: OnProgress = lambda n: None) -> table.Scores:
    """Return the raw logits of a test cohort. Raises a UserError (M004) for images that the predictor was trained on."""
    pack = pack_images(cohort, min_px=predictor.needs_px)
    patches = cohort.rows.assign(digest=list(pack.digests), fold=0)
    seen = patches[has_digest(patches, predictor.decision.digests)]
    if len(seen):
        first = seen["patch_id"].iloc[0]
        what = f"'{predictor.dir}' was trained on {len(seen)} of the {len(cohort)} images of '{cohort.name}'; the first: '{first}'."
        raise UserError(what, fix="score a test set, or train with --hold-out", code="M004")
    rows, _ = predictor.predict(list(patches["patch_id"]), pack.image_N3HW, on_progress)
    return table.Scores(patches if "dataset" in patches else patches.assign(dataset=cohort.name), rows)
