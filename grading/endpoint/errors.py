"""Errors of endpoints in all their shapes: an object, a text, a list, JSON inside a text, or a page of HTML.

What an error says decides three things: whether to try again and when, whether the run can continue at all, and
which parameter of the request to leave out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from grading.endpoint.rate_headers import duration, may_pass, retry_after
from grading.failure import FINAL, MOST_WORDS, Cause, Failure
from grading.keys import known_keys, redact, redacted
from grading.safety.bounds import load_json
from grading.safety.text import encodable
from grading.verdict import Usage

_MOST_READ = 20_000  # characters of an error's body; a traceback of a server stands behind its message
_LONGEST_RESET = 600.0  # seconds; a quota that is renewed later is used up for this run
_DEEP = 12  # errors inside errors
_PAGE = "an HTML page"

_QUOTA = re.compile(
    r"insufficient[_ ](\w+[_ ])?(quota|balance|credits?|funds)|exceeded your current quota|credit balance"
    r"|out of credits|(reached|exceeded)\b.{0,40}\busage limits?|budget\b.{0,40}\bexceeded"
    r"|(credits?|balance|quota|budget|funds)\b.{0,40}"
    r"\b(exhausted|used up|depleted|too low|not enough|insufficient)\b"
    r"|(add|purchase|buy)\b.{0,30}\bcredits|payment required|billing[_ ](hard[_ ]limit|not[_ ]active)"
    r"|billing to be enabled|enable billing|limit: 0\b|spend(ing)? limit|arrearage|overdue"
    r"|(余额|额度|配额|资源包).{0,12}(不足|用尽|耗尽|用完)"
    r"|欠费|请充值",
    re.IGNORECASE,
)
_OF_THE_DAY = re.compile(r"(per|/)[-_ ]?(day|month)|\b(RPD|TPD)\b|daily|monthly", re.IGNORECASE)
_KEY = re.compile(
    r"(invalid|incorrect|wrong|expired|revoked|missing)\b.{0,20}\b(api[-_ ]?key|credentials)"
    r"|(invalid|incorrect|expired|missing) (access|auth|bearer) token"
    r"|api[-_ ]?key\b.{0,30}\b(not valid|invalid|expired|not found|incorrect|revoked)|API_KEY_INVALID"
    r"|unauthenticated|authentication[_ ](error|failed|fails)",
    re.IGNORECASE,
)
_MODEL = re.compile(
    r"model_not_found|invalid_model|DeploymentNotFound|unknown[_ ]model|no such model|not a valid model"
    r"|invalid model\b|model[_ ]not[_ ]exist|no endpoints found for\b|no available channel for model|无可用渠道"
    r"|on-demand throughput"
    r"|\bmodels?\b.{0,120}\b(not found|(does )?not exist|not supported for (chat|generate)|decommissioned"
    r"|has been (deprecated|retired|removed|shut ?down))",
    re.IGNORECASE | re.DOTALL,
)
_REGION = re.compile(
    r"unsupported_country|(country|region|location|territory)\b.{0,40}\bnot (supported|available|allowed)"
    r"|(not (available|supported)) in your (country|region|location)|user location",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"content[_ -]?(filter|policy|management)|responsible ?ai|data_inspection_failed|safety system"
    r"|moderation|flagged|prohibited content|inappropriate content|sensitive (content|words?)|content exists risk"
    r"|(内容|信息).{0,20}(敏感|不安全|违规|不合规)",
    re.IGNORECASE,
)
_LONG = re.compile(
    r"context[_ ]length|context (window|size|limit)|maximum context|max(imum)?[_ ]?(model[_ ]?len|input)"
    r"|max_(completion_|output_|new_)?tokens\b.{0,60}(\b(less than|at most|maximum|exceeds?|too (large|high))|<=)"
    r"|prompt is too long|too many (input )?tokens|input (is )?too long|exceeds? the available context",
    re.IGNORECASE,
)
_LUCK = re.compile(r"json_validate_failed|failed_generation|failed to (generate|validate) json", re.IGNORECASE)
_TOO_LARGE = re.compile(r"request too large", re.IGNORECASE)  # for the tokens of a minute, however long one waits
_TOO_FAST = re.compile(r"rate[-_ ]?limit|too many requests|overloaded|try again later", re.IGNORECASE)
_PARAMETERS = re.compile(r"\b(parameters?|arguments?|options?)\b", re.IGNORECASE)
_SYSTEM = re.compile(
    r"(system|developer)\b.{0,30}\b(role|message|prompt|instruction)s?\b.{0,40}\bnot (supported|allowed|enabled)"
    r"|(system|developer) (role|message|instruction) not|not support.{0,30}\bsystem\b"
    r"|valid roles?:|roles must alternate|unexpected role .?system|invalid.{0,20}role.{0,20}system",
    re.IGNORECASE | re.DOTALL,
)
_PLAIN_HTTP = re.compile(r"HTTP request (was sent )?to (an )?HTTPS (port|server)", re.IGNORECASE)
# What stands for a parameter in the words of an error, in the order of the dialect's names. A name counts with or
# without quotation marks; "n" only where a sentence can mean nothing else.
_MENTIONS = {
    "response_format": r"response[_ ]?(format|mime[_ ]type|schema)|json[_ ](schema|object|mode)"
    r"|structured[_ ]output"
    r"|guided[_ ](json|decoding)|grammar|text\.format|output_config",
    "seed": r"\b(random_)?seed\b",
    "temperature": r"\btemperature\b",
    "max_tokens": r"\bmax_(completion_|output_|new_)?tokens\b",
    "reasoning_effort": r"\breasoning[_. ]?effort\b|\bthinking_level\b",
    "n": r"['\"`]n['\"`]|(^|\s)n: |\bn ?(>|=|!=|must|should|is|has|cannot)"
    r"|\b(parameter|argument|argument supplied|field|name|value):? n\b"
    r"|\b(number of )?(completion )?(choices?|completions|candidates|generations|samples)\b|candidate_?count",
}
_COMPILED = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _MENTIONS.items()}
_FIELDS = ("param", "parameter", "loc", "field", "path")  # that name what an error is about
_WORDS = (
    "message",
    "msg",
    "detail",
    "error_message",
    "errorMessage",
    "faultstring",
    "description",
    "title",
    "reason",
    "status_msg",
    "error_msg",
)
_CODES = ("code", "type", "status", "reason", "quotaId", "error_code")
_STATUS_OF = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "resource_exhausted": 429,
    "too_many_requests": 429,
    "insufficient_quota": 429,
    "server_error": 500,
    "internal_server_error": 500,
    "internal": 500,
    "internal_error": 500,
    "api_error": 500,
    "timeout": 504,
    "deadline_exceeded": 504,
    "unavailable": 503,
    "overloaded_error": 503,
    "service_unavailable": 503,
    "engine_overloaded": 503,
    "invalid_request_error": 400,
    "invalid_argument": 400,
    "badrequesterror": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "not_found_error": 404,
    "model_not_found": 404,
}


class CallFailedError(Exception):
    """An attempt that brought no reply: `passing` if a later one can bring one, `after` that many seconds."""

    passing = True
    busy = False
    after: float | None = None

    def __init__(self, failure: Failure, usage: Usage = Usage()) -> None:  # noqa: B008 - it is frozen
        super().__init__(str(failure))
        self.failure = failure
        self.usage = usage  # that the failed reply reports: it may be charged


class NoReplyError(CallFailedError):
    """The connection failed, broke off or timed out; `advised` if the words say what to do about it."""

    def __init__(self, words: str, *, advised: bool = False) -> None:
        super().__init__(Failure(Cause.NO_REPLY, None, one_line(words)))
        self.advised = advised


class UnfitReplyError(CallFailedError):
    """The reply is too large, or packed in a way that was not asked for: another one would be no better."""

    passing = False

    def __init__(self, words: str, status: int | None = None) -> None:
        super().__init__(Failure(Cause.NOT_A_CHAT, status, one_line(words)))


class NotAChatError(CallFailedError):
    """A status of success around something that is no chat completion; the next reply may be a real one."""

    def __init__(self, words: str, status: int, usage: Usage = Usage()) -> None:  # noqa: B008 - it is frozen
        super().__init__(Failure(Cause.NOT_A_CHAT, status, one_line(words)), usage)


class StatusError(CallFailedError):
    """The endpoint answered with an error, by its status or inside a reply of success."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        body: object,
        usage: Usage = Usage(),  # noqa: B008 - it is frozen
    ) -> None:
        self.status = status
        if 300 <= status < 400:  # followed, it would carry prompts to an address that the user has not named
            elsewhere = redact(headers.get("location", "another address"))
            body = f"the endpoint sends requests to {elsewhere}, and prompts are not sent on"
        words = words_of(body)
        self._text = _text_of(body)
        self._body = body
        self.after = _after(headers, body)
        cause = _cause(status, self._text, f"{words} {' '.join(_names_of(body))}", self.after)
        self.filtered = cause is Cause.REFUSED and _FILTER.search(self._text) is not None
        self.busy = cause is Cause.BUSY
        self.passing = cause in (Cause.BUSY, Cause.SERVER, Cause.NO_REPLY)
        super().__init__(Failure(cause, status, words), usage)

    @property
    def final(self) -> bool:
        """Whether every further request would fail like this one."""
        return self.failure.cause in FINAL

    @property
    def luck(self) -> bool:
        """Whether the model's reply was no JSON, which the endpoint takes for an error of the request."""
        return _LUCK.search(self._text) is not None

    @property
    def of_system_role(self) -> bool:
        """Whether the endpoint takes no system message."""
        return _SYSTEM.search(self._text) is not None

    @property
    def of_plain_http(self) -> bool:
        """Whether the endpoint expects https."""
        return _PLAIN_HTTP.search(self._text) is not None

    def blamed(self) -> list[str]:
        """The parameters that the error is about, by its fields or by its first words, in the order of mention."""
        fields = [
            str(name).rpartition(".")[2] if str(name) not in _COMPILED else str(name)
            for name in _fields(self._body)
        ]
        fields += [str(name).partition(".")[0] for name in _fields(self._body)]
        found = [name for field in fields for name, pattern in _COMPILED.items() if _is(name, pattern, field)]
        words = f"{self.failure.words[:200]} {self._text[:200]}"
        places = {name: match.start() for name, pattern in _COMPILED.items() if (match := pattern.search(words))}
        found += sorted(places, key=lambda name: places[name])
        return list(dict.fromkeys(found))


def _is(name: str, pattern: re.Pattern[str], field: str) -> bool:
    return field == "n" if name == "n" else pattern.fullmatch(field) is not None


def error_of(status: int, headers: Mapping[str, str], content: bytes) -> StatusError:
    """The error of a reply with a status of 300 or more."""
    return StatusError(status, headers, body_of(content))


def body_of(content: bytes) -> object:
    """A body as JSON data, or else its beginning as text, without keys."""
    try:
        return redacted(load_json(content), known_keys())
    except ValueError:
        return redact(content[: 4 * _MOST_READ].decode(errors="replace"))[:_MOST_READ]


def error_within(status: int, headers: Mapping[str, str], error: object, usage: Usage) -> CallFailedError:
    """The error that a reply of success holds, treated by the code that it carries."""
    body = {"error": error}
    if (code := next(_codes_of(error), None)) is not None:
        return StatusError(code, headers, body, usage)
    # Without a code the words decide: an account without credits gets no other reply from a retry.
    words = words_of(body)
    code = 402 if _QUOTA.search(words) or _OF_THE_DAY.search(words) else 429 if _TOO_FAST.search(words) else 400
    worded = StatusError(code, headers, body, usage)
    if not worded.final and not worded.busy:
        return NotAChatError(words, status, usage)
    worded.failure = replace(worded.failure, status=status)
    return worded


def words_of(body: object) -> str:
    """The endpoint's own words in one line."""
    return one_line(_words(body, 0) or (body if isinstance(body, str) else _dumped(body)))


def one_line(text: str) -> str:
    """A text without keys, line ends and what is too long."""
    flat = " ".join(encodable(redact(text[: 4 * MOST_WORDS])).split())
    return flat if len(flat) <= MOST_WORDS else f"{flat[:MOST_WORDS]}..."


def _names_of(body: object) -> Iterator[str]:
    """The names that an error gives itself."""
    return (value for one in _walk(body) for name in _CODES if isinstance(value := one.get(name), str))


def _words(body: object, depth: int) -> str:
    if depth > _DEEP:
        return ""
    if isinstance(body, str):
        return _words_of_text(body, depth)
    if isinstance(body, list):
        return next((words for one in body[:10] if (words := _words(one, depth + 1))), "")
    if not isinstance(body, dict):
        return ""
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and metadata.get("raw"):  # a router's own message says only that there is one
        return _words(metadata["raw"], depth + 1)
    values = {str(name).lower(): value for name, value in body.items()}
    for name in ("error", "errors", "fault", "base_resp", *_WORDS):
        if words := _words(values.get(name.lower()), depth + 1):
            place = body.get("loc")
            return f"{words}: {'.'.join(map(str, place))}" if isinstance(place, list) else words
    return ""


def _words_of_text(text: str, depth: int) -> str:
    text = text[:_MOST_READ].strip()
    start = text.find("{")
    if 0 <= start < 200 and text.endswith(("}", "]")):
        begin = text.find("[") if text.startswith("[") else start
        try:
            return _words(load_json(text[begin:]), depth + 1) or text
        except ValueError:
            return text
    if re.search(r"<(!doctype|html|head|body)\b", text[:500], re.IGNORECASE):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        return f"{_PAGE}: {' '.join(title[1].split())}" if title else _PAGE
    return text


def _text_of(body: object) -> str:
    """All that an error says, with the escapes of JSON inside JSON undone."""
    words = _words(body, 0)
    return f"{words} {body if isinstance(body, str) else _dumped(body)}"[:_MOST_READ].replace("\\", "")


def _dumped(body: object) -> str:
    return json.dumps(body, ensure_ascii=False, default=str)


def _walk(body: object, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The objects inside an error, those in texts of JSON too."""
    if depth > _DEEP:
        return
    if isinstance(body, dict):
        yield body
        for value in body.values():
            yield from _walk(value, depth + 1)
    elif isinstance(body, list):
        for value in body[:50]:
            yield from _walk(value, depth + 1)
    elif isinstance(body, str) and len(body) < _MOST_READ and "{" in body[:200]:
        try:
            yield from _walk(load_json(body[body.find("{") :].strip()), depth + 1)
        except ValueError:
            return


def _fields(body: object) -> Iterator[object]:
    for one in _walk(body):
        for name in _FIELDS:
            value = one.get(name)
            yield from value if isinstance(value, list) else (value,) if isinstance(value, str) else ()


def _codes_of(error: object) -> Iterator[int]:
    """The status codes that an error carries, the outermost first."""
    for one in _walk({"error": error}):
        for name in _CODES:
            value = one.get(name)
            if isinstance(value, str) and value.isdecimal() and len(value) == 3:
                value = int(value)
            if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
                yield value
            elif isinstance(value, str) and value.lower() in _STATUS_OF:
                yield _STATUS_OF[value.lower()]


def _after(headers: Mapping[str, str], body: object) -> float | None:
    """Seconds until a further attempt, by the headers or by Google's RetryInfo in the body."""
    told = retry_after(headers)
    if told is not None:
        return told
    for one in _walk(body):
        for name in ("retryDelay", "retry_delay", "retry_after", "retryAfter", "retry_after_seconds"):
            value = one.get(name)
            if isinstance(value, dict):
                value = value.get("seconds")
            seconds = duration(str(value)) if isinstance(value, str | int | float) else None
            if seconds is not None:
                return seconds
    return None


def _cause(status: int, text: str, named: str, after: float | None) -> Cause:
    """What is wrong by the status, by all that the error says, and by its own words and names."""
    if 300 <= status < 400:
        return Cause.NO_CHAT
    if status == 402:
        return Cause.CREDITS
    if status in (413, 429) and _TOO_LARGE.search(named):
        return Cause.TOO_LONG
    if status == 429:
        if _QUOTA.search(text) and not (
            after is not None
            and after <= _LONGEST_RESET
            and "limit: 0" not in text
            and "insufficient_quota" not in text
        ):
            return Cause.CREDITS
        far = after is None or after > _LONGEST_RESET
        return Cause.CREDITS if "PerDay" in text or (far and _OF_THE_DAY.search(text)) else Cause.BUSY
    if status == 401 or (status in (400, 403) and _KEY.search(text)):
        return Cause.KEY
    if status in (400, 403, 451) and _REGION.search(text):
        return Cause.REGION
    if status in (400, 403, 500) and _QUOTA.search(named):
        return Cause.CREDITS
    if status in (400, 403, 422, 451) and _FILTER.search(text):
        return Cause.REFUSED
    if status in (400, 413, 422) and _LONG.search(text):
        return Cause.TOO_LONG
    if (status in (400, 403, 404, 410, 422) and _MODEL.search(text)) or (status == 503 and _MODEL.search(named)):
        return Cause.MODEL
    if status == 403:  # a page is of somebody between, who knows no key
        return Cause.REFUSED if named.startswith(_PAGE) else Cause.KEY
    if status in (404, 405, 410):  # a router has no endpoint for what the request asks
        return Cause.REFUSED if _PARAMETERS.search(named) else Cause.NO_CHAT
    if status == 501:
        return Cause.REFUSED
    if status == 503:
        return Cause.BUSY
    return Cause.SERVER if may_pass(status) else Cause.REFUSED
