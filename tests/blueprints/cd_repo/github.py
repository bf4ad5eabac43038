"""GitHub as cd-repo's workflows see it: a server with the repository, runners, pull requests, and an image registry.

act runs the workflows on this machine; git and helm are real. Actions that only GitHub can run have stand-ins;
gh and cosign are fakes, and skopeo is one where images are described.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.blueprints.cd_repo.support import build
from tests.blueprints.ci_repo.toolbox import COSIGN, Toolbox
from tests.tools import BIN, run, tool

HERE = Path(__file__).parent / "actions"
CI = Path(__file__).parent.parent / "ci_repo" / "actions"
STAND_INS = {
    "actions/checkout": HERE / "checkout",
    "actions/create-github-app-token": CI / "create-github-app-token",
    "actions/download-artifact": HERE / "download-artifact",
    "actions/setup-python": CI / "nothing",
    "actions/upload-artifact": HERE / "upload-artifact",
    "azure/setup-helm": CI / "nothing",
    "sigstore/cosign-installer": CI / "install-cosign",
}
# Describes the images that a test says there are, by reference; anybody may log in.
SKOPEO = """
if args[0] == "login":
    sys.exit(0 if sys.stdin.read() else "no password")
images = json.load(open(os.environ["FAKE_IMAGES"]))
reference = args[-1].removeprefix("docker://")
if reference not in images:
    sys.exit("FATA[0000] Error parsing image name: manifest unknown")
print(json.dumps({"Digest": reference.partition("@")[2], "Labels": images[reference]}))
"""
# Keeps what is on GitHub beside the repository, in a file: pull requests, comments, issues.
GH = """
path = os.environ["FAKE_GH_STATE"]
state = json.load(open(path)) if os.path.exists(path) else {"pulls": [], "comments": [], "issues": []}
options = {key: value for key, value in zip(args, args[1:]) if key.startswith("--")}
pulls, comments, issues = state["pulls"], state["comments"], state["issues"]

def text(name):
    value = options.get(name, "")
    return sys.stdin.read() if value == "-" else open(value).read() if name == "--body-file" else value

def shown(items, number="number"):
    head = options.get("--head")
    found = [i for i in items if i["state"] == "open" and head in (None, i.get("headRefName"))]
    print(json.dumps([{key: item[key] for key in options["--json"].split(",")} for item in found]))

if not os.environ.get("GH_TOKEN"):
    sys.exit("gh: To use GitHub CLI in a GitHub Actions workflow, set the GH_TOKEN environment variable.")
if args[:2] == ["pr", "list"]:
    shown(pulls)
elif args[:2] == ["pr", "create"]:
    pulls.append({"number": len(pulls) + 1, "state": "open", "headRefName": options["--head"],
                  "base": options["--base"], "title": options["--title"], "body": text("--body-file"), "auto": False})
    print(f"https://github.com/acme/cd-repo/pull/{len(pulls)}")
elif args[:2] == ["pr", "edit"]:
    pulls[int(args[2]) - 1].update(title=options["--title"], body=text("--body-file"))
elif args[:2] == ["pr", "merge"]:
    pulls[int(args[2]) - 1]["auto"] = [a for a in args[3:] if a.startswith("--")]
elif args[:2] == ["pr", "close"]:
    pulls[int(args[2]) - 1].update(state="closed", comment=options.get("--comment"))
elif args[:2] == ["issue", "list"]:
    shown(issues)
elif args[:2] == ["issue", "create"]:
    issues.append({"number": len(issues) + 1, "state": "open", "title": options["--title"],
                   "body": text("--body-file")})
elif args[:2] == ["issue", "edit"]:
    issues[int(args[2]) - 1].update(body=text("--body-file"))
elif args[:2] == ["issue", "close"]:
    issues[int(args[2]) - 1].update(state="closed", comment=options.get("--comment"))
elif args[0] == "api" and "--method" in options:
    name, _, body = options["--field"].partition("=")
    body = open(body[1:]).read() if body.startswith("@") else body
    if options["--method"] == "POST":
        comments.append({"id": len(comments) + 101, "user": {"type": "Bot"}, name: body})
    else:
        next(c for c in comments if c["id"] == int(args[-3].rpartition("/")[2]))[name] = body
elif args[0] == "api":
    print(json.dumps(comments))
else:
    sys.exit(f"gh {args} is not known here")
with open(path, "w") as file:
    json.dump(state, file)
"""
PIP = 'assert "--require-hashes" in args and os.path.exists(args[-1]), args'
# act's last line of a job: `[Validate/Charts] 🏁  Job succeeded`, with the matrix leg's number behind the name.
# What the pipeline signs: the image, and of what types it attests something.
SIGNED = ("sign", "cyclonedx", "slsaprovenance1")
JOB = re.compile(r"^\[(?P<path>[^\]]+?)(?:-\d+)? *\] .*Job (?P<result>succeeded|failed)", re.MULTILINE)


@dataclass
class Run:
    """What a workflow run did."""

    code: int
    output: str

    @property
    def succeeded(self) -> bool:
        return self.code == 0

    @property
    def jobs(self) -> dict[str, str]:
        """How each job ended that ran, by its name."""
        return {m["path"].rpartition("/")[2]: m["result"] for m in JOB.finditer(self.output)}


@dataclass
class Images:
    """An image registry, and what was signed in it."""

    folder: Path
    labels: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        return {"FAKE_IMAGES": str(self.folder / "images.json"), "FAKE_COSIGN_STATE": str(self.folder / "signatures")}

    def push(self, service: str, number: int = 1, *, what: tuple[str, ...] = SIGNED, **labels: str) -> None:
        """Push a build as the pipeline does; `what` is signed of it, and `labels` are other than they should be."""
        self.folder.mkdir(parents=True, exist_ok=True)
        image = reference(service, number)
        self.labels[image] = {
            "org.opencontainers.image.source": labels.get("source", "https://github.com/acme/app-repo"),
            "org.opencontainers.image.revision": labels.get("revision", build(service, number)["commit"]),
        }
        (self.folder / "images.json").write_text(json.dumps(self.labels))
        with (self.folder / "signatures").open("a") as file:
            file.writelines(f"{verb} {image}\n" for verb in what)


def reference(service: str, number: int = 1) -> str:
    """Return the reference, by digest, of a build's image."""
    return f"ghcr.io/acme/{service}@{build(service, number)['digest']}"


@dataclass
class GitHub:
    """A server with cd-repo, and what runs there.

    Attributes:
        work: A clone in which tests make commits, on main.
    """

    folder: Path
    work: Path
    tools: Toolbox
    images: Images
    secrets: tuple[str, ...] = ("GITHUB_TOKEN", "DEPLOYER_APP_PRIVATE_KEY")
    variables: dict[str, str] = field(default_factory=lambda: {"DEPLOYER_APP_CLIENT_ID": "client-id"})

    @classmethod
    def at(cls, folder: Path, repository: Path) -> "GitHub":
        """Put a repository on a server."""
        bare = folder / "server" / "acme" / "cd-repo"
        run("git", "clone", "--quiet", "--bare", repository, bare)
        run("git", "config", "uploadpack.allowAnySHA1InWant", "true", cwd=bare)
        (folder / "gitconfig").write_text(
            f'[url "{folder / "server"}/"]\n\tinsteadOf = https://github.com/\n'
            "[user]\n\tname = Test\n\temail = test@acme.example\n[init]\n\tdefaultBranch = main\n"
        )
        work = folder / "work"
        run("git", "clone", "--quiet", f"file://{bare}", work)
        run("git", "remote", "set-url", "origin", "https://github.com/acme/cd-repo.git", cwd=work)
        bare.with_suffix(".git").symlink_to(bare)
        tools = Toolbox(folder / "tools")
        for name, body in (("gh", GH), ("skopeo", SKOPEO), ("pip", PIP)):
            tools.add(name, body)
        tools.add("cosign", COSIGN, folder="cosign")
        return cls(folder, work, tools, Images(folder / "images"))

    @property
    def env(self) -> dict[str, str]:
        return {
            "ARTIFACTS": str(self.folder / "artifacts"),
            "TOOLBOX": str(self.tools.folder),
            "FAKE_GH_STATE": str(self.folder / "github.json"),
            "GIT_CONFIG_GLOBAL": str(self.folder / "gitconfig"),
            "RUNNER_TEMP": str(self.folder / "temporary"),
            **self.images.env,
            "PATH": f"{self.tools.folder / 'bin'}{os.pathsep}{BIN}{os.pathsep}{os.environ['PATH']}",
        }

    @property
    def state(self) -> Any:
        """What is on GitHub beside the repository: pulls, comments, issues."""
        path = self.folder / "github.json"
        return json.loads(path.read_text()) if path.exists() else {"pulls": [], "comments": [], "issues": []}

    def git(self, *args: str) -> str:
        return run("git", *args, cwd=self.work, env=self.env).stdout.strip()

    def push(self) -> str:
        """Push main and return the commit."""
        self.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
        return self.git("rev-parse", "HEAD")

    def pull(self) -> None:
        """Bring the clone to what is on main."""
        self.git("fetch", "--quiet", "origin")
        self.git("checkout", "--quiet", "-B", "main", "FETCH_HEAD")
        self.git("reset", "--quiet", "--hard", "origin/main")

    def registry(self) -> Any:
        """Return the registry of main."""
        self.pull()
        return json.loads(run(self.work / "scripts/registry", "--json", cwd=self.work, env=self.env).stdout)

    def subjects(self) -> list[str]:
        """Return the subjects of main's commits, newest first, without the one that created it."""
        self.pull()
        return self.git("log", "--format=%s").splitlines()[:-1]

    def pull_request(self, workflow: str, *, fork: bool = False) -> Run:
        """Run a workflow for a pull request with the clone's last commit, as it would be merged into main."""
        head = self.git("rev-parse", "HEAD")
        base = self.git("rev-parse", "origin/main")
        tree = self.git("rev-parse", f"{head}^{{tree}}")
        merge = self.git("commit-tree", tree, "-p", base, "-p", head, "-m", "Merge a pull request")
        self.git("push", "--quiet", "--force", "origin", f"{merge}:refs/pull/1/merge")
        self.git("checkout", "--quiet", "--detach", merge)
        event = {
            "pull_request": {
                "number": 1,
                "base": {"sha": base, "ref": "main"},
                "head": {"sha": head, "repo": {"full_name": "somebody/cd-repo" if fork else "acme/cd-repo"}},
            }
        }
        return self.act("pull_request", workflow, event)

    def act(self, name: str, workflow: str, event: Mapping[str, Any], **env: str) -> Run:
        """Run a workflow of the commit that the clone has checked out."""
        path = self.folder / "event.json"
        path.write_text(json.dumps(event))
        (self.folder / "temporary").mkdir(exist_ok=True)
        text = "".join(file.read_text() for file in (self.work / ".github/workflows").glob("*.yml"))
        pins = sorted(set(re.findall(r"uses: ([\w-]+/[\w-]+)\S*@([0-9a-f]{40})", text)))
        replace = [f"--local-repository={action}@{commit}={STAND_INS[action]}" for action, commit in pins]
        result = run(
            *(tool("act"), name, "--workflows", f".github/workflows/{workflow}", "--eventpath", path),
            *("--platform=ubuntu-24.04=-self-hosted", "--use-new-action-cache", *replace),
            *(f"--secret={name}=value-of-{name}" for name in self.secrets),
            *(f"--var={name}={value}" for name, value in self.variables.items()),
            *("--action-cache-path", self.folder / "cache"),
            *("--artifact-server-addr", "127.0.0.1", "--cache-server-addr", "127.0.0.1"),
            *(f"--env={key}={value}" for key, value in {**self.env, **env}.items()),
            cwd=self.work,
            env={**self.env, "XDG_CACHE_HOME": str(self.folder / "xdg"), "XDG_CONFIG_HOME": str(self.folder / "xdg")},
            check=False,
        )
        return Run(result.returncode, result.stdout + result.stderr)
