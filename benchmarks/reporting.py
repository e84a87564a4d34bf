"""What all benchmarks share: where the reference data is, and where the report goes."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def add_reference(parser: argparse.ArgumentParser) -> None:
    """Let the caller name the reference folder."""
    parser.add_argument(
        "--reference",
        type=Path,
        default=os.environ.get("NAPARI_VOS_REFERENCE"),
        help="folder that holds data/; NAPARI_VOS_REFERENCE if not given",
    )


def add_out(parser: argparse.ArgumentParser) -> None:
    """Let the caller name the file for the report."""
    parser.add_argument("--out", type=Path, help="JSON file; standard output if not given")


def write_report(report: Mapping[str, Any], out: Path | None) -> None:
    """Write a report as JSON to a file, or to standard output."""
    text = json.dumps(report, indent=1)
    if out:
        out.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)
