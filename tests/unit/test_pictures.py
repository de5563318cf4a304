"""The drawer of dashboards: every kind of panel is drawn, in its place, and nothing is left out."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.plugins.gallery import Result
from tests.plugins.picture_tables import arranged, joined
from tests.plugins.pictures import COLUMN, COLUMNS, ROW, draw

START = datetime(2026, 1, 1, tzinfo=UTC)
LINES = Result(ref_id="A", lines={"mail": [(START + timedelta(minutes=at), float(at)) for at in range(60)]})
TABLE = Result(ref_id="A", columns=("queue", "Value #A"), rows=(("mail", 12.0), ("reports", None)))


def panel(kind: str, at: int = 0, **defaults: Any) -> dict[str, Any]:
    place = {"x": 0, "y": at * 6, "w": 24, "h": 6}
    return {"id": at + 1, "type": kind, "title": kind, "gridPos": place, "fieldConfig": {"defaults": defaults}}


def drawn(path: Path, panels: list[dict[str, Any]], *results: Result) -> Image.Image:
    board = {"title": "Queues", "panels": panels}
    draw(board, {each["id"]: results for each in panels}, path)
    return Image.open(path)


def inks(picture: Image.Image) -> set[tuple[int, ...]]:
    colors = picture.convert("RGB").getcolors(1 << 24)
    assert colors
    return {color for _, color in colors if isinstance(color, tuple)}


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        ("timeseries", LINES),
        ("stat", LINES),
        ("gauge", TABLE),
        ("bargauge", TABLE),
        ("table", TABLE),
        ("state-timeline", LINES),
    ],
)
def test_every_kind(tmp_path: Path, kind: str, result: Result) -> None:
    with_data = drawn(tmp_path / "with.png", [panel(kind, unit="s")], result)
    without = drawn(tmp_path / "without.png", [panel(kind, unit="s")], Result(ref_id="A"))
    assert with_data.size == (round(COLUMNS * COLUMN * 100), round((6 + 2) * ROW * 100))
    assert with_data.tobytes() != without.tobytes()


def test_thresholds_and_mappings_give_colours(tmp_path: Path) -> None:
    steps = [{"value": None, "color": "green"}, {"value": 30, "color": "red"}]
    late = drawn(tmp_path / "late.png", [panel("stat", unit="s", thresholds={"steps": steps})], LINES)
    assert (0xC4, 0x16, 0x2A) in inks(late)
    told = [{"type": "value", "options": {"59": {"text": "FATAL", "color": "red"}}}]
    assert (0xC4, 0x16, 0x2A) in inks(drawn(tmp_path / "told.png", [panel("stat", mappings=told)], LINES))


def test_nothing_is_left_out(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="geomap"):
        drawn(tmp_path / "x.png", [panel("stat"), panel("geomap", 1)], LINES)
    with pytest.raises(KeyError):
        draw({"title": "Queues", "panels": [panel("stat")]}, {}, tmp_path / "y.png")


def test_tables_are_joined_by_what_they_share() -> None:
    workers = Result(ref_id="B", columns=("queue", "Value #B"), rows=(("reports", 0.0), ("new", 1.0)))
    columns, rows = joined([TABLE, workers])
    assert columns == ("queue", "Value #A", "Value #B")
    assert rows == [("mail", 12.0, None), ("reports", None, 0.0), ("new", None, 1.0)]


def test_columns_are_those_of_the_panel() -> None:
    organize = {"indexByName": {"Value #A": 0, "queue": 1}, "renameByName": {"Value #A": "Waiting"}}
    shown = panel("table") | {
        "transformations": [{"id": "organize", "options": organize}],
        "options": {"sortBy": [{"displayName": "Waiting", "desc": True}]},
    }
    more = Result(ref_id="A", columns=("queue", "Value #A", "x"), rows=(("a", None, 1), ("b", 3.0, 1), ("c", 5.0, 1)))
    assert arranged(shown, [more]) == (["Waiting", "queue"], [[5.0, "c"], [3.0, "b"], [None, "a"]])
