"""Checks on method, one file each; `run` returns what they find."""

from mitotype.evaluation.checks.check import Check, Evidence, add_check, checks, raise_if_any, run

__all__ = ["Check", "Evidence", "add_check", "checks", "raise_if_any", "run"]
