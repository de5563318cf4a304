"""The last pass over a dashboard's JSON: data sources, letters of targets, and nothing that says nothing."""

import string
from collections.abc import Iterator
from typing import Any, Final

Json = dict[str, Any]

_INTERVAL_ONLY: Final = ("auto", "auto_count", "auto_min")
_DATA_LINK: Final = ("title", "url", "targetBlank")


def tidy(document: Json, source: Json) -> None:
    """Bring a document that the SDK made into the form that is committed."""
    for panel in panels(document):
        _panel(panel, source)
    for variable in document["templating"]["list"]:
        for name in _INTERVAL_ONLY:
            variable.pop(name, None)
        if variable["type"] == "query":
            variable["datasource"] = source
    for annotation in document["annotations"]["list"]:
        if not annotation.get("builtIn"):
            annotation["datasource"] = source
            annotation["target"]["datasource"] = source
    for each in (*document["annotations"]["list"], *document["links"]):
        each.pop("placement", None)  # of Grafana 13, which would hide it in a menu
    document.pop("fiscalYearStartMonth", None)


def panels(document: Json) -> Iterator[Json]:
    """Give the panels that show something: rows are headings."""
    return (panel for panel in document["panels"] if panel["type"] != "row")


def _panel(panel: Json, source: Json) -> None:
    panel["datasource"] = source
    for letter, target in zip(string.ascii_uppercase, panel["targets"], strict=False):
        target["refId"] = target.get("refId") or letter
        target["datasource"] = source
    if "repeat" not in panel:
        panel.pop("repeatDirection", None)
    defaults = panel["fieldConfig"]["defaults"]
    if "links" in defaults:
        defaults["links"] = [{key: link[key] for key in _DATA_LINK} for link in defaults["links"]]
