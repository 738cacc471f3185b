"""The figures of a report, each with the same facts in words and as a table."""

from reports.plots.ablation import ablation_plot
from reports.plots.agreement import agreement_plot
from reports.plots.chosen import figures_of
from reports.plots.costs import cost_plot
from reports.plots.energy import energy_plot
from reports.plots.learning import curve_plot
from reports.plots.order import order_plot
from reports.plots.panels import panel_plot
from reports.plots.plot import Plot

__all__ = [
    "Plot",
    "ablation_plot",
    "agreement_plot",
    "cost_plot",
    "curve_plot",
    "energy_plot",
    "figures_of",
    "order_plot",
    "panel_plot",
]
