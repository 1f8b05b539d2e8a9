"""Results, samples and answers of runs as the report reads them."""
