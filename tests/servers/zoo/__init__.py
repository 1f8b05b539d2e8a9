"""A zoo of endpoints: one small class for each habit of real endpoints, with its source and the outcome."""
