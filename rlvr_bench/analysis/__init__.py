"""From records to a report: collected by model, judged, explained."""

from rlvr_bench.analysis.collected import ModelData, Records, read, results_of
from rlvr_bench.analysis.reports import analyse, judged, report_of

__all__ = ["ModelData", "Records", "analyse", "judged", "read", "report_of", "results_of"]
