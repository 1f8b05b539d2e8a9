"""From an answer to points and metrics: the rubric, the judged points, control answers.

An item and an answer come in; k + 3 points with their evidence go out.
"""
