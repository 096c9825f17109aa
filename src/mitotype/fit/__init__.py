"""Fit one experiment: recipe, run folder, members and their three fitters; `fit.train` trains by gradients."""
