"""Print the CPU seconds that `skillmix eval` spends before it begins to load the student.

Imports of torch and transformers happen first and are not counted.
"""

import sys
import time

import torch
import transformers

before = time.process_time()

from lm_eval.api.model import LM  # noqa: E402
from lm_eval.api.registry import register_model  # noqa: E402


@register_model("startup-probe")
class Probe(LM):  # type: ignore[misc]
    """Stands for the student: its making is the moment that is measured."""

    @classmethod
    def create_from_arg_obj(cls, *_, **__):
        sys.stderr.write(f"cpu seconds: {time.process_time() - before}\n")
        sys.exit(7)

    create_from_arg_string = create_from_arg_obj

    def generate_until(self, requests): ...

    def loglikelihood(self, requests): ...

    def loglikelihood_rolling(self, requests): ...


if __name__ == "__main__":
    import skillmix

    assert torch
    assert transformers
    sys.argv = [
        "skillmix",
        "eval",
        "--model",
        "startup-probe",
        "--limit",
        "2",
        *sys.argv[1:],
    ]
    skillmix.main()
