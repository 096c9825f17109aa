"""Readers: one file per dataset with all its facts; a new dataset is a new file here."""
