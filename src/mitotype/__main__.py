"""`python -m mitotype` is the same door as `mitotype`."""

from mitotype.cli import main

main()
