"""Audit of datasets: duplicates, contradictions, leaks, and the agreement of the experts."""
