"""Test-time augmentation: the views of a patch, each a row of its own in the score table. One file per set of views."""
