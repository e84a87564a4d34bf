"""Simulated microscopy: training data, sample data and test data."""

from napari_vos.simulation.samples import sample
from napari_vos.simulation.scenario import Modality, Scenario, random_scenario
from napari_vos.simulation.simulate import Simulation, simulate

__all__ = ["Modality", "Scenario", "Simulation", "random_scenario", "sample", "simulate"]
