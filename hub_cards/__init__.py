"""Publishing on the Hugging Face Hub: data sets, models, results and a page, with cards that are complete."""

from grading import __version__

__all__ = ["__version__"]
