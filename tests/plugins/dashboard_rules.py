"""All rules for dashboards, and what they find."""

from types import MappingProxyType
from typing import Final

from tests.plugins import dashboard_house, dashboard_lint, dashboard_metrics
from tests.plugins.dashboards import Json, Shelf

RULES: Final = MappingProxyType({**dashboard_lint.RULES, **dashboard_house.RULES, **dashboard_metrics.RULES})


def findings(board: Json, shelf: Shelf) -> list[str]:
    """Return what is wrong with a dashboard: ``rule: what``."""
    return [f"{name}: {found}" for name, rule in RULES.items() for found in rule(board, shelf)]
