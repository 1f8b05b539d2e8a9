"""What short commands import, done once in the process that tests.forks forks from."""

# ruff: noqa: F401

import os
from functools import cache

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}  # they are read at import

# isort: split
import lm_eval.evaluator
import lm_eval.models.openai_completions
import torch.distributed
import torch.utils.collect_env
import transformers

import grading.cli
import hub_cards.cli
import hub_cards.report.cli
import skillmix_tasks.cli
import skillmix_tasks.commands.evaluate
import skillmix_tasks.commands.regrade
import tests.grading.batch_run
import tests.grading.graded_run
import tests.skillmix_tasks.ranked_model
import tests.training.made
import training.cli
import training.texts.charts

# lm-eval adds it to all results: `pip list` and more, 1.4 seconds for each run.
torch.utils.collect_env.get_pretty_env_info = cache(torch.utils.collect_env.get_pretty_env_info)
torch.utils.collect_env.get_pretty_env_info()
