"""Simulated DICOM cohorts of the chest, for the demonstration, the documentation and the tests."""

from hounsfield.phantom.anatomy import Chest, Nodule, add_nodule, chest, place_nodule
from hounsfield.phantom.cohort import PhantomCohort, PlantedFile, generate
from hounsfield.phantom.dicom import Patient, Series, write_series
from hounsfield.phantom.difficulty import DEFAULT, Difficulty
from hounsfield.phantom.grid import Grid
from hounsfield.phantom.scanner import CENTRE_A, CENTRE_B, Scanner

__all__ = [
    "CENTRE_A",
    "CENTRE_B",
    "DEFAULT",
    "Chest",
    "Difficulty",
    "Grid",
    "Nodule",
    "Patient",
    "PhantomCohort",
    "PlantedFile",
    "Scanner",
    "Series",
    "add_nodule",
    "chest",
    "generate",
    "place_nodule",
    "write_series",
]
