"""A private pack's texts stay out of the samples."""

from __future__ import annotations

from typing import Any

from lm_eval.api.instance import Instance

from grading.protocol.parse import is_quoted, normalise
from skillmix_tasks.scoring.losses import Loss, LossCode
from skillmix_tasks.scoring.rubric import LENGTH

PRIVATE = "[of a private pack]"


def hide_texts(instances: list[Instance], records: list[dict[str, Any]]) -> None:
    """Remove a private pack's texts from the samples: prompts, explanations, copies."""
    for instance, record in zip(instances, records, strict=True):
        instance.arguments = (PRIVATE, instance.arguments[1])
        instance.resps = [PRIVATE]
        own = not record["void"] and not set(record["lost_in_code"]) - {LENGTH}
        if not own:  # it names or copies a text of the pack
            record["answer"] = PRIVATE
            record["lost_in_code"] = dict.fromkeys(
                record["lost_in_code"], Loss(code=LossCode.PRIVATE).model_dump()
            )
        for name in ("reasoning", "detail"):  # they repeat the prompt
            record["student"].pop(name, None)
        shown = normalise(record["answer"] if own else "")
        for vote in record.get("votes", ()):
            # An invalid reply of the judge or an invalid quotation may repeat the criteria.
            vote.pop("reply", None)
            vote.pop("detail", None)
            for mark in vote["marks"].values():
                if not is_quoted(mark["evidence"], shown):
                    mark["evidence"] = PRIVATE if mark["evidence"] else ""
