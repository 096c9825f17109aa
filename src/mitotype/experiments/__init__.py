"""Benchmarks: many runs in one folder, and one table of their numbers."""
