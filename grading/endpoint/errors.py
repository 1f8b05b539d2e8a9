"""Errors of endpoints in all their shapes: an object, a text, a list, JSON inside a text, or a page of HTML.

An error's content decides three things: whether to try again and when, whether the run can continue at all, and
which parameter of the request to leave out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from grading.backend import Reply
from grading.endpoint.rate_headers import duration, may_pass, retry_after, wait_in_words
from grading.failure import FINAL, MOST_WORDS, Cause, Failure
from grading.keys import known_keys, redact, redacted
from grading.safety.bounds import load_json
from grading.safety.text import encodable
from grading.verdict import State, Usage

_MOST_READ = 20_000  # characters of an error's body; a server's traceback follows its message
_LONGEST_RESET = 600.0  # seconds; a quota that is renewed later is used up for this run
_DEEP = 12  # errors inside errors
_PAGE = "an HTML page"

_QUOTA = re.compile(
    r"insufficient[_ ](\w+[_ ])?(quota|balance|credits?|funds)|exceeded your current quota|credit balance"
    r"|out of credits|(reached|exceeded)\b.{0,40}\busage limits?|usage limits? (reached|exceeded)"
    r"|budget\b.{0,40}\bexceeded|over (the |your )?budget|credit[_ ]limit|top[- ]?up"
    r"|wallet|recharge|payment method|trial (has |period )?(ended|expired|is over)"
    r"|(no|not|n't) (have )?(any |enough |sufficient )?(remaining )?(credits?|balance|funds)"
    r"|(account|subscription)\b.{0,40}\b(suspended|inactive|not active)|inactive (account|subscription)"
    r"|(credits?|balance|quota|budget|funds)\b.{0,40}"
    r"\b(exhausted|used up|depleted|too low|not enough|insufficient)\b"
    r"|(add|purchase|buy)\b.{0,30}\bcredits|payment required|billing[_ ](hard[_ ]limit|not[_ ]active)"
    r"|billing to be enabled|enable billing|limit: 0\b|spend(ing)? (limit|cap)|arrearage|overdue"
    r"|(requires?|needs?) a (\w+ )?(paid|plan|subscription)\b"
    r"|(余额|额度|配额|资源包).{0,12}(不足|用尽|耗尽|用完)"
    r"|欠费|请充值",
    re.IGNORECASE,
)
_OF_THE_MINUTE = re.compile(r"(per|/)[-_ ]?(min|sec)|\b(RPM|TPM|RPS)\b", re.IGNORECASE)
_OF_THE_DAY = re.compile(r"(per|/)[-_ ]?(day|month)|\b(RPD|TPD)\b|daily|monthly", re.IGNORECASE)
_KEY = re.compile(
    r"\b(no|invalid|incorrect|wrong|expired|revoked|missing)\b.{0,20}\b(api[-_ ]?key|credentials)"
    r"|(invalid|incorrect|expired|missing) (access|auth|bearer) token|invalid_token"
    r"|api[-_ ]?key\b.{0,30}\b(not valid|invalid|expired|not found|incorrect|revoked|missing|required)"
    r"|API_KEY_INVALID|unauthenticated|authentication[_ ](error|failed|fails)",
    re.IGNORECASE,
)
_MODEL = re.compile(
    r"model_not_found|invalid_model|DeploymentNotFound|unknown[_ ]model|no such model|not a valid model"
    r"|invalid model\b|model[_ ]not[_ ](exist|available)|no available channel for model|无可用渠道"
    r"|no (allowed |available )?(endpoints?|providers?)\b(?!.{0,40}\b(parameters?|support|handle)\b)"
    r"|no models? (is |are )?loaded"
    r"|(not?|n't|unable|cannot|denied|lacks?)\b.{0,30}\baccess( to)?( the)? models?\b"
    r"|model (id|identifier|name)\b.{0,20}\binvalid|not a chat model"
    r"|unsupported[_ ]model|model_unavailable|model is not available|end[- ]of[- ]life|sunset"
    r"|\bmodels?\b.{0,60}(\bnot|n't) support(ed)?( for| in| the)* (v1/)?(chat\b|generateContent)"
    r"|on-demand throughput"
    r"|\bmodels?\b.{0,120}\b(not found|(does )?not exist|decommissioned"
    r"|has been (deprecated|retired|removed|shut ?down))",
    re.IGNORECASE | re.DOTALL,
)
_ABOUT_MODEL = re.compile(r"(?<![/\w])(models?|deployment)\b", re.IGNORECASE)  # not an address such as /models
_REGION = re.compile(
    r"unsupported_country"
    r"|(country|region|location|territory)\b.{0,40}\b(not (supported|available|allowed)|blocked|restricted)"
    r"|(not (available|supported)) in your (country|region|location)|user location",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"content[_ -]?(filter|policy|management)|responsible ?ai|data_inspection_failed|safety system"
    r"|moderation|flagged|(prohibited|inappropriate|harmful) content|sensitive (content|words?)"
    r"|content exists risk|content safety|blocked\b.{0,40}\b(safety|polic(y|ies))"
    r"|violat\w+\b.{0,40}\b(guidelines?|polic(y|ies))|high risk|censorship|guardrail"
    r"|(内容|信息).{0,20}(敏感|不安全|违规|不合规)",
    re.IGNORECASE,
)
_LONG = re.compile(
    r"context[_ ]length|context (window|size|limit)|maximum context|max(imum)?[_ ]?(model[_ ]?len|input)"
    r"|max_(completion_|output_|new_)?tokens\b.{0,60}(\b(less than|at most|maximum|exceeds?|too (large|high))|<=)"
    r"|prompt is too long|too many (input )?tokens|input (is )?too long|exceeds? the available context"
    r"|exceed\w*\b.{0,40}\b(token limit|number of (input )?tokens)"
    r"|\b(prompt|input|message)s?\b.{0,40}\b(over|exceeds?|above|(longer|larger) than)\b.{0,20}\b(limit|maximum)",
    re.IGNORECASE,
)
_LUCK = re.compile(r"json_validate_failed|failed_generation|failed to (generate|validate) json", re.IGNORECASE)
_TOO_LARGE = re.compile(
    r"request too large", re.IGNORECASE
)  # for the tokens of a minute, so waiting does not help
_TOO_FAST = re.compile(r"rate[-_ ]?limit|too many requests|overloaded|try again (later|in)", re.IGNORECASE)
_FAILING = re.compile(
    r"upstream (connect|request)|connect(ion)? (error|timeout|reset|refused)|timed out|temporarily unavailable"
    r"|internal (server )?error|(bad gateway|service unavailable)\b",
    re.IGNORECASE,
)
_LOADING = re.compile(
    r"(?<!error )(?<!failed )(?<!while )\bloading\b|warming[- ]up|starting[- ]up|cold[- ]start|initiali[sz]ing"
    r"|not (yet )?ready|estimated_time",
    re.IGNORECASE,
)
_PARAMETERS = re.compile(r"\b(parameters?|arguments?|options?|that (support|can))\b", re.IGNORECASE)
_SYSTEM = re.compile(
    r"(system|developer)\b.{0,30}\b(role|message|prompt|instruction)s?\b.{0,40}\bnot (supported|allowed|enabled)"
    r"|(system|developer) (role|message|instruction) not|(not|n't) support.{0,30}\bsystem\b"
    r"|valid roles?:|roles must alternate|(unexpected|unknown|invalid|unsupported).{0,20}role.{0,20}system"
    r"|messages\W{1,3}\d*\W{0,2}role\b|only\b.{0,40}\broles\b|\broles? must be\b|first message\b.{0,40}\buser\b"
    r"|must (start|begin) with.{0,20}\buser\b",
    re.IGNORECASE | re.DOTALL,
)
_PLAIN_HTTP = re.compile(r"HTTP request (was sent )?to (an )?HTTPS (port|server)", re.IGNORECASE)
# The words for a parameter in an error, in the order of the dialect's names. A name counts with or
# without quotation marks; "n" only where a sentence can mean nothing else.
_MENTIONS = {
    "response_format": r"response[_ ]?(format|mime[_ ]type|schema)|json[_ ](schema|object|mode)"
    r"|structured[_ ]output"
    r"|(guided|constrained)[_ ](json|decoding)|grammar|text\.format|output_config",
    "seed": r"\b(random_)?seed\b",
    "temperature": r"\btemperature\b",
    "max_tokens": r"\bmax_(completion_|output_|new_)?tokens\b",
    "reasoning_effort": r"\breasoning[_. ]?effort\b|\bthinking_level\b",
    "n": r"['\"`]n['\"`]|(^|\s)n: |\bn ?(>|=|!=|must|should|is|has|to|cannot|greater|larger|above|parameter)"
    r"|\b(parameter|argument|argument supplied|field|name|value):? n\b"
    r"|\b(one|single|multiple|several) (completion|candidate|generation|sample)\b"
    r"|\b(number of )?(completion )?(choices?|completions|candidates|generations|samples)\b|candidate_?count",
}
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_COMPILED = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _MENTIONS.items()}
_FIELDS = ("param", "parameter", "loc", "field", "path")  # that name what an error is about
_WORDS = (
    "message",
    "msg",
    "detail",
    "error_description",
    "error",  # as a text it may be no more than a name; as an object it comes first
    "error_message",
    "errorMessage",
    "faultstring",
    "description",
    "title",
    "reason",
    "status_msg",
    "error_msg",
    "body",
)
_CODES = ("code", "type", "status", "reason", "quotaId", "error_code", "statusCode", "status_code", "http_code")
_DELAYS = ("retryDelay", "retry_delay", "retry_after", "retryAfter", "retry_after_seconds", "estimated_time")
_NAMES = {  # by status, what errors call themselves
    400: "invalid_request_error invalid_argument badrequesterror",
    401: "authentication_error invalid_api_key unauthenticated",
    403: "permission_denied",
    404: "not_found not_found_error model_not_found",
    429: "rate_limit_exceeded rate_limit_error resource_exhausted too_many_requests insufficient_quota",
    500: "server_error internal_server_error internal internal_error api_error",
    503: "unavailable overloaded_error service_unavailable engine_overloaded",
    504: "timeout deadline_exceeded",
}
_STATUS_OF = {name: status for status, names in _NAMES.items() for name in names.split()}


class CallFailedError(Exception):
    """An attempt that brought no reply: `passing` if a later one can bring one, `after` that many seconds."""

    passing = True
    busy = False
    filtered = False  # the provider's filter stopped it
    loading = False  # the server is not ready yet
    after: float | None = None

    def __init__(self, failure: Failure, usage: Usage = Usage()) -> None:  # noqa: B008 - it is frozen
        super().__init__(str(failure))
        self.failure = failure
        self.usage = usage  # that the failed reply reports: it may be charged

    def reply(self) -> Reply:
        """What the call gets in place of a reply."""
        if self.filtered:
            return Reply(State.REFUSED, detail=str(self.failure))
        return Reply(State.API_FAILED, detail=str(self.failure), failure=self.failure)


class NoReplyError(CallFailedError):
    """Nothing came, or it broke off; `advised` if the words say what to do about it."""

    def __init__(self, words: str, *, advised: bool = False, passing: bool = True) -> None:
        super().__init__(Failure(Cause.NO_REPLY, None, one_line(words)))
        self.advised = advised
        self.passing = passing


class NotAChatError(CallFailedError):
    """A success whose body is not a chat completion; the next reply may be one, unless it is not `passing`."""

    def __init__(
        self,
        words: str,
        status: int,
        usage: Usage = Usage(),  # noqa: B008 - it is frozen
        *,
        passing: bool = True,
    ) -> None:
        super().__init__(Failure(Cause.NOT_A_CHAT, status, one_line(words)), usage)
        self.passing = passing


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
        if 300 <= status < 400:  # following it would send prompts to an address that the user has not named
            elsewhere = redact(headers.get("location", "another address"))
            body = f"the endpoint sends requests to {elsewhere}, and prompts are not sent on"
        words = words_of(body)
        self._text = _text_of(body)
        self._body = body
        self.after = _after(headers, body, words)
        names = (value for value in _values(body, _CODES) if isinstance(value, str))  # that it gives itself
        cause = _cause(status, self._text, f"{words} | {' '.join(names)}", self.after)
        self.filtered = cause is Cause.REFUSED and _FILTER.search(self._text) is not None
        self.busy = cause is Cause.BUSY
        self.loading = self.busy and _LOADING.search(self._text) is not None
        self.passing = cause in (Cause.BUSY, Cause.SERVER, Cause.NO_REPLY)
        self.final = cause in FINAL  # every further request would fail like this one
        # The model's reply was not JSON, which the endpoint reports as an error of the request.
        self.luck = _LUCK.search(self._text) is not None
        self.of_system_role = _SYSTEM.search(self._text) is not None  # the endpoint refuses system messages
        self.of_plain_http = _PLAIN_HTTP.search(self._text) is not None  # the endpoint expects https
        super().__init__(Failure(cause, status, words), usage)

    def blamed(self) -> list[str]:
        """The parameters that the error is about, by its fields or by its first words, in the order of mention."""
        paths: list[str] = []
        for value in _values(self._body, _FIELDS):
            paths += map(str, value) if isinstance(value, list) else [value] if isinstance(value, str) else []
        fields = [path.rpartition(".")[2] for path in paths] + [path.partition(".")[0] for path in paths]
        found = [
            name
            for field in fields
            for name, pattern in _COMPILED.items()
            if field == name or (name != "n" and pattern.fullmatch(field))
        ]
        words = _CAMEL.sub("_", f"{self.failure.words[:200]} {self._text[:200]}")
        places = {name: match.start() for name, pattern in _COMPILED.items() if (match := pattern.search(words))}
        found += sorted(places, key=lambda name: places[name])
        return list(dict.fromkeys(found))


def body_of(content: bytes) -> object:
    """A body as JSON data, or else its beginning as text, without keys."""
    try:
        return redacted(load_json(content), known_keys())
    except ValueError:
        return redact(content[: 4 * _MOST_READ].decode(errors="replace"))[:_MOST_READ]


def error_within(status: int, error: object, usage: Usage) -> CallFailedError:
    """The error that a reply of success holds, treated by the code that it carries."""
    body = {"error": error}
    if (code := next(_codes_of(error), None)) is not None:
        return StatusError(code, {}, body, usage)
    # Without a code the words decide: an account without credits gets no other reply from a retry.
    words = one_line(_words(body, 0)) or f"no chat completion: {one_line(_dumped(error))}"
    code = 402 if _QUOTA.search(words) or _OF_THE_DAY.search(words) else 429 if _TOO_FAST.search(words) else 400
    worded = StatusError(code, {}, body, usage)
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
    first = () if isinstance(values.get("error"), str) else ("error",)
    for name in (*first, "errors", "fault", "base_resp", *_WORDS):
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


def _values(body: object, names: Sequence[str]) -> Iterator[Any]:
    """What an error and those inside it have under `names`, the outermost first."""
    return (one[name] for one in _walk(body) for name in names if name in one)


def _codes_of(error: object) -> Iterator[int]:
    """The status codes that an error carries, the outermost first."""
    for value in _values({"error": error}, _CODES):
        if isinstance(value, str) and value.lower() in _STATUS_OF:
            yield _STATUS_OF[value.lower()]
        code = int(value) if isinstance(value, str) and value.isdecimal() and len(value) == 3 else value
        if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600:
            yield code


def _after(headers: Mapping[str, str], body: object, words: str) -> float | None:
    """Seconds until a further attempt, by the headers, by a field such as Google's RetryInfo, or by the words."""
    told = retry_after(headers)
    if told is not None:
        return told
    for value in _values(body, _DELAYS):
        delay = value.get("seconds") if isinstance(value, dict) else value
        seconds = duration(str(delay)) if isinstance(delay, str | int | float) else None
        if seconds is not None:
            return seconds
    return wait_in_words(words)


def _cause(status: int, text: str, named: str, after: float | None) -> Cause:
    """The cause, by the status, by the error's complete content, and by its own words and names."""
    if 300 <= status < 400:
        return Cause.NO_CHAT
    if status == 402:
        return Cause.CREDITS
    if status in (413, 429) and _TOO_LARGE.search(named):
        return Cause.TOO_LONG
    if status == 429:
        soon = _OF_THE_MINUTE.search(named) or (after is not None and after <= _LONGEST_RESET)
        if _QUOTA.search(text) and not (soon and "limit: 0" not in text and "insufficient_quota" not in text):
            return Cause.CREDITS
        far = after is None or after > _LONGEST_RESET
        return Cause.CREDITS if "PerDay" in text or (far and _OF_THE_DAY.search(text)) else Cause.BUSY
    if _QUOTA.search(named):
        return Cause.CREDITS
    if status == 401 or (status in (400, 403) and _KEY.search(text)):
        return Cause.KEY
    if status in (400, 403, 451) and _REGION.search(text):
        return Cause.REGION
    if status in (400, 403, 422, 451) and _FILTER.search(text):
        return Cause.REFUSED
    if status == 451:
        return Cause.REGION
    if status in (400, 403) and _TOO_FAST.search(named):
        return Cause.BUSY
    if status in (400, 403) and _FAILING.search(named):
        return Cause.SERVER
    if status in (400, 413, 422) and _LONG.search(text):
        return Cause.TOO_LONG
    if (status in (400, 403, 404, 410, 422) and _MODEL.search(text)) or (status == 503 and _MODEL.search(named)):
        return Cause.MODEL
    if status == 403:  # an HTML page comes from a proxy, which knows no key
        return Cause.REFUSED if named.startswith(_PAGE) else Cause.KEY
    if status == 404 and _ABOUT_MODEL.search(named) and not _PARAMETERS.search(named):
        return Cause.MODEL
    if status in (404, 405, 410):  # a router has no endpoint for the request's parameters
        return Cause.REFUSED if _PARAMETERS.search(named) else Cause.NO_CHAT
    if status == 501:
        return Cause.REFUSED
    if status == 503 or (status >= 500 and _LOADING.search(named)):
        return Cause.BUSY
    return Cause.SERVER if may_pass(status) else Cause.REFUSED
