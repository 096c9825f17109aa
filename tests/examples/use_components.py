"""Loads every file of examples/components and uses each component; prints what each did as JSON. Runs in a process of its own.

Usage: python -m tests.examples.use_components FOLDER
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch

from mitotype import evaluate, train
from mitotype.backbones import backbones
from mitotype.backbones.adaptations import adaptations
from mitotype.core import plugins
from mitotype.core.run_layout import read_run
from mitotype.datasets.synthesis.cohort import generate
from mitotype.evaluation.checks import checks
from mitotype.evaluation.metrics import metrics
from mitotype.fit.recipe import Recipe
from mitotype.fit.train.schedules import schedules
from mitotype.fit.train.schedules.schedule import ScheduleState
from mitotype.losses import losses
from mitotype.scores import table
from mitotype.scores.thresholds import thresholds

COMPONENTS = Path(__file__).parents[2] / "examples" / "components"


def laboratory(folder: Path) -> Path:
    """Write a cohort in the layout that the example of a dataset reads; one scanner has normal figures only."""
    rows = generate(folder / "cohort", patches=48, cases=12, seed=0, domains=3).rows
    lab = folder / "mast_cells"
    (lab / "images").mkdir(parents=True)
    for path in rows["path"]:
        shutil.copy(path, lab / "images")
    rows = rows.assign(file=[Path(path).name for path in rows["path"]], scanner=rows["domain"], slide=rows["case_id"])
    scanner = sorted(rows["domain"].unique())[0]
    rows["class"] = [
        "AMF" if label and domain != scanner else "NMF"
        for label, domain in zip(rows["label"], rows["domain"], strict=True)
    ]
    rows[["file", "class", "slide", "scanner"]].to_csv(lab / "annotations.csv", index=False)
    return lab


def main(folder: Path) -> dict[str, object]:
    plugins.load_all(sorted(COMPONENTS.glob("*.py")))
    recipe = Recipe(
        name="components",
        backbone="regnety-200mf",
        augment="d4 | gamma(0.3) | crop(64)",
        tta="transpose",
        objective="poly(1) + 0.1 * mean_color + 0.01 * centers",
        sampler="alternating",
        optimizer="sgd(0.9)",
        lr=0.01,
        schedule="linear(0.1)",
        threshold="count_matched",
        epochs=2,
        batch=16,
        folds="2",
        ema_decay=0.0,
        ood_flag=0,
    )
    run_dir = Path(train(recipe, [f"lab={laboratory(folder)}"], out=folder / "run"))
    scores = table.read(run_dir)
    evaluation = evaluate(run_dir, part="out-of-fold", n_boot=50)
    trunk = backbones.get("vit-mini8").build(backbones.get("vit-mini8").spec, 64, {})
    adaptations.build("bitfit").apply(trunk, backbones.get("vit-mini8").spec)
    trained = {name.rpartition(".")[2] for name, p in trunk.named_parameters() if p.requires_grad}
    halfway = ScheduleState(step=5, steps_per_epoch=10, epochs=1, warmup_epochs=0)
    probability = torch.linspace(0.1, 0.9, 9).numpy()
    finding = next(f for f in evaluation.checks if f.code == "LAB01")
    return {
        "dataset": sorted(scores.patches["dataset"].unique()),
        "backbone": read_run(run_dir).recipe["backbone"],
        "transform": read_run(run_dir).recipe["augment"],
        "loss": read_run(run_dir).recipe["objective"],
        "loss_with_target": sorted(
            json.loads((run_dir / "members/fold1-seed0/member.json").read_text())["architecture"]["aux_heads"]
        ),
        "loss_of_domains": losses.get("centers").__name__,
        "sampler": read_run(run_dir).recipe["sampler"],
        "optimizer": read_run(run_dir).recipe["optimizer"],
        "schedule": round(schedules.build("linear(0.2)").lr_scale(halfway), 6),
        "test_time_views": sorted(scores.scores["view"].unique()),
        "adaptation": sorted(trained),
        "decision_rule": thresholds.build("count_matched").threshold(probability, probability > 0.65),
        "metric": "mcc" in metrics and "mcc" in evaluation.entries[0].variants[0].metrics,
        "check": "LAB01" in checks and finding.text,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
