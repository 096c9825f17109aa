"""The page of a bundle on the Hugging Face Hub: front matter with `model-index`, the card, and `.eval_results/`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mitotype.backbones.model_spec import backbones
from mitotype.core import number_format
from mitotype.core.run_layout import BundleRecord, Interval
from mitotype.deploy.card import AS_SHIPPED
from mitotype.deploy.licenses import LicenseTerms

EVAL_RESULTS = ".eval_results/mitotype.yaml"
METRICS = {
    "balanced_accuracy": "balanced_accuracy",
    "auroc": "roc_auc",
    "auprc": "average_precision",
}  # ours: the hub's
LICENSES = ("apache-2.0", "mit", "cc-by-nc-4.0", "cc-by-nc-nd-4.0")  # identifiers of the hub
TAGS = ("pathology", "mitosis", "atypical-mitotic-figure", "research-use-only")


def readme(record: BundleRecord, terms: LicenseTerms, card: str) -> str:
    """Return the card with the hub's metadata: license, library, tags, base models, results on test sets."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type=dataset,
            dataset_name=name,
            dataset_split=part,
            metric_type=METRICS[metric],
            metric_name=metric.replace("_", " "),
            metric_value=interval.value,
        )
        for dataset, name, part, metric, interval in _results(record)
    ]
    data = ModelCardData(
        model_name=record.name,
        library_name="mitotype",
        pipeline_tag="image-classification",
        tags=list(TAGS),
        metrics=sorted({METRICS[metric] for *_, metric, _ in _results(record)}) or None,
        eval_results=results or None,
        **_license(terms),
    )
    if terms.backbones:
        data["base_model"] = [backbones.get(name).spec.repository for name in terms.backbones]
        data["base_model_relation"] = "finetune" if terms.is_finetuned else "adapter"
    return f"---\n{data.to_yaml()}\n---\n{card}"


def eval_results(record: BundleRecord) -> str:
    """Return the results on test sets as YAML, "" without any. The datasets are those of mitotype, which are not on the hub."""
    import yaml

    date = record.test.about.created if record.test else ""
    entries = []
    for dataset, name, _, metric, interval in _results(record):
        shown = number_format.interval(interval.value or 0.0, interval.low, interval.high)
        entry = {
            "dataset": {"id": dataset, "task_id": METRICS[metric]},
            "value": interval.value,
            "notes": f"{name}, as shipped: {shown}, 95 % interval over {interval.groups} cases",
        }
        entries.append(entry | ({"date": date} if date else {}))
    return yaml.safe_dump(entries, sort_keys=False, allow_unicode=True) if entries else ""


def _results(record: BundleRecord) -> Iterator[tuple[str, str, str, str, Interval]]:
    """Yield dataset, its name with the part, the part, metric and value of each test set, as the bundle decides."""
    for entry in record.test.entries if record.test else ():
        variant = entry.variant(*AS_SHIPPED)
        for metric in METRICS:
            interval = variant.metrics.get(metric) if variant else None
            if interval is not None and interval.value is not None:
                yield entry.dataset, entry.name, entry.part, metric, interval


def _license(terms: LicenseTerms) -> dict[str, Any]:
    """Return the hub's fields for the license: that of the weights under the bundle, Apache-2.0 where it stands on none."""
    specs = [backbones.get(name).spec for name in terms.backbones]
    licenses = sorted({spec.license.lower() for spec in specs}) or ["apache-2.0"]
    if len(licenses) == 1 and licenses[0] in LICENSES:
        return {"license": licenses[0]}
    slug = re.sub(r"[^a-z0-9.]+", "-", " and ".join(licenses)).strip("-")
    return {"license": "other", "license_name": slug, "license_link": str(specs[0].access_url)}
