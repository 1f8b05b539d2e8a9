"""The tasks through inspect_ai, with answers that are given; test_inspect.py runs it.

python -m tests.skillmix_tasks.inspect_side ANSWERS.json JUDGE_BASE_URL
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


def main() -> None:
    from inspect_ai import eval as evaluate
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    from skillmix_tasks.harness.settings import read_settings
    from skillmix_tasks.harness.task_files import bundled_tasks
    from skillmix_tasks.inspect_tasks import make_task

    given: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    settings = {"judge": "judge-1", "judge_base_url": sys.argv[2], "items": given["items"]}
    told = {}
    for student, answers in given["students"].items():

        def reply(messages: Any, _tools: Any, _choice: Any, config: Any, answers: Any = answers) -> Any:
            text = answers[messages[0].text][config.seed]
            output = ModelOutput.from_content("mock", text[1] if len(messages) > 1 else text[0])
            output.usage = ModelUsage()  # else inspect downloads a tokenizer to count
            return output

        task = make_task("skillmix_k2", bundled_tasks()["skillmix_k2"], read_settings({"skillmix": settings}))
        with TemporaryDirectory() as logs:
            model = get_model("mockllm/model", custom_outputs=reply, memoize=False)
            [log] = evaluate(task, model=model, log_dir=logs, display="none", fail_on_error=True)
            assert log.status == "success", log.error
            told[student] = {
                score.name: {name: metric.value for name, metric in score.metrics.items()}
                for score in log.results.scores
            }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
