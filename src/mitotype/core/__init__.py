"""What every package shares; core imports no other package of mitotype."""
