"""The one HTML file, composed from what the stages wrote."""

from hounsfield.report.compose import write_report

__all__ = ["write_report"]
