"""Draws the fleet's trend as SVG without scripts, in colours that the page's style sheet defines."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from markupsafe import Markup

from bqx_assets.fleet.trend import Point

_MOST_POINTS, _MOST_LABELS = 90, 6
_DASHES = ("none", "8, 3", "2, 3")
"""Lines differ by more than their colours."""
_NOT_DRAWN = re.compile("<!--.*?-->|<script.*?</script>", re.DOTALL)
"""Comments with the date of the rendering and addresses, and a script that only pygal's other scripts would read."""
_CHARTS: tuple[tuple[str, dict[str, Callable[[Point], float]]], ...] = (
    (
        "Pairs",
        {"published": lambda each: each.published, "good": lambda each: each.good, "failed": lambda each: each.failed},
    ),
    ("Rows, millions", {"rows": lambda each: each.rows / 1e6}),
    ("Size, GB", {"size": lambda each: each.size_bytes / 1e9}),
    ("Time of the last runs, hours", {"time": lambda each: each.seconds / 3600}),
    ("Cost of the month so far, USD", {"USD": lambda each: each.month_usd}),
)


@cache
def _pygal() -> Any:  # noqa: ANN401 -- it has no types
    """Return pygal, without its finder of plugins, which makes Python warn at each import that fails afterwards."""
    import pygal  # noqa: PLC0415 -- see above

    sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, pygal.PluginImportFixer)]
    return pygal


class Chart(NamedTuple):
    """A chart and what it shows at last, in words."""

    title: str
    last: str
    drawn: Markup


def trend_charts(points: Sequence[Point]) -> list[Chart]:
    """Return one chart for each quantity, of the last 90 points; none of fewer than two."""
    shown = points[-_MOST_POINTS:]
    return [_chart(title, lines, shown) for title, lines in _CHARTS] if len(shown) > 1 else []


def _chart(title: str, lines: dict[str, Callable[[Point], float]], points: Sequence[Point]) -> Chart:
    pygal = _pygal()
    chart = pygal.Line(
        style=pygal.style.Style(
            background="transparent",
            plot_background="transparent",
            foreground="var(--ink)",
            foreground_strong="var(--ink)",
            foreground_subtle="var(--line)",
            guide_stroke_color="var(--line)",
            major_guide_stroke_color="var(--line)",
            colors=("var(--a)", "var(--b)", "var(--c)"),
            font_family="inherit",
            title_font_size=16,
            legend_font_size=13,
            label_font_size=12,
            major_label_font_size=12,
        ),
        js=[],  # pygal's own scripts are at another host
        width=440,
        height=240,
        disable_xml_declaration=True,
        show_legend=len(lines) > 1,
        legend_at_bottom=True,
        include_x_axis=True,
        show_minor_x_labels=False,
        show_dots=False,
        max_scale=7,
        legend_at_bottom_columns=3,
        truncate_label=-1,
    )
    chart.uuid = re.sub(r"\W+", "-", title.lower())  # a random one would make each rendering another
    chart.title = title
    chart.x_labels = [f"{point.at:%-d %b}" for point in points]
    step = max(1, len(points) // _MOST_LABELS)
    chart.x_labels_major = [chart.x_labels[place] for place in range(0, len(points), step)]
    for (name, value), dashes in zip(lines.items(), _DASHES, strict=False):
        chart.add(name, [round(value(point), 4) for point in points], stroke_style={"width": 2, "dasharray": dashes})
    drawn: str = chart.render(is_unicode=True)
    last = ", ".join(f"{name} {value(points[-1]):,.4g}" for name, value in lines.items())
    return Chart(title, last, Markup(_NOT_DRAWN.sub("", drawn)))  # noqa: S704 -- pygal escapes all texts
