"""The side of lm-eval: the task and its YAML files, the student, and the settings.

lm-eval's model comes in; answers go to disk, and results and samples go out.
"""
