"""The fitter of a feature: its values and a logistic head."""

from __future__ import annotations

import numpy as np

from mitotype.features import features, member_files
from mitotype.features.logistic import fit_head
from mitotype.fit.context import MemberContext
from mitotype.fit.embeddings import embed_run
from mitotype.fit.targets import soft_targets


def fit(context: MemberContext) -> None:
    """Fit the logistic head of a feature and write the member."""
    name, recipe = context.plan.name, context.recipe
    value_ND = embed_run(context, None)[context.is_train_N]
    target_N = soft_targets(context.train_cohort, recipe.vote_smoothing, use_votes=bool(recipe.soft_labels))
    head = fit_head(features.get(recipe.backbone).names, value_ND, target_N)
    member = member_files.FeatureMember(name, recipe.backbone, head)
    member_files.write_member(context.dir, member, **context.member_fields)
    context.log_solved()


def predict(context: MemberContext) -> dict[str, np.ndarray]:
    """Return the logits of the fold left out."""
    value_ND = embed_run(context, None)[~context.is_train_N]
    return {"identity": member_files.read_member(context.dir).head.logit(value_ND)}
