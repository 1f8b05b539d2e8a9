"""How a server is told to behave, and what it counted; both travel as JSON over its control routes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.servers.faults import known

ROLES = ("judge", "student")
_CHOICES = {
    "json_schema": ("honour", "refuse", "ignore"),
    "temperature": ("accept", "refuse"),
    "max_tokens": ("accept", "refuse"),
    "n": ("honour", "ignore"),
}
_STUDENTS = ("words", "one sentence", "echo")
Scripted = str | dict[str, Any] | None


@dataclass(frozen=True)
class Behaviour:
    """What a test can set.

    A script is a list for the next requests of its role (`script`: of any role), one entry each: a fault's
    name, None for no fault, or {"content": TEXT} to reply with that text; a "finish_reason" may stand beside
    it. Faults are probabilities by name, see tests.servers.faults; with `fault_attempts` they strike no more
    than the first so many attempts at the same body, with `fault_lasts` all attempts at it alike. Requests
    that are turned down meet no fault.
    """

    api_key: str | None = None  # if set, other keys get 401
    models: list[str | dict[str, Any]] | None = None  # ids or {"id": ..., "shutdown_date": ...}; None: any model
    models_route: bool = True  # False: the server has no /v1/models
    earn: float = 0.8  # probability that the judge grants a criterion
    steady: bool = False  # True: the judge says the same whatever the seed
    # By number of criteria, as "3": the probability that the judge grants all of an answer's, whatever the seed;
    # else it denies one, drawn by the answer. Other answers go by `earn`.
    whole: dict[str, float] = field(default_factory=dict)
    # If set, the judge says what it is told: by answer which criteria it grants; the shares of `flips`, by model,
    # are the probability that it says the contrary of one, whatever the seed.
    recorded: dict[str, dict[str, bool]] | None = None
    flips: dict[str, float] = field(default_factory=dict)
    # If set, the judge marks truly and obeys injected text, see tests.servers.gullible: sentences by criterion.
    gullible: dict[str, str] | None = None
    # Or "one sentence" (always sound and different), "echo" (the last user message), or {"text": ...}.
    student: str | dict[str, str] = "words"
    json_schema: str = "honour"  # "refuse": 400; "ignore": taken, but the reply is prose with JSON in it
    temperature: str = "accept"  # "refuse": 400 for every value but 1
    max_tokens: str = "accept"  # "refuse": 400, max_completion_tokens is wanted
    n: str = "ignore"  # one choice, whatever is asked, so that votes can be counted as requests; or "honour"
    refuse_params: list[str] = field(default_factory=list)  # 400 for requests with one of these
    prompt_cache: bool = True  # whether known beginnings of prompts are reported as cached tokens
    judge_latency: float = 0.0  # seconds
    student_latency: float = 0.0
    judge_faults: dict[str, float] = field(default_factory=dict)
    student_faults: dict[str, float] = field(default_factory=dict)
    judge_script: list[Scripted] = field(default_factory=list)
    student_script: list[Scripted] = field(default_factory=list)
    script: list[Scripted] = field(default_factory=list)
    fault_seed: int = 0
    fault_attempts: int | None = None
    fault_lasts: bool = False
    retry_after: float = 1.0
    slow_s: float = 1.0
    fail_all: int | None = None  # every API request gets this status
    hold_after: int | None = None  # so many more judge replies, then judge requests hang until released
    refuse_headers: list[str] = field(default_factory=list)  # 403 for requests with one of these
    batches: bool = True  # False: the server has no Batch API
    batch_polls: int = 1  # a batch ends when it is looked at for the n-th time
    # How the next batches end, one entry each: "expired", "cancelled", "failed", or None for "completed".
    batch_script: list[str | None] = field(default_factory=list)
    batch_answered: int = 0  # items of an expired or cancelled batch that have a reply
    batch_queue: int | None = None  # items that may wait at once; a batch beyond that fails for its size
    batch_open: int | None = None  # batches that may run at once; the creation of a further one gets 429
    batch_metadata: bool = True  # False: the server forgets what metadata a batch has
    batch_files_kept: bool = True  # False: the files of ended batches are gone
    batch_counts: bool = True  # False: a batch does not say how many of its requests have a result
    # How the next files come, one entry each: "html", "empty", "half" (cut in a line), "lines" (cut at a line's
    # end), or None for complete. `batch_odd` are routes ("upload", "create", "list", "look") whose next requests
    # do their work and are answered with a page of HTML, or, for "error ROUTE", with an error in a success.
    batch_files: list[str | None] = field(default_factory=list)
    batch_odd: list[str] = field(default_factory=list)
    # Routes ("upload", "create", "list", "look", "download"): in this order, the next request of each does its
    # work and loses its reply: the connection closes, or with `batch_hang` stays open. "keep ROUTE" lets one pass.
    batch_lose: list[str] = field(default_factory=list)
    batch_hang: bool = False

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {choices}, not {getattr(self, name)!r}")
        if self.student not in _STUDENTS and not isinstance(self.student, dict):
            raise ValueError(f'student must be one of {_STUDENTS} or {{"text": ...}}, not {self.student!r}')
        if self.fail_all is not None and not 400 <= self.fail_all < 600:
            raise ValueError(f"fail_all must be an error's status, not {self.fail_all}")
        for role in ROLES:
            faults = self.faults(role)
            for entry in (*faults, *self.script_of(role), *self.script):
                if isinstance(entry, str) and not known(entry, role):
                    raise ValueError(f"a {role} has no fault {entry!r}")
                if isinstance(entry, dict) and not {"content"} <= set(entry) <= {"content", "finish_reason"}:
                    raise ValueError(f"a scripted reply has content and may have finish_reason: {entry!r}")
            if sum(faults.values()) > 1 + 1e-9:
                raise ValueError(f"the probabilities of the {role}'s faults add up to more than 1")

    def faults(self, role: str) -> dict[str, float]:
        return self.judge_faults if role == "judge" else self.student_faults

    def script_of(self, role: str) -> list[Scripted]:
        return self.judge_script if role == "judge" else self.student_script

    def latency(self, role: str) -> float:
        return self.judge_latency if role == "judge" else self.student_latency


def _per_role() -> dict[str, int]:
    return dict.fromkeys(ROLES, 0)


def _tokens() -> dict[str, dict[str, int]]:
    return {role: {"prompt": 0, "completion": 0, "cached": 0} for role in ROLES}


@dataclass
class Counts:
    """What a server counted since its start or last reset.

    `received` counts chat requests, `replied` those that got a whole reply with status 200; `tokens` adds up
    what such replies report. `abandoned` counts requests whose client left before the reply. `held` is how
    many wait right now because of `hold_after`. `in_flight_max` has the roles and "all". `statuses` (of chat
    replies), `faults` and `routes` (such as "GET /v1/models") count by name. `batches` were created and looked at
    `batch_looks` times; `batch_lost` requests did their work and lost their reply; `submitted` counts the batches
    that hold an item, by its custom_id, those that failed as a whole left out.
    """

    received: dict[str, int] = field(default_factory=_per_role)
    replied: dict[str, int] = field(default_factory=_per_role)
    abandoned: dict[str, int] = field(default_factory=_per_role)
    in_flight: dict[str, int] = field(default_factory=_per_role)
    in_flight_max: dict[str, int] = field(default_factory=_per_role)
    tokens: dict[str, dict[str, int]] = field(default_factory=_tokens)
    held: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    routes: dict[str, int] = field(default_factory=dict)
    batches: int = 0
    batch_looks: int = 0
    batch_lost: int = 0
    submitted: dict[str, int] = field(default_factory=dict)


@dataclass
class Entry:
    """One chat request in the log; `seconds` since the start or reset, `attempt` from 1 per equal body.

    `outcome` is "pending", "ok", the name of the fault, the status of a request that was turned down, or
    "abandoned".
    """

    number: int
    seconds: float
    role: str
    attempt: int
    body: dict[str, Any]
    outcome: str = "pending"
