"""Training data: the plan of cells, rows of accepted texts, the data set, its leaks, its summary."""
