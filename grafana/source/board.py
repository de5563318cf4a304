"""A dashboard: what it is called, its variables, its rows of panels; and its JSON, the same bytes every time."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from grafana.source import annotations, variables
from grafana.source.panels import Panel
from grafana.source.tidy import Json, tidy
from grafana.source.variables import Variable

SCHEMA_VERSION: Final = 39
"""That of Grafana 11.0: a Grafana that is newer carries it upwards, an older one than the JSON refuses it."""
TAG: Final = "depthgauge"
GRID: Final = 24


@dataclass(frozen=True)
class Source:
    """A kind of data source: its plugin's id, and the folder of the dashboards that ask it."""

    plugin: str
    folder: str
    link: str
    """What the list of its dashboards is called."""

    @property
    def reference(self) -> Json:
        """How panels and targets name it: by the variable, never by a name or a fixed uid."""
        return {"type": self.plugin, "uid": "${datasource}"}


PROMETHEUS: Final = Source("prometheus", "prometheus", "Depthgauge now")
POSTGRES: Final = Source("grafana-postgresql-datasource", "timescaledb", "Depthgauge history")


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    description: str
    source: Source
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    annotations: tuple[builders.AnnotationQuery, ...] = ()
    since: str = "now-6h"
    refresh: str = "30s"

    @property
    def path(self) -> str:
        """Its file within ``grafana/dashboards``."""
        return f"{self.source.folder}/{self.uid}.json"

    def document(self) -> Json:
        """Return the dashboard as data."""
        builder = (
            builders.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG, self.source.folder])
            .readonly()
            .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
            .time(self.since, "now")
            .timezone("browser")
            .refresh(self.refresh)
            .version(1)
            .links([_link(each, same=each is self.source) for each in (PROMETHEUS, POSTGRES)])
            .annotations([annotations.built_in(), *self.annotations])
            .variables([variables.source(self.source.plugin), *self.variables])
        )
        made = builder.build()
        made.panels = list(self._placed())
        document: Json = json.loads(json.dumps(made, cls=JSONEncoder))
        document["schemaVersion"] = SCHEMA_VERSION
        tidy(document, self.source.reference)
        return document

    def text(self) -> str:
        """Return the file's text."""
        return json.dumps(self.document(), sort_keys=True, indent=2, ensure_ascii=False) + "\n"

    def _placed(self) -> Iterable[dashboard.Panel | dashboard.RowPanel]:
        """Give the panels with their numbers and their places on the grid, line by line."""
        y, number = 0, 0
        for row in self.rows:
            number += 1
            yield builders.Row(row.title).id(number).grid_pos(dashboard.GridPos(x=0, y=y, w=GRID, h=1)).build()
            y, x, tallest = y + 1, 0, 0
            for panel in row.panels:
                number += 1
                made = panel.id(number).build()
                assert made.grid_pos is not None
                if x + made.grid_pos.w > GRID:
                    x, y, tallest = 0, y + tallest, 0
                made.grid_pos = dashboard.GridPos(x=x, y=y, w=made.grid_pos.w, h=made.grid_pos.h)
                x, tallest = x + made.grid_pos.w, max(tallest, made.grid_pos.h)
                yield made
            y += tallest


def _link(source: Source, *, same: bool) -> builders.DashboardLink:
    """Return the list of the dashboards of one kind.

    Choices go along within a kind only: among them is the data source, and Grafana would take one of another type.
    """
    choices = " and the same choices" if same else ""
    return (
        builders.DashboardLink(source.link)
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([TAG, source.folder])
        .icon("external link")
        .tooltip(f"Dashboards of Depthgauge, for the same time{choices}")
        .as_dropdown(as_dropdown=True)
        .include_vars(include_vars=same)
        .keep_time(keep_time=True)
        .target_blank(target_blank=False)
    )
