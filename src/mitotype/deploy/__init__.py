"""From a run to what people use: a bundle on disk, and the classifier that opens it."""
