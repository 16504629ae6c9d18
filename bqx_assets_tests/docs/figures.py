"""The figures of the pages, drawn as SVG files without scripts or fonts of others.

Each has a background of its own, so that it can be read on a light and on a dark page.
"""

from __future__ import annotations

from html import escape

from bqx_assets.base.costs import prices
from bqx_assets.cli.bill import PLACES, Usage, month, total, ways

_STYLE = """
text{font:14px system-ui,sans-serif;fill:#1f2933}.s{font-size:12px;fill:#52606d}.h{font-weight:600}
.card{fill:#f7f9fb}.line{fill:none;stroke:#52606d;stroke-width:1.4}.head{fill:#52606d}
.n{fill:#e4e9ef;stroke:#9aa5b1}.a{fill:#b9e4dd;stroke:#2a9d8f}.b{fill:#c5dcf7;stroke:#3b7dd8}
.c{fill:#fbe0b3;stroke:#d98c1f}.x{fill:#f8cfcc;stroke:#c8443b}
@media (prefers-color-scheme:dark){text{fill:#e4e9ef}.s{fill:#a9b4c0}.card{fill:#1b232e}.line{stroke:#a9b4c0}
.head{fill:#a9b4c0}.n{fill:#323d4b;stroke:#5d6b7b}.a{fill:#1d5a52;stroke:#2a9d8f}.b{fill:#23477a;stroke:#5c9ded}
.c{fill:#6d4a14;stroke:#e0a040}.x{fill:#6b2824;stroke:#e0655c}}
"""
_CELL = 26
_QUARTERS = ("2025-Q4", "2026-Q1", "2026-Q2")


def spine() -> str:
    """Return a table on the spine: a missing minute gives a null, a surplus row is left out."""
    draw = _Drawing(
        720, 250, "A table's rows are put onto the spine's rows; a missing row gives a null, a surplus row is left out"
    )
    minutes, table = ("10:00", "10:01", "10:02", "10:03", "10:04"), ("10:01", "10:04", "09:59", "10:00", "10:02")
    for x, head in ((30, "spine"), (250, "feature table, as it comes"), (520, "slab: the spine's rows")):
        draw.text(x, 34, head, "h")
    for place, minute in enumerate(minutes):
        draw.cell(30, 50 + 30 * place, 90, minute, "n")
        missing = minute not in table
        draw.cell(520, 50 + 30 * place, 90, minute, "n")
        draw.cell(612, 50 + 30 * place, 70, "null" if missing else "value", "c" if missing else "a")
    for place, minute in enumerate(table):
        extra = minute not in minutes
        draw.cell(250, 50 + 30 * place, 90, minute, "x" if extra else "n")
        draw.cell(342, 50 + 30 * place, 70, "value", "x" if extra else "a")
    draw.arrow(425, 122, 505, 122)
    draw.text(
        30,
        228,
        "10:03 has no row in the table: its columns are null there. 09:59 is not on the spine: left out and counted.",
        "s",
    )
    return draw.svg()


def splice() -> str:
    """Return the pieces of three tables and the training file that holds their bytes."""
    draw = _Drawing(
        720, 270, "The bytes of the pieces lie one behind another in the training file, period by period, then a footer"
    )
    names = ("targets", "agg_bqx", "mkt_corr")
    draw.text(30, 34, "pieces: one a table and period", "h")
    for row, name in enumerate(names):
        draw.text(30, 68 + 34 * row, name)
        for column, quarter in enumerate(_QUARTERS):
            draw.cell(120 + 130 * column, 50 + 34 * row, 120, quarter, "nab"[row])
    draw.arrow(320, 158, 320, 186)
    draw.text(345, 178, "bytes are copied; no value is decoded", "s")
    for column, quarter in enumerate(_QUARTERS):
        for row in range(3):
            draw.cell(30 + 186 * column + 60 * row, 194, 58, names[row].split("_")[0], "nab"[row])
        draw.text(30 + 186 * column, 244, f"row group {quarter}", "s")
    draw.cell(592, 194, 96, "footer", "c")
    draw.text(592, 244, "finds every column", "s")
    return draw.svg()


def pieces() -> str:
    """Return which pieces a day later are read again."""
    draw = _Drawing(720, 230, "One more day changes the last period of each table; all other pieces stay")
    for column, quarter in enumerate((*_QUARTERS, "2026-Q3")):
        draw.text(150 + 135 * column, 34, quarter, "h")
        for row, name in enumerate(("targets", "agg_bqx", "mkt_corr")):
            if not column:
                draw.text(30, 68 + 36 * row, name)
            kind = "c" if column == 3 else "b" if (column, row) == (2, 0) else "n"
            word = "read again" if column == 3 else "values came" if (column, row) == (2, 0) else "stays"
            draw.cell(150 + 135 * column, 50 + 36 * row, 125, word, kind)
    draw.text(
        30, 188, "A day later: the present period of every table is read, and the targets of the period before,", "s"
    )
    draw.text(30, 208, "if their future has come meanwhile. The fingerprint of each other piece is what it was.", "s")
    return draw.svg()


def lookahead() -> str:
    """Return what a row may know, what its target is, and the embargo between training and test rows."""
    draw = _Drawing(
        720, 270, "A feature knows bars up to its row; a target is known only later; an embargo keeps both sides apart"
    )
    for bar in range(24):
        kind = "a" if bar <= 10 and bar > 3 else "c" if bar == 15 else "n"
        draw.cell(30 + 27 * bar, 62, 25, "", kind)
    draw.text(138, 48, "window: what a feature of row t knows", "s")
    draw.text(300, 106, "t", "h")
    draw.text(420, 106, "t + h: the target", "h")
    draw.text(
        30, 130, "A column that knows a bar behind t looks forward. It is left out, by its name and by its values.", "s"
    )
    draw.cell(30, 170, 290, "training rows", "b")
    draw.cell(322, 170, 120, "embargo", "x")
    draw.cell(444, 170, 244, "test rows", "a")
    draw.text(30, 222, "Embargo = horizon + what the longest window looks back. With fewer rows, both sides", "s")
    draw.text(30, 242, "are made from the same bars, and the score is better than the model.", "s")
    return draw.svg()


def integrity() -> str:
    """Return where bytes and values are compared on their way to the published file."""
    draw = _Drawing(720, 200, "Bytes are compared at each step from the warehouse to the published file")
    steps = (("read", "rows counted"), ("piece", "SHA-256, CRC32C"), ("merge", "checksum from pieces"))
    steps += (("checks", "every value"), ("upload", "CRC32C there"), ("published", "swapped in whole"))
    for place, (name, said) in enumerate(steps):
        x = 24 + 115 * place
        draw.cell(x, 60, 92, name, "nabbaa"[place])
        draw.text(x - 4, 112, said, "s")
        if place + 1 < len(steps):
            draw.arrow(x + 93, 73, x + 112, 73)
    draw.text(24, 34, "What is compared, and where", "h")
    draw.text(
        24,
        150,
        "A piece that is not the recorded one is read again. A merge, upload or check that disagrees ends the run;",
        "s",
    )
    draw.text(
        24,
        170,
        "the file that was published before stays as it is. bqx verify compares it again, whenever you like.",
        "s",
    )
    return draw.svg()


def costs() -> str:
    """Return what a month costs in each place, and what a run of one pair costs by each way, by the packaged prices."""
    lines, usage = month(Usage()), Usage()
    kinds = {"runs": "a", "files": "b", "machines": "c"}
    draw = _Drawing(720, 470, "USD of a month by place, and of a run of one pair by way")
    draw.text(30, 34, f"a month: {usage.pairs} pairs, each weekly", "h")
    for place, (kind, colour) in enumerate(kinds.items()):
        draw.cell(380 + 104 * place, 16, 96, kind, colour)
    widest = max(total(lines))
    for row, name in enumerate(PLACES):
        x, y = 220, 54 + 34 * row
        draw.text(30, y + 18, name)
        for kind, colour in kinds.items():
            width = round(400 * total(lines, kind)[row] / widest)
            draw.cell(x, y, width, f"{total(lines, kind)[row]:.0f}" if width > 20 else "", colour)
            x += width
        draw.text(x + 8, y + 18, f"{total(lines)[row]:.0f} USD", "h")
    draw.text(30, 190, "a run of one pair", "h")
    dearest = max(way.total_usd for way in ways())
    for row, way in enumerate(ways()):
        y = 206 + 31 * row
        draw.text(30, y + 18, way.name, "s")
        width = max(2, round(400 * way.total_usd / dearest))
        draw.cell(220, y, width, "", "x" if way.cannot else "n" if way.vm_hours and way.claimed_usd else "a")
        draw.text(228 + width, y + 18, f"{way.total_usd:.2f} USD", "s")
    draw.text(
        30,
        444,
        f"Prices of {prices().as_of}, no allowances. Red: cannot work. A, B, C: the users' own ways.",
        "s",
    )
    return draw.svg()


class _Drawing:
    def __init__(self, width: int, height: int, title: str) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>",
            f'<rect class="card" width="{width}" height="{height}" rx="8"/>',
        ]

    def cell(self, x: int, y: int, width: int, word: str, kind: str) -> None:
        self._parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{_CELL}" rx="3"/>')
        if word:
            self.text(x + width // 2, y + 18, word, 's" text-anchor="middle')

    def text(self, x: int, y: int, word: str, kind: str = "") -> None:
        self._parts.append(f'<text class="{kind}" x="{x}" y="{y}">{escape(word)}</text>')

    def arrow(self, x: int, y: int, to_x: int, to_y: int) -> None:
        flat = y == to_y
        points = (
            f"{to_x - 8},{to_y - 4} {to_x - 8},{to_y + 4}" if flat else f"{to_x - 4},{to_y - 8} {to_x + 4},{to_y - 8}"
        )
        self._parts.append(f'<path class="line" d="M{x} {y}L{to_x - 4 * flat} {to_y - 4 * (not flat)}"/>')
        self._parts.append(f'<polygon class="head" points="{to_x},{to_y} {points}"/>')

    def svg(self) -> str:
        return "\n".join([*self._parts, "</svg>\n"])


FIGURES = {f"figures/{draw.__name__}.svg": draw for draw in (spine, splice, pieces, lookahead, integrity, costs)}
"""Each figure's name below ``docs/``, and what draws it."""
