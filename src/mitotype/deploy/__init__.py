"""From a run to what people use: a bundle on disk, and the predictor that opens it."""
