"""What training has come to so far, as a picture in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, HEIGHT, MARGIN, LEGEND = 640, 320, 12, 20
COLOURS = ("#1f6fb4", "#e07b00", "#2c8a3c")


def write_plot(path: Path, lines: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Write lines over the time as a PNG, each in a range of its own that the legend tells.

    Parameters
    ----------
    path
        The file.
    lines
        (minutes, value) by name, in the order of time, up to three lines; values are finite.
    """
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    left, top = MARGIN, MARGIN + LEGEND
    width, height = WIDTH - 2 * MARGIN, HEIGHT - top - MARGIN - LEGEND
    draw.rectangle((left, top, left + width, top + height), outline="#c0c0c0")
    last = max((points[-1][0] for points in lines.values() if points), default=0.0)
    draw.text((left, top + height + 4), f"0 to {last:.1f} minutes", fill="black")
    x_legend = float(left)
    for (name, points), colour in zip(lines.items(), COLOURS, strict=False):
        if not points:
            continue
        values = [value for _, value in points]
        low, high = min(values), max(values)
        places = [
            (
                left + width * minutes / (last or 1),
                top + height * (1 - (value - low) / ((high - low) or 1)),
            )
            for minutes, value in points
        ]
        draw.line(places, fill=colour, width=2)
        x, y = places[-1]
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
        text = f"{name} {values[-1]:.3g} ({low:.3g} to {high:.3g})"
        draw.text((x_legend, MARGIN), text, fill=colour)
        x_legend += draw.textlength(text) + 2 * MARGIN
    image.save(path)
