"""Folders that tests look into: of committed results, and of pictures that are left to look at."""

from pathlib import Path

ARTIFACTS = Path(__file__).with_name(".artifacts")  # ignored by git
REFERENCE = Path(__file__).parents[1] / "results" / "reference"
