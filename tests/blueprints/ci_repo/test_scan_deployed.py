"""What runs is scanned again every week: one issue says what the gate would refuse today."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.ci_repo.github import GitHub
from tests.blueprints.ci_repo.toolbox import Toolbox
from tests.tools import ROOT, run

# Copies an image as a layout that says which one it is; of a service called `lost` there is none.
SKOPEO = f"""
if "/lost@" in args[-2]:
    sys.exit(1)
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from tests.blueprints.ci_repo.toolbox import write_layout
write_layout(Path(args[-1].removeprefix("oci:")), args[-2])
"""
# Finds in an image what FOUND, {service: [id]}, says; SARIF has the form that Trivy gives it.
TRIVY = """
option = lambda name: args[args.index(name) + 1]
if args[0] == "convert":
    found = json.load(open(args[-1]))
    text = "Package: openssl\\nInstalled Version: 3.0\\nVulnerability {0}\\nSeverity: {1}\\nFixed Version: 3.1"
    levels = {i: "CRITICAL" if i.endswith("9") else "HIGH" for i in found}
    results = [{"ruleId": i, "message": {"text": text.format(i, levels[i])}} for i in found]
    if "--output" in args:
        json.dump({"runs": [{"results": results}]}, open(option("--output"), "w"))
    sys.exit()
reference = open(option("--input") + "/oci-layout").read()
service = reference.rpartition("/")[2].partition("@")[0]
ignored = open(option("--ignorefile")).read()
found = json.loads(os.environ.get("FOUND", "{}")).get(service, []) if option("--scanners") != "license" else []
found = [one for one in found if one not in ignored]
json.dump(found, open(option("--output"), "w"))
sys.exit(3 if found else 0)
"""
# Keeps issues as GitHub does, in a file.
GH = """
state = os.environ["FAKE_GH_STATE"]
issues = json.load(open(state)) if os.path.exists(state) else []
option = lambda name: args[args.index(name) + 1]
if args[:2] == ["issue", "list"]:
    print(json.dumps([{"number": i["number"], "body": i["body"]} for i in issues if i["open"]]))
elif args[:2] == ["issue", "create"]:
    issues.append({"number": len(issues) + 1, "open": True, "title": option("--title"), "comments": []})
    issues[-1].update(body=sys.stdin.read(), label=option("--label"))
    print("https://github.com/acme/ci-repo/issues/%d" % len(issues))
elif args[:2] == ["issue", "edit"]:
    issues[int(args[2]) - 1].update(title=option("--title"), body=sys.stdin.read())
elif args[:2] == ["issue", "comment"]:
    issues[int(args[2]) - 1]["comments"].append(option("--body"))
elif args[:2] == ["issue", "close"]:
    issues[int(args[2]) - 1].update(open=False)
elif args[:2] != ["label", "create"]:
    sys.exit("gh does not know this here")
json.dump(issues, open(state, "w"))
"""
# Names of images in the registry, and what the last environment runs of them.
DIGESTS = {"orders": "a", "catalog": "b"}


@pytest.fixture
def weekly(scripts: Path, tools: Toolbox, tmp_path: Path) -> "Weekly":
    for name, body in (("skopeo", SKOPEO), ("trivy", TRIVY), ("gh", GH)):
        tools.add(name, body)
    return Weekly(scripts, tools, tmp_path)


class Weekly:
    """The scan of what runs, and the issue that it leaves."""

    def __init__(self, scripts: Path, tools: Toolbox, folder: Path) -> None:
        self.scripts, self.tools, self.folder = scripts, tools, folder
        self.state = folder / "issues.json"
        self.runs = DIGESTS

    def scan(self, found: dict[str, list[str]], *options: str) -> tuple[int, Any]:
        """Scan, and return the exit code and what was written."""
        entry = {name: {"prod": {"digest": f"sha256:{digit * 64}"}} for name, digit in self.runs.items()}
        entry["orders"] = {**entry.get("orders", {}), "dev": {"digest": f"sha256:{'d' * 64}"}}
        deployed, output = self.folder / "deployed.json", self.folder / "findings/1.json"
        deployed.write_text(json.dumps(entry))
        output.parent.mkdir(exist_ok=True)
        done = run(
            self.scripts / "scan-deployed",
            f"--deployed={deployed}",
            f"--output={output}",
            *options,
            env={**self.tools.env, "FOUND": json.dumps(found)},
            check=False,
        )
        return done.returncode, json.loads(output.read_text())

    def report(self, found: dict[str, list[str]], *options: str) -> int:
        """Scan and report, and return the exit code."""
        self.scan(found)
        done = run(
            self.scripts / "report-deployed",
            f"--findings={self.folder / 'findings'}",
            *options,
            env={**self.tools.env, "FAKE_GH_STATE": str(self.state)},
            check=False,
        )
        return done.returncode

    @property
    def issues(self) -> Any:
        return json.loads(self.state.read_text()) if self.state.exists() else []


def test_every_image_of_the_last_environment_is_scanned_by_its_digest(weekly: Weekly) -> None:
    code, written = weekly.scan({"orders": ["CVE-2026-1"]})
    assert code == 0
    assert written["images"] == 2
    (finding,) = written["findings"]
    assert finding == {
        "id": "CVE-2026-1",
        "package": "openssl",
        "severity": "HIGH",
        "repaired": "3.1",
        "service": "orders",
    }
    copied = [call[-2] for call in weekly.tools.calls if call[0] == "skopeo"]
    assert copied == [f"docker://ghcr.io/acme/{name}@sha256:{DIGESTS[name] * 64}" for name in ("catalog", "orders")]


def test_an_exception_holds_for_what_runs_as_well(weekly: Weekly) -> None:
    exceptions = weekly.scripts.parent / "config/vulnerability-exceptions.txt"
    exceptions.write_text("CVE-2026-1 exp:2999-01-01 # not reachable\n")
    assert weekly.scan({"orders": ["CVE-2026-1"]})[1]["findings"] == []


def test_an_image_that_cannot_be_scanned_is_named_and_the_others_are_scanned(weekly: Weekly) -> None:
    weekly.runs = {**DIGESTS, "lost": "c"}
    code, written = weekly.scan({"orders": ["CVE-2026-1"]})
    assert code == 1
    assert written["unscanned"] == ["lost"]
    assert len(written["findings"]) == 1


def test_the_parts_make_the_whole(weekly: Weekly) -> None:
    weekly.runs = {f"service-{number}": "a" for number in range(20)}
    parts = [weekly.scan({}, "--part", str(part), "--parts", "3")[1]["images"] for part in (1, 2, 3)]
    assert sum(parts) == 20
    assert all(parts)


def test_one_issue_follows_what_is_found(weekly: Weekly) -> None:
    assert weekly.report({}) == 0
    assert weekly.issues == [], "nothing is found, nothing is opened"

    weekly.report({"orders": ["CVE-2026-1"], "catalog": ["CVE-2026-1"]})
    (issue,) = weekly.issues
    assert issue["label"] == "deployed-vulnerabilities"
    assert "| `CVE-2026-1 openssl` | HIGH | 3.1 | catalog, orders |" in issue["body"]

    weekly.report({"orders": ["CVE-2026-1"], "catalog": ["CVE-2026-1"]})
    assert weekly.issues[0]["comments"] == [], "what is known already wakes nobody"

    weekly.report({"orders": ["CVE-2026-1", "CVE-2026-9"]})
    (issue,) = weekly.issues
    assert issue["comments"] == ["New: `CVE-2026-9 openssl`"]
    assert issue["title"] == "2 findings in what runs in prod"
    rows = [line for line in issue["body"].splitlines() if line.startswith("| `")]
    assert [row.split("|")[2].strip() for row in rows] == ["CRITICAL", "HIGH"]

    weekly.report({})
    assert weekly.issues[0]["open"] is False


def test_an_issue_is_not_closed_while_something_could_not_be_scanned(weekly: Weekly) -> None:
    weekly.report({"orders": ["CVE-2026-1"]})
    weekly.runs = {**DIGESTS, "lost": "c"}
    assert weekly.report({}) == 1
    assert weekly.issues[0]["open"] is True
    weekly.runs = DIGESTS
    assert weekly.report({}, "--parts", "2") == 1, "the job of a part ended before it wrote anything"
    assert weekly.issues[0]["open"] is True


def test_names_in_an_image_are_text(weekly: Weekly) -> None:
    weekly.report({"orders": ["CVE-2026-1`|\n# @acme/everybody <img src=x>"]})
    (issue,) = weekly.issues
    assert "<img" not in issue["body"]
    assert len([line for line in issue["body"].splitlines() if line.startswith("| `")]) == 1


def test_a_thousand_services_with_the_same_finding_fit_into_an_issue(weekly: Weekly) -> None:
    findings = [
        {"id": f"CVE-2026-{i}", "package": "p" * 60, "severity": "HIGH", "repaired": "1", "service": f"{'s' * 50}-{j}"}
        for i in range(300)
        for j in range(100)
    ]
    folder = weekly.folder / "findings"
    folder.mkdir()
    (folder / "1.json").write_text(json.dumps({"images": 100, "unscanned": [], "findings": findings}))
    shown = run(weekly.scripts / "report-deployed", "--findings", folder, "--dry-run").stdout
    assert len(shown) < 65_536, "GitHub refuses a longer one"
    rows = shown.count("| `CVE-")
    assert f"And {300 - rows} more, in the artifacts" in shown
    assert "and 90 more |" in shown


@pytest.mark.slow
def test_the_workflow_scans_what_the_registry_has_and_opens_the_issue(github: GitHub, tools: Toolbox) -> None:
    github.app_push(github.push())
    tools.add("trivy", TRIVY.replace('open(option("--input") + "/oci-layout").read()', '"/orders@"'), folder="trivy")
    tools.add("gh", GH)
    state = github.folder / "issues.json"
    env = {
        "PATH": tools.env["PATH"],
        "FAKE_GH_STATE": str(state),
        "FOUND": json.dumps({"orders": ["CVE-2026-1"]}),
    }
    # The example's services run in its first environment only, so far.
    scan = github.ci / "scripts/scan-deployed"
    scan.write_text(scan.read_text().replace("or environments[-1]", "or environments[0]"))
    run("git", "commit", "--quiet", "--all", "--message", "Scan dev", cwd=github.ci)
    done = github.act("schedule", "scan-deployed.yml", {}, env)
    assert done.succeeded, done.output
    assert done.jobs == {"Scan", "Report"}
    (issue,) = json.loads(state.read_text())
    assert "| `CVE-2026-1 openssl` | HIGH | 3.1 | catalog, orders |" in issue["body"]
