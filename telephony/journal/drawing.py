"""Draws simple shapes as PNG or SVG."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

__all__ = ["Bars", "Line", "Polygon", "Rect", "Shape", "Text", "png", "svg", "text_width", "wrap"]

_SCALE = 2
"""The factor by which the PNG is drawn larger and then reduced, for smooth edges."""
_PLAIN = str.maketrans({"–": "-", "—": "-", "→": ">", "“": '"', "”": '"', "‘": "'", "’": "'", "\u00a0": " "})


@dataclass(frozen=True, slots=True)
class Rect:
    x: float
    y: float
    width: float
    height: float
    fill: str
    radius: float = 0


@dataclass(frozen=True, slots=True)
class Line:
    x1: float
    y1: float
    x2: float
    y2: float
    color: str
    width: float = 1


@dataclass(frozen=True, slots=True)
class Polygon:
    points: Sequence[tuple[float, float]]
    fill: str


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text in a drawing. `y` is the middle of the line."""

    x: float
    y: float
    text: str
    color: str
    size: float = 13
    anchor: Literal["start", "middle", "end"] = "start"


@dataclass(frozen=True, slots=True)
class Bars:
    """Vertical lines of one colour in a drawing, each as (x, top, height), in order of x. A call has thousands of
    lines, so all lines are one element with integer coordinates.
    """

    lines: Sequence[tuple[int, int, int]]
    color: str


Shape = Rect | Line | Polygon | Text | Bars


def png(shapes: Sequence[Shape], width: int, height: int) -> bytes:
    """Returns a PNG file with the shapes on a white background. `width` and `height` are in pixels."""
    image = Image.new("RGB", (width * _SCALE, height * _SCALE), "white")
    draw = ImageDraw.Draw(image)
    for shape in shapes:
        _paint(draw, shape)
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def svg(shapes: Sequence[Shape], width: int, height: int) -> str:
    """Returns an SVG document with the shapes on a white background, without external files. `width` and `height` are
    in pixels.
    """
    body = "\n".join(_element(shape) for shape in shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui, sans-serif">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def text_width(text: str, size: float) -> float:
    return _font(size * _SCALE).getlength(_plain(text)) / _SCALE


def wrap(text: str, size: float, width: float, max_lines: int) -> list[str]:
    """Returns the text in at most `max_lines` lines, which are at most `width` pixels wide at the font size `size`. A
    text that is too long ends with an ellipsis.
    """
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < max_lines:
        count = 1
        while count < len(words) and text_width(" ".join(words[: count + 1]), size) <= width:
            count += 1
        lines.append(" ".join(words[:count]))
        words = words[count:]
    if lines:
        lines[-1] = _fitted(lines[-1], size, width, more=bool(words))
    return lines


def _fitted(line: str, size: float, width: float, *, more: bool) -> str:
    if not more and text_width(line, size) <= width:
        return line
    while line and text_width(line + "…", size) > width:
        line = line[:-1]
    return line.rstrip(" .,") + "…"


def _paint(draw: ImageDraw.ImageDraw, shape: Shape) -> None:
    s = _SCALE
    match shape:
        case Rect():
            box = (shape.x * s, shape.y * s, (shape.x + shape.width) * s, (shape.y + shape.height) * s)
            draw.rounded_rectangle(box, radius=shape.radius * s, fill=shape.fill)
        case Line():
            ends = (shape.x1 * s, shape.y1 * s, shape.x2 * s, shape.y2 * s)
            draw.line(ends, fill=shape.color, width=max(1, round(shape.width * s)))
        case Polygon():
            draw.polygon([(x * s, y * s) for x, y in shape.points], fill=shape.fill)
        case Bars():
            for x, y, height in shape.lines:
                draw.rectangle((x * s, y * s, (x + 1) * s - 1, (y + height) * s), fill=shape.color)
        case Text():
            anchor = {"start": "lm", "middle": "mm", "end": "rm"}[shape.anchor]
            at = (shape.x * s, shape.y * s)
            draw.text(at, _plain(shape.text), fill=shape.color, font=_font(shape.size * s), anchor=anchor)


def _element(shape: Shape) -> str:
    match shape:
        case Rect():
            return (
                f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" height="{shape.height:.1f}" '
                f'rx="{shape.radius:g}" fill="{shape.fill}"/>'
            )
        case Line():
            return (
                f'<line x1="{shape.x1:.1f}" y1="{shape.y1:.1f}" x2="{shape.x2:.1f}" y2="{shape.y2:.1f}" '
                f'stroke="{shape.color}" stroke-width="{shape.width:g}"/>'
            )
        case Polygon():
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
            return f'<polygon points="{points}" fill="{shape.fill}"/>'
        case Bars():
            return f'<path d="{_path(shape.lines)}" stroke="{shape.color}" fill="none"/>'
        case Text():
            return (
                f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" fill="{shape.color}" font-size="{shape.size:g}" '
                f'text-anchor="{shape.anchor}" dominant-baseline="central">{escape(shape.text)}</text>'
            )


def _path(lines: Sequence[tuple[int, int, int]]) -> str:
    """Returns the lines as a path with relative steps, from the middle of each pixel."""
    parts: list[str] = []
    at = (0, 0)
    for x, y, height in lines:
        dx, dy = x - at[0], y - at[1]
        parts.append(f"m{dx}{dy if dy < 0 else f' {dy}'}v{height}" if parts else f"M{x}.5 {y}v{height}")
        at = (x, y + height)
    return "".join(parts)


@cache
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _plain(text: str) -> str:
    """Returns the text with only the characters of pillow's built-in font: ASCII, the ellipsis and the middle dot."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_PLAIN).replace("…", "\0"))
    ascii_only = "".join(c if c.isascii() or c == "·" else "" if unicodedata.combining(c) else "?" for c in decomposed)
    return ascii_only.replace("\0", "…")
