"""A bundle as a container of the MIDOG 2025 challenge, Track 2 (atypical or normal mitotic figures)."""
