"""The decisions of code about a student's answer.

`extract_answer` takes the answer out of a reply, `count_sentences` counts its sentences and `count_words` its
words, `names_skill` says whether it names a skill, `copies_reference`, `echoes_prompt` and `is_empty` whether it
has anything of the student's own. All of them take any text and never raise. Each one's file and
`docs/checks.md` say how it decides.
"""

from skillmix_tasks.checks.copying import Overlap, copies_reference, echoes_prompt, find_copied
from skillmix_tasks.checks.extract import Extraction, ExtractionState, extract_answer
from skillmix_tasks.checks.naming import Named, find_named, names_skill
from skillmix_tasks.checks.normalise import is_empty
from skillmix_tasks.checks.sentences import (
    WORDS,
    SentenceCount,
    count_sentences,
    count_words,
    sentence_counts,
    splitter_versions,
)

__all__ = [
    "WORDS",
    "Extraction",
    "ExtractionState",
    "Named",
    "Overlap",
    "SentenceCount",
    "copies_reference",
    "count_sentences",
    "count_words",
    "echoes_prompt",
    "extract_answer",
    "find_copied",
    "find_named",
    "is_empty",
    "names_skill",
    "sentence_counts",
    "splitter_versions",
]
