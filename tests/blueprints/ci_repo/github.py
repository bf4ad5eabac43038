"""GitHub as ci-repo's workflows see it: the three repositories on a server, runners, and an image registry.

act runs the workflows on this machine; git, buildah, skopeo, and the image registry are real. Actions that only GitHub
can run have stand-ins in `actions/`; Cosign, Trivy, and Syft are fakes that the installing steps put on PATH.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.blueprints.ci_repo.machine import commit
from tests.blueprints.ci_repo.test_build_image import point_to
from tests.blueprints.ci_repo.test_gates import TRIVY
from tests.blueprints.ci_repo.toolbox import COSIGN, SYFT, Toolbox
from tests.platform import Platform
from tests.tools import run, tool

ACTIONS = Path(__file__).parent / "actions"
STAND_INS = {
    "actions/checkout": "checkout",
    "actions/create-github-app-token": "create-github-app-token",
    "actions/download-artifact": "download-artifact",
    "actions/setup-python": "nothing",
    "actions/upload-artifact": "upload-artifact",
    "anchore/sbom-action": "install-syft",
    "aquasecurity/trivy-action": "install-trivy",
    "azure/setup-helm": "install-helm",
    "docker/setup-buildx-action": "nothing",
    "sigstore/cosign-installer": "install-cosign",
}
SECRETS = ("GITHUB_TOKEN", "READER_APP_PRIVATE_KEY", "REGISTRAR_APP_PRIVATE_KEY")
VARIABLES = ("READER_APP_CLIENT_ID", "REGISTRAR_APP_CLIENT_ID")
# act's last line of a job: `[orders-2/Shared pipeline/Image] 🏁  Job succeeded`; the first part is the caller's name.
JOB = re.compile(
    r"^\[(?P<caller>[^\]/]+)/(?:(?P<workflow>[^\]/]+)/)?(?P<job>[^\]/]+?)(?:-\d+)? *\] .*Job succeeded", re.MULTILINE
)


@dataclass
class Run:
    """What a workflow run did."""

    succeeded: bool
    output: str

    @property
    def jobs(self) -> set[str]:
        """The jobs that ran to their end, as `<service>/<job>` where they belong to a service."""
        return {
            f"{re.sub(r'-[0-9]+$', '', m['caller'])}/{m['job']}"
            if m["workflow"] in ("Shared pipeline", "Image")
            else m["job"]
            for m in JOB.finditer(self.output)
        }


@dataclass
class GitHub:
    """The three repositories on a server, and the runner of ci-repo's workflows."""

    folder: Path
    source: Path
    ci: Path
    cd: Path
    registry: str
    env: dict[str, str]

    def push(self, branch: str = "develop") -> str:
        """Push to a branch of app-repo and return the commit."""
        bare = self.folder / "acme" / "app-repo"
        run("git", "push", "--quiet", "--force", bare, f"HEAD:refs/heads/{branch}", cwd=self.source)
        return run("git", "rev-parse", "HEAD", cwd=self.source).stdout.strip()

    def app_push(self, sha: str, ref: str = "refs/heads/develop", **env: str) -> Run:
        """Deliver the event that app-repo sends after a push."""
        payload = {"repository": "acme/app-repo", "ref": ref, "sha": sha, "before": "f" * 40, "actor": "octo-cat"}
        event = {"action": "app-push", "client_payload": payload}
        return self.act("repository_dispatch", "app-push.yml", event, env)

    def run_by_hand(self, service: str, *, deploy: bool, branch: str = "main") -> Run:
        # GitHub sends all inputs as text.
        event = {"ref": f"refs/heads/{branch}", "inputs": {"ref": "develop", "deploy": str(deploy).lower()}}
        return self.act("workflow_dispatch", f"{service}-pipeline.yml", event, {})

    def act(self, name: str, workflow: str, event: Any, env: dict[str, str]) -> Run:
        path = self.folder / "event.json"
        path.write_text(json.dumps(event))
        pins = re.findall(r"uses: ([\w-]+/[\w-]+)\S*@([0-9a-f]{40})", "".join(w.read_text() for w in self.workflows))
        replace = [f"--local-repository={a}@{commit}={ACTIONS / STAND_INS[a]}" for a, commit in sorted(set(pins))]
        # GitHub says which workflow runs; act does not.
        env = {**self.env, "GITHUB_WORKFLOW_REF": f"acme/ci-repo/.github/workflows/{workflow}@refs/heads/main", **env}
        result = run(
            *(tool("act"), name, "--workflows", f".github/workflows/{workflow}", "--eventpath", path),
            *("--platform=ubuntu-24.04=-self-hosted", "--use-new-action-cache", *replace),
            *(f"--secret={name}=value-of-{name}" for name in SECRETS),
            *(f"--var={name}=value-of-{name}" for name in VARIABLES),
            *("--action-cache-path", self.folder / "cache"),
            *(f"--env={key}={value}" for key, value in env.items()),
            cwd=self.ci,
            env={"XDG_CACHE_HOME": str(self.folder / "cache"), **self.env},
            check=False,
        )
        return Run(result.returncode == 0, result.stdout + result.stderr)

    @property
    def workflows(self) -> list[Path]:
        return sorted((self.ci / ".github" / "workflows").glob("*.yml"))

    def commits(self) -> list[str]:
        """The subjects of cd-repo's commits, newest first, without the one that created it."""
        return run("git", "log", "--format=%s", "main", cwd=self.cd).stdout.splitlines()[:-1]

    def tags(self, service: str) -> list[str]:
        """Return the tags of a service's image in the registry."""
        image = f"docker://{self.registry}/acme/{service}"
        found = run("skopeo", "list-tags", image, env=self.env, check=False)
        return sorted(json.loads(found.stdout)["Tags"]) if found.returncode == 0 else []

    def digest(self, service: str) -> str:
        """Return the digest that cd-repo's registry has for a service in dev."""
        text = run("git", "show", f"main:registry/releases/dev/{service}.yaml", cwd=self.cd).stdout
        (digest,) = re.findall(r"sha256:[0-9a-f]{64}", text)
        return str(digest)

    @classmethod
    def at(cls, server: Path, platform: Platform, tools: Toolbox, registry: str, env: dict[str, str]) -> "GitHub":
        """Put a platform's repositories on a server; app-repo and ci-repo stay the work trees that are pushed from.

        Args:
            registry: Address of the image registry, which takes the place of the platform's.
            env: The environment in which images are built and pushed.
        """
        point_to(platform.ci, f"{registry}/acme")
        for workflow in (platform.ci / ".github" / "workflows").glob("*.yml"):
            workflow.write_text(workflow.read_text().replace("ghcr.io/acme", f"{registry}/acme"))
        commit(platform.ci, "Use the registry of the test")
        run("git", "remote", "add", "origin", "https://github.com/acme/ci-repo.git", cwd=platform.ci)
        for name, path in (("app-repo", platform.app), ("ci-repo", platform.ci), ("cd-repo", platform.cd)):
            bare = server / "acme" / name
            run("git", "clone", "--quiet", "--bare", path, bare)
            run("git", "config", "uploadpack.allowAnySHA1InWant", "true", cwd=bare)
        (server / "acme" / "cd-repo.git").symlink_to(server / "acme" / "cd-repo")
        config = server / "gitconfig"
        config.write_text(
            f'[url "{server}/"]\n\tinsteadOf = https://github.com/\n'
            "[user]\n\tname = Test\n\temail = test@acme.example\n"
        )
        for name, body in (("cosign", COSIGN), ("trivy", TRIVY), ("syft", SYFT)):
            tools.add(name, body, folder=name)
        (tools.folder / "helm").mkdir()
        (tools.folder / "helm/helm").symlink_to(tool("helm"))
        env = {
            "ARTIFACTS": str(server / "artifacts"),
            "TOOLBOX": str(tools.folder),
            "FAKE_COSIGN_STATE": str(server / "signatures"),
            "GIT_CONFIG_GLOBAL": str(config),
            **env,
        }
        return cls(server, platform.app, platform.ci, server / "acme" / "cd-repo", registry, env)
