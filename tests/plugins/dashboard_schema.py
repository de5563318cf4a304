"""A JSON schema for classic dashboards, made from the types of Grafana's foundation SDK: no key that these do not have.

Grafana ignores a key it does not know, so a misspelt one shows as a panel that looks wrong, or not at all. The SDK itself
drops unknown keys when it reads. What its types leave open (a panel's options, its custom field settings, its targets) is
closed here by the panel's kind and the data source's.
"""

import enum
import inspect
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, Final

from tests.plugins.dashboards import Json

DATE: Final = {"$schema": "http://json-schema.org/draft-07/schema#"}
SIMPLE: Final[Mapping[Any, Json]] = types.MappingProxyType(
    {
        str: {"type": "string"},
        int: {"type": "integer"},
        float: {"type": "number"},
        bool: {"type": "boolean"},
        object: {},
        Any: {},
        type(None): {"type": "null"},
    }
)
SQL_TARGET: Final[Json] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["datasource", "editorMode", "format", "rawQuery", "rawSql", "refId"],
    "properties": {
        "datasource": {"$ref": "#/definitions/common.DataSourceRef"},
        "editorMode": {"const": "code"},
        "format": {"enum": ["time_series", "table"]},
        "rawQuery": {"const": True},
        "rawSql": {"type": "string", "minLength": 1},
        "refId": {"type": "string", "minLength": 1},
        "hide": {"type": "boolean"},
    },
}
"""What the plugin grafana-postgresql-datasource reads of a target; the SDK has no type for it."""

DATA_LINKS: Final[Json] = {
    "type": "array",
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["title", "url"],
        "properties": {
            "title": {"type": "string"},
            "url": {"type": "string"},
            "targetBlank": {"type": "boolean"},
            "oneClick": {"type": "boolean"},
        },
    },
}
"""Links of values; the SDK takes them for links of dashboards, which have more."""


class Schema:
    """Definitions as they are found to be needed, from the dashboard downwards."""

    def __init__(self, plugin: str) -> None:
        from grafana_foundation_sdk.cog import variants
        from grafana_foundation_sdk.models import (
            bargauge,
            common,
            dashboard,
            prometheus,
            stat,
            statetimeline,
            table,
            timeseries,
        )

        self.definitions: Json = {}
        self._options = {
            "bargauge": (bargauge.Options, None),
            "stat": (stat.Options, None),
            "state-timeline": (statetimeline.Options, statetimeline.FieldConfig),
            "table": (table.Options, common.TableFieldOptions),
            "timeseries": (timeseries.Options, timeseries.FieldConfig),
        }
        self._panel = dashboard.Panel
        self._row = dashboard.RowPanel
        self._defaults = dashboard.FieldConfig
        self._dashboard = dashboard.Dashboard
        self._common = common
        self._query = variants.Dataquery
        self._target = prometheus.Dataquery if plugin == "prometheus" else None

    def document(self) -> Json:
        """Return the schema."""
        root = self._of(self._dashboard)
        self._of(self._common.DataSourceRef)
        return {**DATE, **root, "definitions": self.definitions}

    def _of(self, hint: Any) -> Json:
        if hint is self._query:
            return SQL_TARGET if self._target is None else self._of(self._target)
        if hint in SIMPLE:
            return SIMPLE[hint]
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        union = origin in {typing.Union, types.UnionType}
        if hint is self._panel or (union and self._panel in arguments):
            return self._of_any_panel()
        if union:
            choices = [self._of(each) for each in arguments if each is not type(None)]
            return choices[0] if len(choices) == 1 else {"anyOf": choices}
        if origin is list:
            return {"type": "array", "items": self._of(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self._of(arguments[1])}
        if origin is typing.Literal:
            return {"enum": list(arguments)}
        if issubclass(hint, enum.Enum):
            return {"enum": [each.value for each in hint]}
        return self._of_class(hint)

    def _of_class(self, hint: type) -> Json:
        name = f"{hint.__module__.rpartition('.')[2]}.{hint.__name__}"
        if name not in self.definitions:
            self.definitions[name] = {}  # a place, for types that have themselves within
            self.definitions[name] = self._object(hint)
        return {"$ref": f"#/definitions/{name}"}

    def _of_any_panel(self) -> Json:
        """Return the choice by kind, so that what is wrong with a panel is told of its own kind."""
        kinds = {**{kind: self._of_panel(kind) for kind in self._options}, "row": self._of(self._row)}
        return {
            "required": ["type"],
            "properties": {"type": {"enum": sorted(kinds)}},
            "allOf": [{"if": {"properties": {"type": {"const": kind}}}, "then": then} for kind, then in kinds.items()],
        }

    def _of_panel(self, kind: str) -> Json:
        """Return a panel's schema with the options and the custom field settings of its kind."""
        options, custom = self._options[kind]
        name = f"panel.{kind}"
        if name not in self.definitions:
            panel = self._object(self._panel)
            defaults = self._object(self._defaults)
            defaults["properties"] |= {"custom": self._of(custom) if custom else False, "links": DATA_LINKS}
            config = {**self.definitions[panel["properties"]["fieldConfig"]["$ref"].rpartition("/")[2]]}
            config["properties"] = {**config["properties"], "defaults": defaults}
            panel["properties"] |= {"type": {"const": kind}, "options": self._of(options), "fieldConfig": config}
            panel["required"] = sorted(
                {*panel["required"], "id", "gridPos", "title", "options", "fieldConfig", "targets"}
            )
            self.definitions[name] = panel
        return {"$ref": f"#/definitions/{name}"}

    def _object(self, hint: type) -> Json:
        """Return a class as an object by what its ``to_json`` writes: always, or where there is a value."""
        written = inspect.getsource(hint.to_json)  # type: ignore[attr-defined]
        always = re.findall(r'"(\w+)": self', written[written.index("{\n") : written.index("        }\n")])
        hints = typing.get_type_hints(hint)
        properties = {
            key: self._of(hints[name]) for key, name in re.findall(r'"(\w+)"(?:: |\] = )self\.(\w+)', written)
        }
        for key, name in re.findall(r'"(\w+)": self\.(\w+)', written):
            if type(None) in typing.get_args(hints[name]):  # written even where there is none
                properties[key] = {"anyOf": [properties[key], SIMPLE[type(None)]]}
        return {
            "type": "object",
            "additionalProperties": False,
            "required": sorted(always),
            "properties": properties,
        }


def schema(plugin: str) -> Json:
    """Return the schema of dashboards that ask this kind of data source."""
    import grafana.source  # noqa: F401  it silences what the SDK warns of when it is imported

    return Schema(plugin).document()
