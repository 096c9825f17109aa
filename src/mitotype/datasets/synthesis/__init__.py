"""Generation of synthetic patches: chromatin, tissue, stain and scanner, without a pixel of a real image."""
