"""Draws line charts as SVG, small panels side by side, for the documents.

It is written by hand because no plotting library is among the dependencies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT, _MARGIN = 300, 220, 46
_WHOLE = 100
"""Least value whose label has no decimals."""
_COLOURS = ("#1b6ca8", "#d1495b", "#2e933c", "#8d6a9f", "#c77c1e")


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart: ``lines`` by name, each (x, y) ascending in x; both axes begin at 0."""

    title: str
    x_label: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def svg(panels: Sequence[Sequence[Panel]]) -> str:
    """Return rows of panels with one legend below; a line has the same colour in all panels."""
    names = list(dict.fromkeys(name for row in panels for panel in row for name in panel.lines))
    colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(names)}
    width = _WIDTH * max(len(row) for row in panels)
    height = _HEIGHT * len(panels) + 30
    parts = [
        f'<g transform="translate({column * _WIDTH},{row * _HEIGHT})">{_panel(panel, colours)}</g>'
        for row, line in enumerate(panels)
        for column, panel in enumerate(line)
    ]
    for place, name in enumerate(names):
        parts.append(_line([(20 + 160 * place, height - 15), (40 + 160 * place, height - 15)], colours[name]))
        parts.append(_text(46 + 160 * place, height - 11, name, "start"))
    style = 'font-family="sans-serif" font-size="11" fill="#333"'
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" {style}>\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n{body}\n</svg>\n'
    )


def _panel(panel: Panel, colours: Mapping[str, str]) -> str:
    points = [point for line in panel.lines.values() for point in line]
    most_x, most_y = (max((point[axis] for point in points), default=1.0) or 1.0 for axis in (0, 1))

    def place(point: tuple[float, float]) -> tuple[float, float]:
        inner_width, inner_height = _WIDTH - _MARGIN - 14, _HEIGHT - 2 * _MARGIN + 8
        return _MARGIN + point[0] / most_x * inner_width, _HEIGHT - _MARGIN - point[1] / most_y * inner_height

    parts = [
        _text(_WIDTH / 2, 18, panel.title, "middle", bold=True),
        _text(_WIDTH / 2, _HEIGHT - 12, panel.x_label, "middle"),
        _line([place((0, most_y)), place((0, 0)), place((most_x, 0))], "#999"),
    ]
    for share in (0.5, 1.0):
        x, y = place((0, share * most_y))
        parts.append(_text(x - 4, y + 4, _number(share * most_y), "end"))
    for value in sorted({x for x, _ in points}):
        x, y = place((value, 0))
        parts.append(_text(x, y + 15, _number(value), "middle"))
    for name, line in panel.lines.items():
        parts.append(_line([place(point) for point in line], colours[name]))
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colours[name]}"/>' for x, y in map(place, line)]
    return "".join(parts)


def _number(value: float) -> str:
    return f"{value:.3g}" if value < _WHOLE else f"{value:,.0f}"


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _text(x: float, y: float, text: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'
