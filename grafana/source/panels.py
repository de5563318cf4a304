"""Panels: one function a kind, each with its title, a description, targets and how its numbers look.

Sizes are in cells of Grafana's grid, 24 to a line; the board puts panels side by side in their order.
"""

from typing import Final, TypeAlias, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as models
from grafana_foundation_sdk.models import dashboard

from grafana.source.columns import Column, arrange
from grafana.source.looks import BAD, CALM, COUNT, PLAIN, PROCESS_STATES, STATE, UP, Look, thresholds

Panel: TypeAlias = stat.Panel | timeseries.Panel | table.Panel | statetimeline.Panel | bargauge.Panel
Target: TypeAlias = Builder[Dataquery]
_Kind = TypeVar("_Kind", stat.Panel, timeseries.Panel, table.Panel, statetimeline.Panel, bargauge.Panel)

LAST: Final = "lastNotNull"


def number(
    title: str,
    description: str,
    *targets: Target,
    look: Look = COUNT,
    width: int = 4,
    height: int = 4,
    background: bool = False,
    course: bool = False,
    link: str | None = None,
) -> stat.Panel:
    """Return a stat: one number, or one a series, coloured by its thresholds or its texts."""
    panel = (
        _filled(stat.Panel(), title, description, targets, look=look, size=(width, height))
        .reduce_options(common.ReduceDataOptions().calcs([LAST]).values(values=False).fields(""))
        .color_mode(models.BigValueColorMode.BACKGROUND if background else models.BigValueColorMode.VALUE)
        .graph_mode(models.BigValueGraphMode.AREA if course else models.BigValueGraphMode.NONE)
        .justify_mode(models.BigValueJustifyMode.AUTO)
        .text_mode(models.BigValueTextMode.AUTO)
        .orientation(models.VizOrientation.AUTO)
    )
    return panel.data_links([builders.DashboardLink(title).url(link)]) if link else panel


def lines(
    title: str,
    description: str,
    *targets: Target,
    look: Look = COUNT,
    width: int = 12,
    height: int = 8,
    stacked: bool = False,
    stepped: bool = False,
    dashed: bool = False,
) -> timeseries.Panel:
    """Return lines over time; ``dashed`` draws the thresholds, ``stepped`` is for what changes in jumps."""
    panel = (
        _filled(timeseries.Panel(), title, description, targets, look=look, size=(width, height))
        .draw_style(models.GraphDrawStyle.LINE)
        .line_interpolation(models.LineInterpolation.STEP_AFTER if stepped else models.LineInterpolation.LINEAR)
        .line_width(1)
        .fill_opacity(25 if stacked else 8)
        .show_points(models.VisibilityMode.NEVER)
        .span_nulls(span_nulls=False)
        .color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC))
        .thresholds_style(
            common.GraphThresholdsStyleConfig().mode(
                models.GraphThresholdsStyleMode.DASHED if dashed else models.GraphThresholdsStyleMode.OFF
            )
        )
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(models.TooltipDisplayMode.MULTI).sort(models.SortOrder.DESCENDING))
    )
    mode = models.StackingMode.NORMAL if stacked else models.StackingMode.NONE
    return panel.stacking(common.StackingConfig().mode(mode).group("A"))


def grid(
    title: str,
    description: str,
    *targets: Target,
    columns: tuple[Column, ...],
    sort: str,
    ascending: bool = False,
    width: int = 24,
    height: int = 9,
    merge: bool | None = None,
    filterable: bool = True,
) -> table.Panel:
    """Return a table. ``sort`` is a column's title. Columns that are not told are hidden.

    The series of several targets are merged into rows by the labels that they share.
    """
    panel = _filled(table.Panel(), title, description, targets, look=Look(), size=(width, height))
    panel.show_header(show_header=True).cell_height(models.TableCellHeight.SM).filterable(filterable=filterable)
    panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(not ascending)])
    return arrange(panel, columns, merge=len(targets) > 1 if merge is None else merge)


def states(
    title: str,
    description: str,
    *targets: Target,
    look: Look = STATE,
    width: int = 24,
    height: int = 9,
) -> statetimeline.Panel:
    """Return a state timeline: one band a series, coloured by the texts of its look."""
    return (
        _filled(statetimeline.Panel(), title, description, targets, look=look, size=(width, height))
        .merge_values(merge_values=True)
        .show_value(models.VisibilityMode.AUTO)
        .align_value(models.TimelineValueAlignment.LEFT)
        .row_height(0.85)
        .line_width(0)
        .fill_opacity(80)
        .legend(
            common.VizLegendOptions()
            .show_legend(show_legend=False)
            .display_mode(models.LegendDisplayMode.LIST)
            .placement(models.LegendPlacement.BOTTOM)
            .calcs([])
        )
        .tooltip(common.VizTooltipOptions().mode(models.TooltipDisplayMode.SINGLE).sort(models.SortOrder.NONE))
    )


def bars(
    title: str,
    description: str,
    *targets: Target,
    look: Look = COUNT,
    width: int = 8,
    height: int = 8,
) -> bargauge.Panel:
    """Return horizontal bars, one a series."""
    return (
        _filled(bargauge.Panel(), title, description, targets, look=look, size=(width, height))
        .reduce_options(common.ReduceDataOptions().calcs([LAST]).values(values=False).fields(""))
        .display_mode(models.BarGaugeDisplayMode.BASIC)
        .value_mode(models.BarGaugeValueMode.COLOR)
        .orientation(models.VizOrientation.HORIZONTAL)
        .show_unfilled(show_unfilled=True)
    )


def alive(title: str, description: str, *targets: Target, width: int = 4, height: int = 4) -> stat.Panel:
    """Return a stat that says up or down."""
    return number(title, description, *targets, look=UP, width=width, height=height, background=True)


def colour(panel: timeseries.Panel, colours: dict[str, str]) -> timeseries.Panel:
    """Give series fixed colours by their names."""
    for name, chosen in colours.items():
        panel.override_by_name(
            name, [dashboard.DynamicConfigValue(id_val="color", value={"fixedColor": chosen, "mode": "fixed"})]
        )
    return panel


JOB_STATES: Final = {"waiting": "orange", "active": "green", "delayed": CALM, "retry": BAD, "blocked": "purple"}
"""Colours of the states of jobs, wherever they are drawn."""
PROCESS_COLOURS: Final = dict(PROCESS_STATES.values())
"""Colours of the states of processes by their names."""


def _filled(
    panel: _Kind, title: str, description: str, targets: tuple[Target, ...], *, look: Look, size: tuple[int, int]
) -> _Kind:
    panel.title(title).description(description).span(size[0]).height(size[1])
    for target in targets:
        panel.with_target(target)
    panel.unit(look.unit).thresholds(thresholds(look.steps)).no_value(look.absent)
    if look.texts:
        panel.mappings(list(look.texts))
    if look.steps is not PLAIN or look.texts:
        panel.color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
    if look.decimals is not None:
        panel.decimals(look.decimals)
    if look.minimum is not None:
        panel.min(look.minimum)
    if look.maximum is not None:
        panel.max(look.maximum)
    return panel


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(show_legend=True)
        .display_mode(models.LegendDisplayMode.TABLE)
        .placement(models.LegendPlacement.BOTTOM)
        .calcs([LAST, "max"])
    )
