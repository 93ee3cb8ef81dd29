"""Every figure of a report: SVG drawn from its numbers, which stand beside it as a table."""

from rlvr_bench.reporting.figures.all import figures
from rlvr_bench.reporting.figures.canvas import Figure

__all__ = ["Figure", "figures"]
