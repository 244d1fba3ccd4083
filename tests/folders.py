"""Looking at folders that somebody changes meanwhile."""

from __future__ import annotations

import os
from pathlib import Path


def below(top: Path) -> set[Path]:
    """All folders and files below `top`; of a folder that goes while it is read, what was seen."""
    return {
        Path(folder) / name
        for folder, folders, files in os.walk(top)
        for name in (*folders, *files)
    }
