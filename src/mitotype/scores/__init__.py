"""From rows to rows: the score table, ensembles, calibration, thresholds, abstention, and the decision they make. No torch.

`table` reads and writes raw logits · `ensemble` averages over views and members · `stack` fits weights of several sources ·
`calibrate` turns logits into probabilities · `threshold` separates the classes · `abstain` leaves a band "uncertain" ·
`decision` is these three in one record, with the digests of the images of the fit.
"""
