"""Rows to rows: the score table, ensembles, calibration, thresholds, abstention, and the decision they make. No torch.

`table` reads and writes raw logits · `ensemble` means over views and members · `stack` fits weights of several sources ·
`calibrate` turns logits into probabilities · `threshold` where atypical begins · `abstain` where the answer is "uncertain" ·
`decision` the three as one record that remembers which pictures it was fitted on · `folds` cases into folds.
"""
