"""The statistics of the report; each file names the source of its method."""
