"""A Hub on loopback: the routes that the unmodified clients use to create, fill and read repositories.

Run as `python -m tests.servers.hub.app`, see tests.servers.serving; tests hold it as tests.servers.hub.server.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import yaml
from aiohttp import web

from tests.servers.hub.gate import Gate, error
from tests.servers.hub.repos import Blob, Commit, Repo, is_large
from tests.servers.hub.validation import eval_faults, faults
from tests.servers.serving import serve

RESULTS = ".eval_results/skillmix.yaml"
_DATE = "2026-01-01T00:00:00.000Z"


class Hub:
    """All repositories, by their kind (model, dataset, space) and id."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._repos: dict[tuple[str, str], Repo] = {}
        self._large: dict[str, bytes] = {}

    def routes(self) -> list[web.RouteDef]:
        """The routes, named as faults and logs name them; what has no name can have no fault."""
        api = "/api/{kind:models|datasets|spaces}/{org}/{name}"
        named = [
            ("leaderboard", "GET", "/api/datasets/{org}/{name}/leaderboard", self.leaderboard),
            ("whoami", "GET", "/api/whoami-v2", self.whoami),
            ("create", "POST", "/api/repos/create", self.create),
            ("validate", "POST", "/api/validate-yaml", self.validate),
            ("settings", "PUT", f"{api}/settings", self.settings),
            ("preupload", "POST", f"{api}/preupload/{{revision}}", self.preupload),
            ("commit", "POST", f"{api}/commit/{{revision}}", self.commit),
            ("info", "GET", f"{api}/revision/{{revision}}", self.info),
            ("info", "GET", api, self.info),
            ("tree", "GET", f"{api}/tree/{{revision}}", self.tree),
            ("tree", "GET", f"{api}/tree/{{revision}}/{{path:.*}}", self.tree),
            ("paths", "POST", f"{api}/paths-info/{{revision}}", self.paths),
            ("put", "PUT", "/large/{oid}", self.put),
        ]
        for prefix in ("", "/datasets", "/spaces"):
            repo = f"{prefix}/{{org}}/{{name}}"
            named.append(("batch", "POST", f"{repo}.git/info/lfs/objects/batch", self.batch))
            named.append(("resolve", "GET", f"{repo}/resolve/{{revision}}/{{path:.+}}", self.resolve))
        return [
            web.route("*" if method == "GET" else method, path, self._gate.guard(name, handler))
            for name, method, path, handler in named
        ]

    # -- what is asked for

    def _find(self, request: web.Request) -> Repo:
        """The repository of a request, which a stranger does not see if it is private."""
        info, kind = request.match_info, request.match_info.get("kind")
        kind = (kind or request.path.split("/")[1]).removesuffix("s")
        kind = kind if kind in ("dataset", "space") else "model"
        repo = self._repos.get((kind, f"{info['org']}/{info['name']}"))
        if repo is None or (repo.private and not self._gate.knows(request)):
            raise error(404 if self._gate.knows(request) else 401, "Repository not found", "RepoNotFound")
        return repo

    def _found(self, request: web.Request) -> tuple[Repo, Commit]:
        repo = self._find(request)
        commit = repo.at(request.match_info.get("revision", "main"))
        if commit is None:
            raise error(404, "Invalid rev id", "RevisionNotFound")
        return repo, commit

    def repo(self, kind: str, name: str) -> dict[str, Any]:
        """A repository for a test's eyes."""
        repo = self._repos[kind, name]
        return {
            "private": repo.private,
            "commits": [commit.oid for commit in repo.commits],
            "requests": {
                number: {path: base64.b64encode(blob.content).decode() for path, blob in commit.files.items()}
                for number, commit in repo.requests.items()
            },
            "files": {path: base64.b64encode(blob.content).decode() for path, blob in repo.head.files.items()},
        }

    # -- writing

    async def whoami(self, request: web.Request) -> web.Response:
        self._gate.check_writer(request)
        return web.json_response({"type": "user", "name": "me", "orgs": [{"name": "org"}]})

    async def create(self, request: web.Request) -> web.Response:
        self._gate.check_writer(request)
        asked = await request.json()
        name, kind = f"{asked.get('organization') or 'me'}/{asked['name']}", asked.get("type", "model")
        place = "" if kind == "model" else f"{kind}s/"
        url = f"{_base(request)}/{place}{name}"
        if (kind, name) in self._repos:
            raise error(409, f"You already created this {kind} repo: {name}", url=url)
        private = asked.get("private") or asked.get("visibility") == "private"
        self._repos[kind, name] = Repo(kind, name, private, asked.get("sdk"))
        return web.json_response({"url": url, "name": name, "id": name})

    async def settings(self, request: web.Request) -> web.Response:
        self._gate.check_writer(request)
        asked, repo = await request.json(), self._find(request)
        repo.private = asked["visibility"] == "private" if "visibility" in asked else asked["private"]
        return web.json_response({"private": repo.private})

    async def validate(self, request: web.Request) -> web.Response:
        asked = await request.json()
        found = faults(asked["content"], asked["repoType"])
        answer = {"errors": [{"message": fault} for fault in found], "warnings": []}
        return web.json_response(answer, status=400 if found else 200)

    async def preupload(self, request: web.Request) -> web.Response:
        self._gate.check_writer(request)
        _, commit = self._found(request)
        listed = []
        for file in (await request.json())["files"]:
            there = commit.files.get(file["path"])
            mode = "lfs" if is_large(file["path"], file["size"]) else "regular"
            same = {"oid": there.oid} if there else {}
            listed.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, **same})
        return web.json_response({"files": listed, "commitOid": commit.oid})

    async def batch(self, request: web.Request) -> web.Response:
        self._gate.check_writer(request)
        self._find(request)
        objects = []
        for asked in (await request.json())["objects"]:
            one = {"oid": asked["oid"], "size": asked["size"], "authenticated": True}
            if asked["oid"] not in self._large:
                one["actions"] = {"upload": {"href": f"{_base(request)}/large/{asked['oid']}"}}
            objects.append(one)
        return web.json_response({"transfer": "basic", "objects": objects})

    async def put(self, request: web.Request) -> web.Response:
        content = await request.read()
        if hashlib.sha256(content).hexdigest() != request.match_info["oid"]:
            raise error(400, "The content does not have that hash")
        self._large[request.match_info["oid"]] = content
        return web.Response()

    async def commit(self, request: web.Request) -> web.Response:
        self._gate.check_writer(request)
        repo = self._find(request)
        files, title, changed = dict(repo.head.files), "", False
        asks = request.query.get("create_pr", "").lower() in ("true", "1")
        if not asks and repo.id.startswith("others/"):
            raise error(403, "You do not have the rights to write to this repo")
        for line in (await request.read()).splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                title = value["summary"]
                if value.get("parentCommit") not in (None, repo.head.oid):
                    raise error(412, "A commit has happened since. Please refresh and try again.")
                continue
            changed = True
            if entry["key"] == "file":
                files[value["path"]] = Blob(base64.b64decode(value["content"]), large=False)
            elif entry["key"] == "lfsFile":
                if value["oid"] not in self._large:
                    raise error(400, f"LFS pointer to a file that was not uploaded: {value['path']}")
                files[value["path"]] = Blob(self._large[value["oid"]], large=True)
            elif files.pop(value["path"], None) is None:
                raise error(404, "A file with this name doesn't exist", "EntryNotFound")
        if not changed:
            raise error(400, "No files have been modified")
        if found := eval_faults({path: blob.content for path, blob in files.items()}, repo.kind):
            raise error(400, "; ".join(found))
        if asks:
            number = repo.ask(title, files)
            place = "" if repo.kind == "model" else f"{repo.kind}s/"
            url = f"{_base(request)}/{place}{repo.id}"
            asked = {
                "commitOid": repo.requests[number].oid,
                "commitUrl": f"{url}/commit/{repo.requests[number].oid}",
            }
            return web.json_response(asked | {"success": True, "pullRequestUrl": f"{url}/discussions/{number}"})
        made = repo.commit(title, files)
        url = f"{_base(request)}/{repo.id}/commit/{made.oid}"
        return web.json_response({"success": True, "commitOid": made.oid, "commitUrl": url})

    def intrude(self, kind: str, name: str) -> None:
        """Somebody else commits a file."""
        repo = self._repos[kind, name]
        repo.commit("somebody else's", repo.head.files | {"notes.txt": Blob(b"notes", large=False)})

    # -- reading

    async def info(self, request: web.Request) -> web.Response:
        repo, commit = self._found(request)
        return web.json_response(
            {
                "_id": "0" * 24,
                "id": repo.id,
                "author": repo.id.split("/")[0],
                "sha": commit.oid,
                "private": repo.private,
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "createdAt": _DATE,
                "lastModified": _DATE,
                "siblings": [{"rfilename": path} for path in sorted(commit.files)],
                **({"sdk": repo.sdk} if repo.sdk else {}),
                "evalResults": [{"filename": RESULTS, "data": one} for one in _eval_results(commit)],
            }
        )

    async def leaderboard(self, request: web.Request) -> web.Response:
        """The models with results on this data set, those of open pull requests included, by rank."""
        dataset = f"{request.match_info['org']}/{request.match_info['name']}"
        found = []
        for repo in self._repos.values():
            for number, commit in ((None, repo.head), *repo.requests.items()):
                for one in _eval_results(commit):
                    if one["dataset"]["id"] == dataset:
                        author = {"name": repo.id.split("/")[0], "type": "user", "fullname": "", "avatarUrl": ""}
                        row = {"modelId": repo.id, "value": one["value"], "filename": RESULTS, "verified": False}
                        found.append(row | {"author": author, "pullRequest": number, "notes": one.get("notes")})
        ranked = sorted(found, key=lambda row: -row["value"])
        return web.json_response([row | {"rank": place} for place, row in enumerate(ranked, start=1)])

    async def tree(self, request: web.Request) -> web.Response:
        _, commit = self._found(request)
        folder = request.match_info.get("path", "").strip("/")
        start = f"{folder}/" if folder else ""
        inside = {path: blob for path, blob in sorted(commit.files.items()) if path.startswith(start)}
        if folder and not inside:
            raise error(404, f"{folder} does not exist on this revision", "EntryNotFound")
        deep = request.query.get("recursive", "").lower() in ("true", "1")
        folders, listed = set(), []
        for path, blob in inside.items():
            parts = path.removeprefix(start).split("/")
            for depth in range(1, len(parts)):
                folders.add(start + "/".join(parts[:depth]))
            if deep or len(parts) == 1:
                listed.append(_entry(path, blob))
        shallow = [path for path in sorted(folders) if deep or "/" not in path.removeprefix(start)]
        return web.json_response([_folder(path) for path in shallow] + listed)

    async def paths(self, request: web.Request) -> web.Response:
        _, commit = self._found(request)
        asked = (await request.post()).getall("paths", [])
        if request.content_type == "application/json":
            asked = (await request.json())["paths"]
        entries = []
        for path in map(str, asked):
            if path in commit.files:
                entries.append(_entry(path, commit.files[path]))
            elif any(file.startswith(f"{path}/") for file in commit.files):
                entries.append(_folder(path))
        return web.json_response(entries)

    async def resolve(self, request: web.Request) -> web.Response:
        _, commit = self._found(request)
        headers = {"X-Repo-Commit": commit.oid}
        blob = commit.files.get(request.match_info["path"])
        if blob is None:
            raise error(404, "Entry not found", "EntryNotFound", **headers)
        headers |= {"ETag": f'"{blob.oid}"', "Accept-Ranges": "bytes"}
        if blob.large:
            headers |= {"X-Linked-Etag": f'"{blob.oid}"', "X-Linked-Size": str(len(blob.content))}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        if asked is None:
            return web.Response(body=blob.content, headers=headers)
        first, last = int(asked[1]), min(int(asked[2] or len(blob.content)), len(blob.content) - 1)
        if first > last:
            raise error(416, "Range not satisfiable", **headers)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(blob.content)}"
        return web.Response(status=206, body=blob.content[first : last + 1], headers=headers)


def _eval_results(commit: Commit) -> list[dict[str, Any]]:
    blob = commit.files.get(RESULTS)
    return list(yaml.safe_load(blob.content)) if blob else []


def _entry(path: str, blob: Blob) -> dict[str, Any]:
    large = {"lfs": {"oid": blob.oid, "size": len(blob.content), "pointerSize": 134}} if blob.large else {}
    return {"type": "file", "path": path, "oid": blob.oid, "size": len(blob.content), **large}


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0}


def _base(request: web.Request) -> str:
    return f"http://{request.host}"


def application() -> web.Application:
    gate = Gate()
    made = web.Application(client_max_size=256 * 2**20)
    made["hub"] = Hub(gate)

    async def reset(request: web.Request) -> web.Response:
        gate.reset(await request.json())
        made["hub"].__init__(gate)
        return web.json_response({})

    async def intrude(request: web.Request) -> web.Response:
        made["hub"].intrude(**await request.json())
        return web.json_response({})

    async def repo(request: web.Request) -> web.Response:
        return web.json_response(made["hub"].repo(request.query["kind"], request.query["name"]))

    gate.on_race = made["hub"].intrude
    made.add_routes(made["hub"].routes())
    made.add_routes([*gate.routes(), web.post("/control/reset", reset), web.post("/control/intrude", intrude)])
    made.add_routes([web.get("/control/repo", repo)])
    return made


if __name__ == "__main__":
    serve(application())
