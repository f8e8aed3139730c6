"""The HTML files, composed from what the stages wrote: the report of a run, and the data sheet of a cohort."""

from hounsfield.report.casepage import write_case_page
from hounsfield.report.compose import write_report
from hounsfield.report.datasheet import write_datasheet

__all__ = ["write_case_page", "write_datasheet", "write_report"]
