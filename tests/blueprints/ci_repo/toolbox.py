"""Programs that stand in for tools of the pipeline, at the boundary of the process: they record how they are called."""

import hashlib
import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

# What GitHub sets in a job of ci-repo.
GITHUB = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/ci-repo",
    "GITHUB_REF": "refs/heads/main",
    "GITHUB_SHA": "c" * 40,
    "GITHUB_WORKFLOW_REF": "acme/ci-repo/.github/workflows/app-push.yml@refs/heads/main",
    "GITHUB_EVENT_NAME": "repository_dispatch",
    "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "2",
}
# A fake tool appends its arguments and a part of its environment to a log, and does what its script says.
_FAKE = """\
#!{python}
import json, os, sys
with open({log!r}, "a", encoding="utf-8") as log:
    log.write(json.dumps([{name!r}, *sys.argv[1:]]) + "\\n")
args = sys.argv[1:]
{body}
"""


@dataclass
class Toolbox:
    """A folder of fake tools and the log that they write."""

    folder: Path
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "calls.jsonl"

    def add(self, name: str, body: str = "", folder: str = "bin") -> None:
        """Add a tool; `body` is Python that sees its arguments as `args`."""
        path = self.folder / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(_FAKE.format(python=sys.executable, log=str(self.log), name=name, body=body), encoding="utf-8")
        path.chmod(0o755)

    def add_curl(self, address: str) -> None:
        """Add the real curl, which finds every host of https:// at `address`, as the first part of the path."""
        there = f'arg.replace("https://", {address + "/"!r}, 1) if arg.startswith("https://") else arg'
        self.add("curl", f'os.execv({shutil.which("curl")!r}, ["curl", *({there} for arg in args)])')

    @property
    def env(self) -> dict[str, str]:
        """The environment in which the fake tools come first."""
        return {"PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    @property
    def calls(self) -> list[list[str]]:
        """Every call so far: the tool's name and its arguments."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]


def write_layout(folder: Path, about: str = '{"imageLayoutVersion": "1.0.0"}') -> None:
    """Write an OCI layout with an empty image for linux/amd64; `about` is what its file oci-layout says."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)
    (folder / "oci-layout").write_text(about, encoding="utf-8")
    kind = "application/vnd.oci.image.{}+json"

    def blob(what: str, document: object) -> dict[str, object]:
        text = json.dumps(document).encode()
        digest = hashlib.sha256(text).hexdigest()
        (blobs / digest).write_bytes(text)
        return {"mediaType": kind.format(what), "digest": f"sha256:{digest}", "size": len(text)}

    config = blob("config.v1", {"os": "linux", "architecture": "amd64"})
    manifest = blob("manifest.v1", {"schemaVersion": 2, "config": config, "layers": []})
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}), encoding="utf-8")


# Remembers what was signed and attested, as a registry would, and verifies only that.
COSIGN = """
state = os.environ["FAKE_COSIGN_STATE"]
reference = args[-1]
signed = open(state).read().split("\\n") if os.path.exists(state) else []
# A signature, or an attestation of a type: --type TYPE, or --type=TYPE.
types = [a.partition("=")[2] or args[i + 1] for i, a in enumerate(args) if a.split("=")[0] == "--type"]
entry = (types[0] if types else "sign") + " " + reference
if args[0] in ("sign", "attest"):
    with open(state, "a") as file:
        file.write(entry + "\\n")
elif entry not in signed:
    sys.exit("Error: no signatures found")
"""

SYFT = """
path = next(a for a in args if a.startswith("cyclonedx-json=")).partition("=")[2]
with open(path, "w") as file:
    json.dump({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}, file)
"""

# Keeps pull requests as GitHub does, in a file.
GH = """
import fcntl
state = os.environ["FAKE_GH_STATE"]
lock = open(state + ".lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
pulls = json.load(open(state)) if os.path.exists(state) else []
options = {key: value for key, value in zip(args, args[1:]) if key.startswith("--")}
if args[:2] == ["pr", "list"]:
    head = options.get("--head")
    shown = [pull for pull in pulls if pull["open"] and head in (None, pull["headRefName"])]
    print(json.dumps([{key: pull[key] for key in options["--json"].split(",")} for pull in shown]))
elif args[:2] == ["pr", "create"]:
    if any(pull["open"] and pull["headRefName"] == options["--head"] for pull in pulls):
        sys.exit(f"a pull request for branch {options['--head']} already exists")
    pulls.append({"number": len(pulls) + 1, "open": True, "headRefName": options["--head"], "base": options["--base"]})
    pulls[-1].update(title=options["--title"], body=sys.stdin.read())
    print(f"https://github.com/acme/cd-repo/pull/{len(pulls)}")
elif args[:2] == ["pr", "edit"]:
    pulls[int(args[2]) - 1].update(title=options["--title"], body=sys.stdin.read())
elif args[:2] == ["pr", "close"]:
    pulls[int(args[2]) - 1].update(open=False, comment=options["--comment"])
else:
    sys.exit(f"gh {args} is not known here")
with open(state, "w") as file:
    json.dump(pulls, file)
"""
