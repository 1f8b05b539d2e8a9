"""From a teacher to a better model: training texts, data sets, fine-tuning, and a comparison with the base."""
