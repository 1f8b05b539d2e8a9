"""From a teacher to a better model: training texts, data sets, fine-tuning, and a comparison with the base."""

from grading import __version__

__all__ = ["__version__"]
