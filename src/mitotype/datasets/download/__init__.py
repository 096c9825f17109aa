"""Download of public datasets, and unpacking of archives."""
