"""mitotype tells atypical from normal mitotic figures. Importing it loads nothing heavy; each room is imported by name."""

__version__ = "0.1.0"
