"""Lines out of the database: as the others, with a bound on their points, so that statements return no more than can be seen."""

from typing import Final

from grafana_foundation_sdk.builders import timeseries

from grafana.source import panels, sql
from grafana.source.looks import COUNT, Look

POINTS: Final = 400


def lines(
    title: str,
    description: str,
    *questions: str,
    look: Look = COUNT,
    width: int = 12,
    stacked: bool = False,
    dashed: bool = False,
) -> timeseries.Panel:
    """Return lines over time, as :func:`grafana.source.panels.lines` does, one target a question."""
    asked = (sql.series(question) for question in questions)
    return panels.lines(
        title, description, *asked, look=look, width=width, stacked=stacked, dashed=dashed
    ).max_data_points(POINTS)
