"""Where a test run leaves pictures to be looked at; ignored by git."""

from pathlib import Path

ARTIFACTS = Path(__file__).with_name(".artifacts")
