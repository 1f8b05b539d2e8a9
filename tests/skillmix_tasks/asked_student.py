"""A student of lm-eval's behind an endpoint, asked in this process."""

from __future__ import annotations

import json
from typing import Any

from lm_eval.models.api_models import JsonChatStr
from lm_eval.models.openai_completions import LocalChatCompletion

from skillmix_tasks.harness.endpoint_student import EndpointStudent
from skillmix_tasks.scoring.reply import StudentReply

ARGUMENTS: dict[str, Any] = {"temperature": 0.7, "seed": 1, "max_gen_toks": 64, "until": []}


def asked_student(base_url: str, number: int, **more: Any) -> tuple[EndpointStudent, list[StudentReply]]:
    """The student, and its replies to so many requests, in their order."""
    lm = LocalChatCompletion(model="judge-1", base_url=f"{base_url}/chat/completions", num_concurrent=4)
    student = EndpointStudent(lm)
    replies: dict[int, StudentReply] = {}
    turns = [[{"role": "user", "content": f"Write text {index}."}] for index in range(number)]
    student.ask(
        [(JsonChatStr(json.dumps(one)), ARGUMENTS | more) for one in turns],
        lambda index, reply: replies.__setitem__(index, reply),
    )
    return student, [replies[index] for index in range(number)]
