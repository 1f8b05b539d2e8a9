"""What the report concludes from scores; each file names the source of its method."""
