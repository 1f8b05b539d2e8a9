"""The cost of judging: the cap of a run, the estimate before it, and the figures after it."""
