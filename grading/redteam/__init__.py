"""Attacks on the judge: a fixed set of 144 items, and how often they succeed against a given judge.

from grading.redteam import run_redteam

report = run_redteam(grader)
print(report.table())
"""

from grading.redteam.items import RedTeamItem as RedTeamItem
from grading.redteam.items import redteam_items as redteam_items
from grading.redteam.report import Outcome as Outcome
from grading.redteam.report import Report as Report
from grading.redteam.report import run_redteam as run_redteam
