"""The files of the reference implementation (LeoYu/skill-mix) as input: its gradings, and judges measured by them.

EXPERIMENT/k{k}_s{seed}_v{prompt}_r{generation}/{student}/records.csv           the student's answers
.../{student}/graded/by_{grader}_on_{column}_{grading}_{prompt}/records.csv     one grading of each
"""
