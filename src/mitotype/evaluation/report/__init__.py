"""The report of an evaluation: HTML with plots, and text for a terminal."""
