"""How a synthetic patch is made: chromatin, tissue, stain and scanner. Nothing in it comes from a real picture."""
