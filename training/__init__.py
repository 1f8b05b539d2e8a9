"""From a teacher to a better model: training texts, data sets, fine-tuning, and the comparison before and after."""
