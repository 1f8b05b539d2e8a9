"""A zoo of endpoints: one small class for each habit that a real endpoint has, with its source and the right outcome."""
