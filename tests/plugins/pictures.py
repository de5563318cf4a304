"""Draws a dashboard from its JSON and from what its queries returned: no picture of Grafana, and it says so.

Panels stand where the JSON puts them. A panel type that is not known here is an error, so that no picture leaves one out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tests.plugins.gallery import Result
from tests.plugins.picture_tables import Panel, arranged, look_of, text_and_color
from tests.plugins.units import shown

NOTE: Final = (
    "Drawn with matplotlib from the results of this dashboard's own queries in a test run. Not a screenshot of Grafana."
)
COLUMNS: Final = 24
ROW: Final = 0.42
"""Inches of a grid unit's height."""
COLUMN: Final = 0.62
LINES: Final = 12
"""Lines and table rows drawn of a panel; the picture says how many more there are."""
COLORS: Final = {"green": "#3a9a4a", "yellow": "#d9a400", "orange": "#e0752d", "red": "#c4162a", "blue": "#3274d9"}
INK: Final = "#24292e"


def draw(board: Mapping[str, Any], results: Mapping[int, Sequence[Result]], path: Path) -> None:
    """Write a dashboard's picture; ``results`` by panel id.

    Raises:
        KeyError: A panel has no results or is of an unknown type.
    """
    panels = [panel for panel in board["panels"] if panel["type"] not in {"row", "text"}]
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    head = 2.0
    width, height = COLUMNS * COLUMN, (bottom + head) * ROW
    with mpl.rc_context(
        {"font.size": 7.5, "font.family": "DejaVu Sans", "text.color": INK, "axes.edgecolor": "#c9ced3"}
    ):
        figure = Figure(figsize=(width, height), facecolor="white")
        figure.text(0.008, 1 - 0.7 * ROW / height, board["title"], fontsize=13, weight="bold", va="center")
        figure.text(0.008, 1 - 1.5 * ROW / height, NOTE, fontsize=7.5, color="#6a737d", va="center")
        for panel in panels:
            place = panel["gridPos"]
            left, margin = place["x"] * COLUMN, 0.08
            low = height - (head + place["y"] + place["h"]) * ROW
            # Room for the title above and for the axis' labels beside and below.
            drawn = _DRAWERS[panel["type"]]
            beside = 0.62 if drawn is _timeseries else 1.7 if drawn in {_bars, _states} else 0.1
            below = 0.3 if drawn in {_timeseries, _states} else 0.1
            frame = ((left + 0.03) / width, (low + 0.03) / height)
            size = ((place["w"] * COLUMN - 0.06) / width, (place["h"] * ROW - 0.06) / height)
            figure.add_artist(Rectangle(frame, *size, facecolor="none", edgecolor="#d5d9dd", linewidth=0.8))
            axes = figure.add_axes(
                (
                    (left + margin + beside) / width,
                    (low + margin + below) / height,
                    (place["w"] * COLUMN - 2 * margin - beside - 0.1) / width,
                    (place["h"] * ROW - 2 * margin - below - 0.28) / height,
                )
            )
            title = low + place["h"] * ROW - margin - 0.1
            figure.text(
                (left + margin) / width, title / height, panel["title"], fontsize=8.5, weight="bold", va="center"
            )
            drawn(axes, panel, results[panel["id"]])
        figure.savefig(path, dpi=100, metadata={"Software": None})


def _unit(panel: Panel) -> str:
    return str(look_of(panel).get("unit", "short"))


def _ink(color: str | None) -> str:
    return color if color and color.startswith("#") else COLORS.get(color or "", INK)


def _timeseries(axes: Axes, panel: Panel, results: Sequence[Result]) -> None:
    lines = [(name, points) for result in results for name, points in result.lines.items()]
    for name, points in lines[:LINES]:
        times = [date2num(at) for at, _ in points]
        values = [float("nan") if value is None else value for _, value in points]
        axes.plot(times, values, linewidth=1, label=name[:40])
    _time_axis(axes)
    axes.yaxis.set_major_formatter(lambda value, _: shown(value, _unit(panel)))
    axes.grid(color="#eef0f2")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=2, labelsize=6.5)
    if lines:
        axes.legend(fontsize=6, loc="upper left", frameon=False, ncols=2)
    _more(axes, len(lines))


def _newest(results: Sequence[Result]) -> list[tuple[str, object]]:
    """Return the last value of every line, or a table's last column by its first."""
    found: list[tuple[str, object]] = []
    for result in results:
        found += [
            (name, next((v for _, v in reversed(points) if v is not None), None))
            for name, points in result.lines.items()
        ]
        found += [(" ".join(str(cell) for cell in row[:-1]), row[-1]) for row in result.rows]
    return found


def _stat(axes: Axes, panel: Panel, results: Sequence[Result]) -> None:
    axes.set_axis_off()
    found = _newest(results)[:4]
    for at, (name, value) in enumerate(found):
        text, color = text_and_color(look_of(panel), value)
        middle = (at + 0.5) / len(found)
        axes.text(middle, 0.55, text, fontsize=16, weight="bold", color=_ink(color), ha="center", va="center")
        if len(found) > 1:
            axes.text(middle, 0.1, name[:28], fontsize=6.5, ha="center", va="center")


def _bars(axes: Axes, panel: Panel, results: Sequence[Result]) -> None:
    found = [(name, value) for name, value in _newest(results) if isinstance(value, float | int)]
    told = [(name[:40], *text_and_color(look_of(panel), value), float(value)) for name, value in found[:LINES]]
    axes.barh(
        [name for name, *_ in told], [value for *_, value in told], color=[_ink(color) for _, _, color, _ in told]
    )
    for at, (_, text, _, value) in enumerate(told):
        axes.text(value, at, f" {text}", va="center", fontsize=6.5)
    axes.invert_yaxis()
    axes.tick_params(length=0, labelsize=6.5)
    axes.margins(x=0.2)
    axes.set_xlim(left=0)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    _more(axes, len(found))


def _table(axes: Axes, panel: Panel, results: Sequence[Result]) -> None:
    axes.set_axis_off()
    headings, rows = arranged(panel, results)
    if not rows:
        return
    told = [
        [text_and_color(look_of(panel, name), value) for name, value in zip(headings, row, strict=True)]
        for row in rows[:LINES]
    ]
    height = min(1.0, (len(told) + 1) / (LINES + 1))
    texts = [[text[:40] for text, _ in row] for row in told]
    made = axes.table(texts, colLabels=headings, bbox=(0, 1 - height, 1, height), cellLoc="left", colLoc="left")
    made.auto_set_font_size(value=False)
    made.set_fontsize(6.5)
    for (row, column), cell in made.get_celld().items():
        cell.set_edgecolor("#e1e4e8")
        cell.visible_edges = "B"
        if row == 0:
            cell.set_text_props(weight="bold")
        elif (color := told[row - 1][column][1]) and "color" in look_of(panel, headings[column]):
            cell.set_text_props(weight="bold", color=_ink(color))
    _more(axes, len(rows))


def _states(axes: Axes, panel: Panel, results: Sequence[Result]) -> None:
    lines = [line for result in results for line in _bands(result)][:LINES]
    last = max((at for _, points in lines for at, _ in points), default=None)
    for at, (_, points) in enumerate(lines):
        for (start, value), (end, _) in pairwise([*points, (last or points[-1][0], None)]):
            if value is not None:
                color = _ink(text_and_color(look_of(panel), value)[1])
                axes.broken_barh([(date2num(start), date2num(end) - date2num(start))], (at - 0.4, 0.8), color=color)
    axes.set_yticks(range(len(lines)), [name[:40] for name, _ in lines])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0, labelsize=6.5)
    _time_axis(axes)
    axes.spines[:].set_visible(False)


def _bands(result: Result) -> Iterable[tuple[str, Sequence[tuple[datetime, object]]]]:
    """Give the lines of a result, or of a table that has a column ``time`` and one of values for each line."""
    yield from result.lines.items()
    for at, name in enumerate(result.columns):
        if name != "time":
            yield name, [(row[0], row[at]) for row in result.rows if isinstance(row[0], datetime)]


def _time_axis(axes: Axes) -> None:
    locator = AutoDateLocator(maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.tick_params(axis="x", length=2, labelsize=6.5)


def _more(axes: Axes, number: int) -> None:
    if number > LINES:
        axes.text(1, 0, f"and {number - LINES} more", transform=axes.transAxes, ha="right", va="bottom", fontsize=6.5)


_DRAWERS: Final[Mapping[str, Callable[[Axes, Panel, Sequence[Result]], None]]] = {
    "timeseries": _timeseries,
    "stat": _stat,
    "gauge": _stat,
    "bargauge": _bars,
    "table": _table,
    "state-timeline": _states,
}
