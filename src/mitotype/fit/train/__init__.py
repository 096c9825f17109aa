"""The gradient trainer and its parts. They depend on a recipe and arrays, not on run folders."""
