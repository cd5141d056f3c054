"""Pictures of results: heatmaps, curves, densities, grids of samples.

Here belongs all drawing, and nothing else does: figures are made from tables and never from a network. The
one room that imports seaborn; a notebook's backend stays its own.
"""

from bench.analysis.figures.matrices import games, heatmaps, pair, transfer
from bench.analysis.figures.plots import audited, curves, gradient_densities, gradient_measures, samples

__all__ = [
    "audited",
    "curves",
    "games",
    "gradient_densities",
    "gradient_measures",
    "heatmaps",
    "pair",
    "samples",
    "transfer",
]
