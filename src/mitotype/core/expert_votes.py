"""Votes of experts as an array, and the majority of all experts but one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

VOTES = {"A": 1.0, "N": 0.0}  # anything else: this expert has not voted


def parse_votes(expert_votes: Iterable[Any]) -> np.ndarray:
    """Return vote_NE from strings such as "NA-" with one character per expert: 1 atypical, 0 normal, nan not voted.

    Rows without a string are nan throughout.
    """
    texts = [votes.lstrip("'") if isinstance(votes, str) else "" for votes in expert_votes]
    experts = max((len(text) for text in texts), default=0)
    votes = [[VOTES.get(vote, math.nan) for vote in text.ljust(experts, "-")] for text in texts]
    return np.array(votes, float).reshape(len(texts), experts)


def majority_of_others(vote_NE: np.ndarray, expert: int) -> np.ndarray:
    """Return the majority of all experts but one: 1, 0, or nan for a tie and where no other expert has voted."""
    others = np.delete(vote_NE, expert, axis=1)
    balance = np.nansum(others, axis=1) - np.nansum(1 - others, axis=1)
    return np.where(balance > 0, 1.0, np.where(balance < 0, 0.0, math.nan))
