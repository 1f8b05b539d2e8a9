"""From a teacher to a better model: texts, data sets, fine-tuning, and the comparison before and after."""
