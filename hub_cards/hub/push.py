"""A push: one commit that makes the repository hold exactly the planned files, whatever goes wrong on the way.

It reads the content of the repository and names that commit as the parent of its own. So it can restart after any
failure: files that are there already are not sent, and a change by somebody else is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from httpx2 import TransportError
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from grading import UserError
from grading.endpoint.rate_headers import may_pass, retry_after
from hub_cards.cards import is_ours
from hub_cards.hub.files import refuse_keys
from hub_cards.hub.publication import CARD, Publication, Remote, Target
from hub_cards.hub.records import read_record

_RESULTS_FILE = re.compile(r"\.eval_results/[\w.-]+\.yaml")
_ATTEMPTS = 5
_LONGEST_WAIT = 300.0  # seconds; a longer wait is reported, and not waited for
_backoff = wait_exponential(multiplier=1, max=30)


@dataclass(frozen=True)
class Pushed:
    """The result of a push; `changed` is False if the repository already held the same content."""

    url: str
    commit: str
    files: int
    private: bool
    changed: bool
    pull_request: str | None = None
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        if self.pull_request:
            return f"{self.pull_request} asks to add {self.files} files to {self.url}."
        seen = "private" if self.private else "public"
        if not self.changed:
            return f"{self.url} holds that already, in the commit {self.commit[:7]} ({seen}): nothing was pushed."
        return f"{self.url} has {self.files} files in the commit {self.commit[:7]} ({seen})."


def push(target: Target, plan: Callable[[Remote], Publication]) -> Pushed:
    """Make the repository hold the files of `plan`, and return the result.

    Raises UserError, in one sentence with the next step, for errors that are not temporary.
    """
    with _one_sentence(target.repo):
        api = hub_api()
        for attempt in Retrying(
            retry=retry_if_exception(_passes), stop=stop_after_attempt(_ATTEMPTS), wait=_wait, reraise=True
        ):
            with attempt:
                return _push(api, target, plan)
        raise AssertionError  # tenacity returns or raises


def read_data_run(repo: str) -> dict[str, Any]:
    """The run.json of training data on the Hub; UserError if `skillmix push training-data` did not make it."""
    with _one_sentence(repo):
        target = Target(repo, "dataset", "training-data", public=True, must_exist=True)
        return read_record(_look(hub_api(), target).fetch("run.json"), "`skillmix push training-data`")


def read_benchmark(repo: str) -> Remote:
    """A benchmark's data set as it is on the Hub, whoever owns it; UserError if it is missing."""
    with _one_sentence(repo):
        return _look(hub_api(), Target(repo, "dataset", "dataset", public=True, must_exist=True))


def read_leaderboard(benchmark: str) -> dict[str, Path]:
    """The files of results on a benchmark's leaderboards, fine-tuned models included, by the model's name.

    A result that is an open pull request, which the model's owner has not accepted, has that in its name.
    """
    with _one_sentence(benchmark):
        api = hub_api()
        found = {}
        for entry in api.get_dataset_leaderboard(benchmark, base_model_only=False):
            asked = entry.pull_request
            if _RESULTS_FILE.fullmatch(entry.filename):
                revision = f"refs/pr/{asked}" if asked else None
                file = api.hf_hub_download(entry.model_id, entry.filename, revision=revision)
                found[f"{entry.model_id} (pull request {asked})" if asked else entry.model_id] = Path(file)
        return found


def hub_api() -> HfApi:
    """A client with the token of the environment or the login; UserError if it is missing."""
    token = get_token()
    if not token:
        raise UserError(
            "There is no token for the Hub: type `hf auth login`, or `export HF_TOKEN=...` with a token that may "
            "write."
        )
    return HfApi(token=token, library_name="skillmix-tasks")


def _push(api: HfApi, target: Target, plan: Callable[[Remote], Publication]) -> Pushed:
    remote = _look(api, target)
    publication = plan(remote)
    files = publication.all_files
    refuse_keys(files)
    if remote.commit is None:
        api.create_repo(
            target.repo,
            repo_type=target.kind,
            private=True,  # until it is complete
            exist_ok=True,
            space_sdk="static" if target.kind == "space" else None,
        )
        remote = _look(api, target)
    stale = [] if target.pull_request else publication.stale(remote)
    additions = [
        CommitOperationAdd(file.path, file.source if isinstance(file.source, bytes) else str(file.source))
        for file in files
    ]
    made = api.create_commit(
        target.repo,
        operations=[*additions, *(CommitOperationDelete(path) for path in stale)],
        commit_message=f"skillmix push: {target.mark}",
        repo_type=target.kind,
        parent_commit=remote.commit,
        create_pr=target.pull_request,
    )
    _check(api, target, publication, made.pr_revision or made.oid)
    if target.public and remote.private and not target.pull_request:
        api.update_repo_settings(target.repo, repo_type=target.kind, private=False)
    place = "" if target.kind == "model" else f"{target.kind}s/"
    return Pushed(
        url=f"{api.endpoint}/{place}{target.repo}",
        commit=made.oid,
        files=len(files),
        private=remote.private if target.pull_request else not target.public,
        changed=made.oid != remote.commit or (target.public and remote.private),
        pull_request=made.pr_url,
        notes=publication.notes,
    )


def _look(api: HfApi, target: Target) -> Remote:
    try:
        info: Any = api.repo_info(target.repo, repo_type=target.kind)
    except RepositoryNotFoundError:
        if target.must_exist:
            raise UserError(
                f"There is no {target.kind} {target.repo}, or your token may not see it: push it first with "
                f"`skillmix push {target.mark}`."
            ) from None
        return Remote()
    remote = Remote(
        commit=info.sha,
        private=bool(info.private),
        files=tuple(sibling.rfilename for sibling in info.siblings or ()),
        fetch=lambda path: Path(api.hf_hub_download(target.repo, path, repo_type=target.kind, revision=info.sha)),
    )
    if target.pull_request:
        return remote
    others = [path for path in remote.files if path != ".gitattributes"]
    card = remote.fetch(CARD).read_text(encoding="utf-8", errors="replace") if CARD in others else ""
    if (others or target.must_exist) and not is_ours(card, target.mark):
        raise UserError(
            f"The {target.kind} {target.repo} is not empty and has no card that `skillmix push {target.mark}` "
            "made: name another repository, or empty that one."
            + (" `skillmix push results` with --pr opens a pull request there." if target.must_exist else "")
        )
    if not remote.private and not target.public:
        raise UserError(
            f"The {target.kind} {target.repo} is public: add --public if the files may be public, or name another "
            "repository."
        )
    return remote


def _check(api: HfApi, target: Target, publication: Publication, commit: str) -> None:
    """Raise UserError unless the commit holds the planned files, with their sizes, and no others."""
    tree = api.list_repo_tree(target.repo, repo_type=target.kind, revision=commit, recursive=True)
    there = {entry.path: entry.size for entry in tree if isinstance(entry, RepoFile)}
    planned = {file.path: file.size for file in publication.all_files}
    missing = sorted(path for path, size in planned.items() if there.get(path) != size)
    more = [] if target.pull_request else publication.stale(Remote(files=tuple(there)))
    if missing or more:
        what = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(more)} as well"
        raise UserError(f"{target.repo} {what} after the push: type the same command again.")


def _status(error: BaseException) -> int | None:
    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


def _cause(error: BaseException) -> BaseException:
    """The error of a request that failed in a thread, which the client wraps."""
    return error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ is not None else error


def _passes(error: BaseException) -> bool:
    status = _status(_cause(error))
    if status is not None:
        # 412: another commit came first.
        return (status == 412 or may_pass(status)) and _told(error) <= _LONGEST_WAIT
    return isinstance(_cause(error), TransportError)


def _told(error: BaseException) -> float:
    """The seconds of the Hub's Retry-After, or 0."""
    response = getattr(_cause(error), "response", None)
    return (retry_after(response.headers) or 0.0) if response is not None else 0.0


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return max(_backoff(state), _told(error) if error else 0.0)


@contextmanager
def _one_sentence(repo: str) -> Iterator[None]:
    """One sentence about a failed request, with the next step."""
    try:
        yield
    except HFValidationError as error:
        raise UserError(f"{repo!r} is not the name of a repository: type ORG/NAME.") from error
    except (HfHubHTTPError, TransportError, RuntimeError) as error:
        cause = _cause(error)
        if not isinstance(cause, HfHubHTTPError | TransportError):
            raise
        raise UserError(_meaning(cause, repo)) from error
    except ValueError as error:
        if "Invalid metadata" not in str(error):
            raise
        message = " ".join(str(error).split())
        raise UserError(f"The Hub refuses the card of {repo}: {message} Nothing was pushed.") from error


def _meaning(error: BaseException, repo: str) -> str:
    status = _status(error)
    if status == 401:
        return "The Hub does not accept your token (401): type `hf auth login`, or put a valid one into HF_TOKEN."
    if status == 403:
        return f"Your token may not write to {repo} (403): take one with that right, or name another repository."
    if status in (409, 412):
        return f"Somebody else writes to {repo} at the same time ({status}): type the same command again."
    if status == 429:
        return "The Hub wants fewer requests (429): wait some minutes, then type the same command again."
    what = f"answers with the status {status}" if status is not None else f"cannot be reached ({error})"
    return f"The Hub {what}: type the same command again when it is back."
