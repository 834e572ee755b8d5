"""What `manifest.json` holds of each start, whichever kind of results lies beside it."""

from pydantic import Field

from rl_es.files.json_files import Stated


class Start(Stated):
    """What a manifest says of a start of a results folder."""

    time: str | None = None
    machine: str | None = None
    processor: str | None = None
    device: str | None = None
    git_revision: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
