"""Classify the stack in /input into /output; other folders as arguments: inference.py --input DIR --output DIR."""

from pathlib import Path

from mitotype.deploy.challenge.entry import main

if __name__ == "__main__":
    main(Path(__file__).parent / "model")
