"""`python -m mitotype` runs the command-line interface."""

from mitotype.cli import main

main()
