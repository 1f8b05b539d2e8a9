"""The YAML files that lm-eval reads: names and numbers, nothing else."""
