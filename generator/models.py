"""The spec: types, defaults, descriptions, and bounds, said once.

JSON Schema, documentation, and error messages come from these models. What one value says of another
is checked in `generator.checks`; defaults that depend on other values are filled in by `generator.resolve`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic.alias_generators import to_camel

from generator import names

API_VERSION = "triptych/v1"


class Model(BaseModel):
    """Base of all parts of the spec: camelCase keys, nothing unknown, no silent conversion."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )


def _number_as_text(value: Any) -> Any:
    """Take `cpu: 1` as "1": Kubernetes' users write quantities with and without quotes."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Label = Annotated[str, Field(pattern=names.LABEL, max_length=names.MAX_LABEL)]
Text = Annotated[str, Field(pattern=names.TEXT, max_length=names.MAX_TEXT)]
Host = Annotated[str, Field(pattern=names.HOST, max_length=names.MAX_HOST)]
Repository = Annotated[str, Field(pattern=names.REPOSITORY, max_length=names.MAX_REPOSITORY)]
Port = Annotated[int, Field(ge=1024, le=65535)]
Cpu = Annotated[
    str,
    BeforeValidator(_number_as_text, json_schema_input_type=str | int | float),
    Field(pattern=names.CPU, max_length=12, examples=["500m", "1"]),
]
Memory = Annotated[
    str,
    BeforeValidator(_number_as_text, json_schema_input_type=str | int),
    Field(pattern=names.MEMORY, max_length=16, examples=["256Mi", "1Gi"]),
]
Setting = Annotated[
    str,
    BeforeValidator(_number_as_text, json_schema_input_type=str | int | float),
    Field(pattern=names.TEXT, max_length=4000),
]
Config = dict[Annotated[str, Field(pattern=names.VARIABLE, max_length=100)], Setting]
# The tags stand in the places of errors, where `generator.spec` takes them out.
SwitchOrAddress = Annotated[
    Annotated[bool, Tag("[switch]")]
    | Annotated[
        str, Field(pattern=names.ADDRESS, max_length=200, examples=["https://grafana.acme.example"]), Tag("[address]")
    ],
    Discriminator(lambda value: "[address]" if isinstance(value, str) else "[switch]"),
]
Annotations = dict[
    Annotated[str, Field(pattern=names.ANNOTATION, max_length=200)],
    Annotated[str, Field(pattern=names.TEXT, max_length=500)],
]
NodeMarks = dict[
    Annotated[str, Field(pattern=names.ANNOTATION, max_length=200)],
    Annotated[str, Field(pattern=names.LABEL_VALUE, max_length=names.MAX_LABEL)],
]
RunnerLabel = Annotated[str, Field(pattern=names.RUNNER_LABEL, max_length=100)]
Argument = Annotated[str, Field(pattern=names.TEXT, max_length=1000)]
Rollout = Literal["rolling", "canary", "blueGreen"]
Deploy = Literal["automatic", "pull-request", "approval"]
Language = Literal["python", "go", "node", "java", "other"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class GitHub(Model):
    """Where the three repositories live."""

    organization: Annotated[
        str, Field(pattern=names.ORGANIZATION, max_length=names.MAX_ORGANIZATION, examples=["acme"])
    ]
    """The GitHub organization that owns the repositories."""
    app_repo: Repository = "app-repo"
    """Name of the repository with the application code."""
    ci_repo: Repository = "ci-repo"
    """Name of the repository with the build automation."""
    cd_repo: Repository = "cd-repo"
    """Name of the repository with the deployment state."""


class RunnerLabels(Model):
    """Where jobs of a class run that are to run elsewhere than the others."""

    test: RunnerLabel | None = None
    """Jobs that test what is changed: services, charts, manifests. Default: `label`."""
    build: RunnerLabel | None = None
    """Jobs that build and scan images, or run all services at once. Default: `label`."""
    sign: RunnerLabel | None = None
    """Jobs that sign; no team's code runs there. Default: `label`."""
    deploy: RunnerLabel | None = None
    """Jobs that write cd-repo's registry, or speak to clusters. Default: `label`."""


class Runners(Model):
    """Where pipelines run."""

    kind: Literal["github-hosted", "self-hosted"] = "github-hosted"
    """GitHub's own machines, or an actions-runner-controller scale set of yours, whose runners take one job each."""
    label: RunnerLabel | None = None
    """Label of `runs-on`. Default: ubuntu-24.04, or `<platform>-runners` for self-hosted runners."""
    labels: Annotated[RunnerLabels, Field(examples=[{"build": "acme-large", "sign": "ubuntu-24.04"}])] = RunnerLabels()
    """Labels of classes of jobs that run elsewhere than the others. `scripts/install-runners.sh` of ci-repo installs
    a scale set for each that is not GitHub's (`ubuntu-…`) where `kind` is self-hosted."""
    record_egress: bool = False
    """Record which addresses each job speaks to, by StepSecurity's harden-runner, which blocks nothing. It shows them
    on its own pages, so it tells StepSecurity of them; GitHub's machines only."""
    max_parallel: Annotated[int, Field(ge=1, le=256)] = 16
    """How many services are built or tested at the same time. GitHub runs 20 jobs of an organization at once on its
    Free plan, 60 on Team, 500 on Enterprise; the default leaves some to others."""


class RegistryLogin(Model):
    """As whom pipelines log in to a registry of a cloud, by GitHub's OIDC token; no password is kept anywhere."""

    identity: Annotated[
        str,
        Field(
            pattern=names.CLOUD_IDENTITY,
            max_length=200,
            examples=["arn:aws:iam::123456789012:role/images", "images@acme.iam.gserviceaccount.com"],
        ),
    ]
    """Who may push: ARN of an IAM role, address of a service account, or id of an application (client) on Azure."""
    reader: Annotated[str, Field(pattern=names.CLOUD_IDENTITY, max_length=200)] | None = None
    """Who may only pull: jobs that push nothing use it, those of cd-repo among them. Default: `identity`."""
    provider: Annotated[str, Field(pattern=names.CLOUD_PROVIDER, max_length=300)] | None = None
    """Where the identity is: on Google Cloud the workload identity provider,
    `projects/<number>/locations/global/workloadIdentityPools/<pool>/providers/<name>`; on Azure the id of the tenant.
    AWS needs none."""


class Platform(Model):
    """The platform as a whole."""

    name: Annotated[Label, Field(examples=["acme"])]
    """Short name; the namespaces are called `<name>-<environment>`."""
    github: GitHub
    """Where the three repositories live."""
    description: Text = ""
    """One line for people."""
    domain: Annotated[Host, Field(examples=["acme.example"])] | None = None
    """DNS domain of the platform; needed when a service has a route without a host of its own."""
    image_registry: (
        Annotated[str, Field(pattern=names.IMAGE_REGISTRY, max_length=200, examples=["ghcr.io/acme"])] | None
    ) = None
    """Where images are pushed: `<imageRegistry>/<service>`. Default: ghcr.io/<organization>, with the job's own token.

    ECR, Artifact Registry and ACR let pipelines in by GitHub's OIDC token where `registryLogin` says as whom. Any
    other, and these without it, take an account from Vault (`features.vault.pipeline`) or the settings of ci-repo; its
    README says what that is for each.
    """
    registry_login: RegistryLogin | None = None
    """As whom pipelines log in to ECR, Artifact Registry or ACR, by GitHub's OIDC token. Default: an account."""
    image_platforms: Annotated[
        list[Literal["linux/amd64", "linux/arm64"]],
        Field(min_length=1, max_length=2, examples=[["linux/amd64", "linux/arm64"]]),
    ] = ["linux/amd64"]
    """Which machines images are built for. With both, each image is an index of two, and the one that is not the
    runner's is built under emulation."""
    secret_max_age_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """After how many days a secret that lives long is to be replaced; ci-repo looks every day, and an issue names those
    that are late."""
    runners: Runners = Runners()
    """Where pipelines run."""
    team: Label | None = None
    """The team that owns what belongs to no service. Default: the team called `platform`, if there is one."""


class Scanning(Model):
    """Scanners of the pipeline; each is a gate that fails closed."""

    trivy: bool = True
    """Scan images and code with Trivy: vulnerabilities, secrets, configuration, forbidden licences."""
    code_scanning: bool = False
    """Show what Trivy finds in the code scanning of ci-repo; a private repository needs GitHub Advanced Security."""
    snyk: bool = False
    """Scan dependencies with Snyk; needs an account."""
    sonarqube: bool = False
    """Check code quality with SonarQube; needs a server."""


class Signing(Model):
    """Who signs images."""

    key: Annotated[str, Field(pattern=names.SIGNING_KEY, max_length=300, examples=["awskms:///alias/acme"])] | None = (
        None
    )
    """A key of AWS, Azure, Google Cloud or Vault (transit), as Cosign names it, that signs instead of GitHub's identity
    of the workflow. Needs `publicKey`."""
    public_key: Annotated[str, Field(pattern=names.PUBLIC_KEY, max_length=2000)] | None = None
    """The public part of `key`, as `cosign public-key --key <key>` prints it: what images are verified by, here and in
    the clusters."""


class Karpenter(Model):
    """What Karpenter must know of an EKS cluster."""

    cluster: Annotated[str, Field(pattern=names.EKS_CLUSTER, max_length=100, examples=["acme-dev"])]
    """The cluster's name on EKS; subnets and security groups of nodes have it as the tag `karpenter.sh/discovery`."""
    role: Annotated[str, Field(pattern=names.IAM_ROLE, max_length=64, examples=["KarpenterNodeRole-acme-dev"])]
    """The IAM role of the nodes."""
    queue: Annotated[str, Field(pattern=names.EKS_CLUSTER, max_length=80, examples=["acme-dev"])] | None = None
    """The SQS queue that tells of interruptions. Default: the name of the cluster."""
    identity: Annotations = {}
    """Annotations by which AWS lets Karpenter's service account make nodes, such as `eks.amazonaws.com/role-arn`.
    Default: none, as for EKS Pod Identity."""


class SpotNodes(Model):
    """How spot nodes are known."""

    provider: Literal["any", "aws", "gcp", "azure", "other"] = "any"
    """Whose labels and taints they have: those of EKS and Karpenter, GKE, AKS, of all of them, or none of these."""
    labels: Annotated[NodeMarks, Field(examples=[{"pool": "cheap"}])] = {}
    """Labels that they have besides. `other` needs one."""
    taints: Annotated[NodeMarks, Field(examples=[{"dedicated": "cheap"}])] = {}
    """Taints that they have besides, of the effect NoSchedule."""


class Scaling(Model):
    """What sizes services, besides the number of their pods."""

    vertical_pod_autoscaler: bool = True
    """Recommend requests by the Vertical Pod Autoscaler, which changes nothing by itself."""
    karpenter: Annotated[
        dict[Label, Karpenter], Field(examples=[{"dev": {"cluster": "acme-dev", "role": "KarpenterNodeRole-acme-dev"}}])
    ] = {}
    """Clusters on AWS, by their label, that get nodes from Karpenter: spot nodes for environments with `spot`, and
    others. Elsewhere nodes are yours to bring."""
    keda: bool = True
    """Install KEDA in each cluster where a service has `autoscaling.triggers`; switch it off where clusters have it
    already."""
    metrics_server: bool = False
    """Install metrics-server in each cluster, which autoscaling needs. GKE and AKS have it, and EKS as an add-on: two
    would be in each other's way."""
    spot_nodes: SpotNodes = SpotNodes()
    """How services know spot nodes: they prefer their labels and tolerate their taints in environments with `spot`."""


class LogStorage(Model):
    """Where logs are kept."""

    bucket: Annotated[str, Field(pattern=names.LOG_BUCKET, max_length=100, examples=["s3://acme-logs"])] | None = None
    """Object storage: each cluster writes to a bucket of its own, called `<bucket>-<cluster>`. Default: a volume."""
    region: Annotated[str, Field(pattern=names.LABEL, max_length=names.MAX_LABEL, examples=["eu-central-1"])] | None = (
        None
    )
    """Region of an S3 bucket. Default: the one that the cloud tells pods by AWS_REGION."""
    identity: Annotations = {}
    """Annotations by which the cloud lets Loki's service account write there, such as `eks.amazonaws.com/role-arn`.
    Default: none, as for EKS Pod Identity."""


class Observability(Model):
    """How services are watched."""

    metrics: bool = True
    """Install Prometheus and Alertmanager in each cluster, let them scrape the services, and alert."""
    logs: bool = True
    """Keep the logs of every pod in Loki, which Alloy brings there."""
    log_storage: LogStorage = LogStorage()
    """Where logs are kept."""
    traces: bool = True
    """Let services send their spans to collectors of OpenTelemetry, and keep traces in Jaeger."""
    grafana: SwitchOrAddress = True
    """Install Grafana in each cluster, with data sources and dashboards. Or the address of one that you have, in which
    deployments are annotations; its token is in Vault at `argocd/notifications#grafana-token`."""
    delivery: bool = False
    """With `metrics`: tell the Prometheus beside Argo CD how well the pipeline and delivery work, DORA's four among it.
    For private repositories, a token that may read them is in Vault at `delivery/github#token`."""


class CertManager(Model):
    """Who certifies the hosts that the Gateway answers to."""

    enabled: bool = True
    """Install cert-manager in each cluster, and let it get and renew a certificate for each host; without it, the
    certificates are yours to bring."""
    issuer: Annotated[str, Field(pattern=names.LABEL, max_length=names.MAX_LABEL, examples=["letsencrypt"])] = (
        names.LETS_ENCRYPT
    )
    """The ClusterIssuer: `letsencrypt`, which asks over HTTP at each host; `self-signed`, an authority of each
    cluster's own; or one that you make in the clusters. Default: `letsencrypt`."""
    email: Annotated[str, Field(pattern=names.EMAIL, max_length=254, examples=["platform@acme.example"])] | None = None
    """Whom Let's Encrypt writes to. Default: nobody, for it needs no account."""


class Notifications(Model):
    """Who is told of deployments, failed syncs, and services that are unwell; tokens are in Vault."""

    slack: bool = False
    """Tell the owning team in its Slack channel; needs a Slack app, its token at `argocd/notifications#slack-token`."""
    webhook: bool = False
    """Post it as JSON to an address of yours, which is at `argocd/notifications#webhook-url`."""


class Backup(Model):
    """Where databases and clusters are backed up to."""

    destination: (
        Annotated[str, Field(pattern=names.BACKUP, max_length=200, examples=["s3://acme-backups/postgres"])] | None
    ) = None
    """A bucket and a path; each environment gets a folder there, and each cluster one below `velero`. Default: no
    backups, and `triptych` says so."""
    endpoint: (
        Annotated[str, Field(pattern=names.ENDPOINT, max_length=200, examples=["https://s3.acme.example"])] | None
    ) = None
    """Address of a store that speaks S3 and is not Amazon's, such as MinIO or Ceph; the bucket is in `destination`. Its
    key is in Vault at `backup/s3#access-key-id` and `#secret-access-key`. Default: Amazon's."""
    clusters: bool = True
    """Where there is a destination: install Velero in each cluster, which backs up its objects and volumes every day,
    and proves every week that they come back."""
    region: Annotated[str, Field(pattern=names.LABEL, max_length=names.MAX_LABEL, examples=["eu-central-1"])] | None = (
        None
    )
    """Region of an S3 bucket. Default: S3 is asked for it; us-east-1 where there is an `endpoint`."""
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """How long backups are kept: any moment of this time can be restored. Those of clusters that do not run the last
    environment are kept for 7 days at most."""
    identity: Annotations = {}
    """Annotations by which the cloud lets the service accounts of databases and of Velero write there, such as
    `eks.amazonaws.com/role-arn`. Default: none, as for EKS Pod Identity."""


class AwsSeal(Model):
    """A key of AWS KMS."""

    region: Label
    """Its region."""
    key: Annotated[str, Field(pattern=names.SEAL_KEY, max_length=200, examples=["alias/vault"])]
    """Its id, alias or ARN."""


class GoogleSeal(Model):
    """A key of Google Cloud KMS."""

    project: Annotated[str, Field(pattern=names.LABEL, max_length=names.MAX_LABEL, examples=["acme-secrets"])]
    """Its project."""
    region: Label
    """Its location."""
    key_ring: Annotated[str, Field(pattern=names.SEAL_KEY, max_length=63, examples=["vault"])]
    """Its key ring."""
    key: Annotated[str, Field(pattern=names.SEAL_KEY, max_length=63, examples=["unseal"])]
    """Its name."""


class AzureSeal(Model):
    """A key of Azure Key Vault."""

    tenant: Annotated[str, Field(pattern=names.UUID, examples=["11111111-2222-3333-4444-555555555555"])]
    """The id of the tenant."""
    vault: Annotated[str, Field(pattern=names.SEAL_KEY, max_length=24, examples=["acme-secrets"])]
    """The key vault."""
    key: Annotated[str, Field(pattern=names.SEAL_KEY, max_length=127, examples=["unseal"])]
    """The key's name."""


class TransitSeal(Model):
    """A key of another Vault; its token is in the Secret `vault-seal` as `token`."""

    address: Annotated[str, Field(pattern=names.VAULT_ADDRESS, max_length=200, examples=["https://root.acme.example"])]
    """Where that Vault is."""
    mount: Annotated[str, Field(pattern=names.SEAL_KEY, max_length=63)] = "transit"
    """Where its transit engine is mounted."""
    key: Annotated[str, Field(pattern=names.SEAL_KEY, max_length=63, examples=["unseal"])]
    """The key's name."""


class VaultServer(Model):
    """A Vault of the platform's own. Exactly one of the four keys unseals it."""

    awskms: AwsSeal | None = None
    """A key of AWS KMS."""
    gcpckms: GoogleSeal | None = None
    """A key of Google Cloud KMS."""
    azurekeyvault: AzureSeal | None = None
    """A key of Azure Key Vault."""
    transit: TransitSeal | None = None
    """A key of another Vault."""
    storage: Memory = "10Gi"
    """Size of the volume of each of the three servers."""
    identity: Annotations = {}
    """Annotations by which the cloud lets Vault's service account use the key, such as `eks.amazonaws.com/role-arn`.
    Default: none, as for EKS Pod Identity."""


class Vault(Model):
    """Where Vault is; without an address, each cluster has a ClusterSecretStore `vault` that you make."""

    address: (
        Annotated[str, Field(pattern=names.VAULT_ADDRESS, max_length=200, examples=["https://vault.acme.example:8200"])]
        | None
    ) = None
    """The Vault that all clusters read. Each service then gets a store and a role of its own, which reads the paths of
    its secrets in the environment and nothing else; `scripts/vault-configure` of cd-repo sets Vault up for it."""
    ca: Annotated[str, Field(pattern=names.CERTIFICATES, max_length=20_000)] | None = None
    """The authority that certifies the address, in PEM. Default: the public ones."""
    install: VaultServer | None = None
    """Install Vault in the cluster of Argo CD: three servers, storage by Raft. Other clusters reach it by `address`,
    which must lead there; without other clusters, the default is its Service."""
    pipeline: bool = False
    """Let pipelines read their secrets here too, by GitHub's OIDC token, instead of keeping them in GitHub. Runners
    must reach the address; ci-repo's README says what goes where."""
    hub: Label | None = None
    """Label of the cluster of Argo CD, which alone reads what Argo CD needs. Default: that of the first
    environment."""


class Features(Model):
    """Switches of the platform's parts."""

    scanning: Scanning = Scanning()
    """Scanners of the pipeline."""
    signing: Signing = Signing()
    """Who signs images. Default: the pipeline by its identity on GitHub, without a key."""
    gateway: bool = True
    """Install Envoy Gateway and a Gateway in each cluster; switch it off where clusters have a Gateway already."""
    cert_manager: CertManager = CertManager()
    """Who certifies the hosts that the Gateway answers to."""
    external_secrets: bool = True
    """Install External Secrets in each cluster; switch it off where clusters have it already."""
    vault: Vault = Vault()
    """Where Vault is."""
    rollouts: bool = True
    """Install Argo Rollouts in each cluster; switch it off where clusters have it already."""
    postgres_operator: bool = True
    """Install CloudNativePG in each cluster where a service uses postgres; switch it off where clusters have it already
    in the namespace `cnpg-system`."""
    policies: bool = True
    """Install Kyverno in each cluster; it lets into the environments only what is signed, trusted, and bounded."""
    chaos: bool = True
    """Install Chaos Mesh where services agree to experiments: in clusters that the last environment does not share."""
    notifications: Notifications = Notifications()
    """Who is told of deployments, failed syncs, services that are unwell, and alerts."""
    previews: bool = False
    """Run what a pull request changes in a namespace of its own, while it is open and has the label `preview`."""
    sso: bool = True
    """Let people log in to Argo CD and Grafana with their GitHub account, where `platform.domain` gives an address."""
    scaling: Scaling = Scaling()
    """What sizes services, besides the number of their pods."""
    backup: Backup = Backup()
    """Where databases and clusters are backed up to."""
    observability: Observability = Observability()
    """How services are watched."""


class Team(Model):
    """A team that owns services or approves deployments."""

    name: Annotated[Label, Field(examples=["payments"])]
    """Name that services and environments refer to."""
    github: Annotated[str, Field(pattern=names.GITHUB_TEAM, max_length=200, examples=["@acme/payments"])] | None = None
    """The team's handle on GitHub. Default: `@<organization>/<name>`."""
    sso_group: Annotated[str, Field(pattern=names.GROUP, max_length=200, examples=["acme:payments"])] | None = None
    """The team's group in single sign-on. Default: as GitHub has it, `<organization>:<team>`."""
    slack: Annotated[str, Field(pattern=names.CHANNEL, max_length=80, examples=["payments-deploys"])] | None = None
    """The team's channel in Slack, without `#`. Default: the team's name."""


class PrometheusTrigger(Model):
    """A pod for each `threshold` of what a query finds."""

    query: Annotated[
        str,
        Field(
            pattern=names.TEXT, min_length=1, max_length=1000, examples=['sum(queue_length{namespace="$namespace"})']
        ),
    ]
    """PromQL that gives one number; `$namespace` stands for the namespace of the environment."""
    threshold: Annotated[float, Field(gt=0, examples=[100])]
    """What one pod is enough for."""
    server: Annotated[str, Field(pattern=names.ADDRESS, max_length=200)] | None = None
    """Address of a Prometheus. Default: the one of the cluster."""


class CronTrigger(Model):
    """At least so many pods from one time to another."""

    start: Annotated[str, Field(pattern=names.CRON, max_length=100, examples=["0 8 * * 1-5"])]
    """When they come: minute, hour, day of the month, month, and day of the week."""
    end: Annotated[str, Field(pattern=names.CRON, max_length=100, examples=["0 18 * * 1-5"])]
    """When they may go."""
    timezone: Annotated[str, Field(pattern=names.TIMEZONE, max_length=60, examples=["Europe/Berlin"])] = "UTC"
    """Where the clock hangs."""
    pods: Annotated[int, Field(ge=1, le=1000)]
    """How many there are, of `max` at most."""


class Trigger(Model):
    """Something that tells of the load; one of its kinds."""

    prometheus: PrometheusTrigger | None = None
    """A pod for each `threshold` of what a query finds."""
    cron: CronTrigger | None = None
    """At least so many pods from one time to another."""


class Autoscaling(Model):
    """Horizontal autoscaling, by CPU and by what else tells of the load."""

    min: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Least number of pods. Default: 2."""
    max: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Greatest number of pods. Default: 10."""
    cpu: Annotated[int, Field(ge=1, le=100)] | None = None
    """Target of CPU use, in percent of the request. Default: 70."""
    triggers: Annotated[list[Trigger], Field(max_length=10)] | None = None
    """What else tells of the load, by KEDA: each asks for pods, as the use of CPU does, and the most are made. Without
    effect where `min` and `max` are the same. Default: nothing."""


class ResourceAmounts(Model):
    """CPU and memory of one pod."""

    cpu: Cpu | None = None
    """Cores."""
    memory: Memory | None = None
    """Bytes."""


class Resources(Model):
    """What a pod asks for and may use."""

    requests: ResourceAmounts = ResourceAmounts()
    """What the scheduler sets aside. Default: cpu 100m, memory 128Mi, or the limit where that is less."""
    limits: ResourceAmounts = ResourceAmounts()
    """What a pod may use at most. Default: cpu 500m, memory 256Mi."""


class Objectives(Model):
    """What a service is held to; an alert says when it is missed."""

    error_percent: Annotated[float, Field(gt=0, lt=100)] | None = None
    """Greatest share of requests that fail, in percent. Default: 5."""
    latency_milliseconds: Annotated[int, Field(ge=1, le=600_000)] | None = None
    """Time within which 95 of 100 requests are answered. Default: 500."""


class Postgres(Model):
    """A database of the service's own."""

    instances: Annotated[int, Field(ge=1, le=9)] | None = None
    """Number of instances, of which one is written. Default: 3 in the last environment, elsewhere 1."""
    storage: (
        Annotated[
            str,
            BeforeValidator(_number_as_text, json_schema_input_type=str | int),
            Field(pattern=names.MEMORY, max_length=16, examples=["10Gi"]),
        ]
        | None
    ) = None
    """Size of the volume of each instance; it can only grow. Default: 10Gi."""
    resources: Resources = Resources()
    """What an instance asks for and may use. Default: requests of cpu 100m and memory 512Mi, limits of 1 and 1Gi."""


class Redis(Model):
    """A cache of the service's own."""

    memory: Memory | None = None
    """What it may use; three quarters hold data. Default: 128Mi."""


class Chart(Model):
    """Which version of the library chart the objects of a service are made with."""

    base: (
        Annotated[str, Field(pattern=names.LIBRARY_VERSION, max_length=names.MAX_LABEL, examples=["1.2.0"])] | None
    ) = None
    """The version to stay on, one that cd-repo has or had; `latest` follows ci-repo. Default: `latest`."""


class Defaults(Model):
    """Values of every service that says nothing else."""

    port: Port = 8080
    """Port on which services listen."""
    autoscaling: Autoscaling = Autoscaling()
    """Horizontal autoscaling."""
    resources: Resources = Resources()
    """What a pod asks for and may use."""
    objectives: Objectives = Objectives()
    """What services are held to."""
    postgres: Postgres = Postgres()
    """Databases of services that use one."""
    redis: Redis = Redis()
    """Caches of services that use one."""
    rollout: Rollout = "rolling"
    """How a new version replaces the old one."""
    chart: Chart = Chart()
    """Which version of the library chart services stay on."""
    secret_refresh: Annotated[str, Field(pattern=names.DURATION, examples=["15m", "1h"])] = "1h"  # noqa: S105 (how often)
    """How often secrets are read from Vault; pods see a new one when they start."""


class Window(Model):
    """A time of the week in which versions may reach an environment."""

    days: Annotated[list[Day], Field(min_length=1)] = ["mon", "tue", "wed", "thu", "fri"]
    """Days of the week. Default: Monday to Friday."""
    from_: Annotated[str, Field(alias="from", pattern=names.CLOCK, examples=["09:00"])]
    """When it opens."""
    to: Annotated[str, Field(pattern=names.CLOCK, examples=["17:00"])]
    """When it closes, later on the same day; 24:00 is the end of the day."""
    timezone: Annotated[str, Field(pattern=names.TIMEZONE, max_length=60, examples=["Europe/Berlin"])] = "UTC"
    """Where the clock hangs."""


class Environment(Model):
    """A place where services run; the list is in promotion order."""

    name: Annotated[Label, Field(examples=["dev"])]
    """Name of the environment, of its folder, and of its part of the registry."""
    branch: Annotated[str, Field(pattern=names.BRANCH, max_length=200, examples=["develop"])] | None = None
    """Branch of app-repo. Default: `main` for the last, `develop` for the first of several, else the name."""
    cluster: Label | None = None
    """Value of the cluster label that Argo CD selects by. Default: the environment's name."""
    deploy: Deploy | None = None
    """How a version gets here. Default: automatic for the first, approval for the last, else pull-request."""
    spot: bool | None = None
    """Whether pods may run on spot nodes. Default: everywhere but in the last environment."""
    approvers: list[Label] = []
    """Teams whose approval a deployment with `deploy: approval` needs. Default for such: the platform's team."""
    soak: Annotated[str, Field(pattern=names.DURATION, examples=["30m", "24h"])] | None = None
    """How long a version must have run here before it is promoted to the next environment. Default: not at all."""
    windows: list[Window] = []
    """When versions may reach this environment; rolling back and pinning is always possible. Default: at any time."""
    rollback_on_failure: bool = True
    """Whether a release is taken back by itself when its smoke test fails here."""


class Uses(Model):
    """Backing services."""

    redis: bool = False
    """A cache of the service's own; its address is in REDIS_URL."""
    postgres: bool = False
    """A PostgreSQL database of the service's own; its address, with the password, is in DATABASE_URL."""


class Route(Model):
    """How the world reaches a service."""

    host: Annotated[Host, Field(examples=["orders.acme.example"])] | None = None
    """Host in the last environment; elsewhere the environment's name stands before the platform's domain.
    Default: `<service>.<domain>`."""
    path: Annotated[str, Field(pattern=names.URL_PATH, max_length=200)] = "/"
    """Prefix of the paths that go to the service."""


class Secret(Model):
    """A secret that a service reads as an environment variable."""

    name: Annotated[str, Field(pattern=names.VARIABLE, max_length=100, examples=["DB_PASSWORD"])]
    """The environment variable."""
    vault: Annotated[str, Field(pattern=names.VAULT, max_length=200, examples=["orders/db#password"])]
    """Path and property in Vault's key-value store."""


class Job(Model):
    """What a service's image does by the clock."""

    name: Annotated[Label, Field(examples=["cleanup"])]
    """Name of the job; its CronJob is called `<service>-<name>`."""
    schedule: Annotated[str, Field(pattern=names.SCHEDULE, max_length=100, examples=["30 3 * * *", "@daily"])]
    """When it runs: minute, hour, day of the month, month, and day of the week."""
    timezone: Annotated[str, Field(pattern=names.TIMEZONE, max_length=60, examples=["Europe/Berlin"])] = "UTC"
    """Where the clock hangs."""
    command: list[Argument] = []
    """The program. Default: the image's own."""
    args: list[Argument] = []
    """What the program is told. Either this or `command` is needed."""
    concurrency: Literal["Forbid", "Allow", "Replace"] = "Forbid"
    """What becomes of a run that is due while the last one goes on: it is left out, runs beside it, or replaces it."""
    deadline_seconds: Annotated[int, Field(ge=1, le=604_800)] = 3600
    """When a run is given up, in seconds."""
    start_within_seconds: Annotated[int, Field(ge=10, le=86_400)] = 300
    """How late a run may begin, in seconds; later it is left out."""
    retries: Annotated[int, Field(ge=0, le=20)] = 2
    """How often a run that fails is tried again."""
    resources: Resources = Resources()
    """What a run asks for and may use. Default: the service's `resources`."""


class ServiceOverride(Model):
    """What one service does otherwise in one environment."""

    autoscaling: Autoscaling = Autoscaling()
    """Horizontal autoscaling."""
    resources: Resources = Resources()
    """What a pod asks for and may use."""
    objectives: Objectives = Objectives()
    """What the service is held to."""
    postgres: Postgres = Postgres()
    """The service's database."""
    redis: Redis = Redis()
    """The service's cache."""
    rollout: Rollout | None = None
    """How a new version replaces the old one."""
    route: Route | None = None
    """How the world reaches the service here; a host is taken as it is."""
    config: Config = {}
    """Settings that differ here."""


class Service(Model):
    """A service: one folder in app-repo, one pipeline in ci-repo, one chart in cd-repo."""

    name: Annotated[Label, Field(examples=["orders"])]
    """Name of the service everywhere."""
    language: Language
    """Language of the service's code."""
    description: Text = ""
    """One line for people."""
    team: Label | None = None
    """The team that owns the service. Default: the platform's team."""
    port: Port | None = None
    """Port on which the service listens. Default: `defaults.port`."""
    depends_on: list[Label] = []
    """Services that this one calls; they may call each other."""
    uses: Uses = Uses()
    """Backing services."""
    route: Route | None = None
    """How the world reaches the service. Default: only other services do."""
    rollout: Rollout | None = None
    """How a new version replaces the old one. Default: `defaults.rollout`."""
    secrets: list[Secret] = []
    """Secrets that the service reads as environment variables."""
    secret_refresh: Annotated[str, Field(pattern=names.DURATION, examples=["15m", "1h"])] | None = None
    """How often the secrets are read from Vault. Default: `defaults.secretRefresh`."""
    config: Annotated[Config, Field(examples=[{"LOG_LEVEL": "debug"}])] = {}
    """Settings that are no secret, which the service reads as environment variables."""
    jobs: list[Job] = []
    """What the service's image does by the clock."""
    chaos: bool = False
    """Whether pods are killed, the network is made slow and lossy, CPU is taken away, and what it calls is cut off,
    once a week in every environment but the last; an experiment ends when the service leaves its `objectives`."""
    autoscaling: Autoscaling = Autoscaling()
    """Horizontal autoscaling. Default: `defaults.autoscaling`."""
    resources: Resources = Resources()
    """What a pod asks for and may use. Default: `defaults.resources`."""
    objectives: Objectives = Objectives()
    """What the service is held to. Default: `defaults.objectives`."""
    postgres: Postgres = Postgres()
    """The service's database, where it uses one. Default: `defaults.postgres`."""
    redis: Redis = Redis()
    """The service's cache, where it uses one. Default: `defaults.redis`."""
    chart: Chart = Chart()
    """Which version of the library chart the service stays on. Default: `defaults.chart`."""
    environments: dict[Label, ServiceOverride] = {}
    """What the service does otherwise in an environment."""


def default_environments() -> list[Environment]:
    """Return dev, staging, prod: what a spec without `environments` means."""
    return [Environment(name="dev"), Environment(name="staging"), Environment(name="prod")]


class Spec(Model):
    """A platform and its services: the one file from which Triptych makes three repositories."""

    api_version: Literal["triptych/v1"]
    """Version of this format."""
    platform: Platform
    """The platform as a whole."""
    environments: Annotated[list[Environment], Field(min_length=1)] = Field(default_factory=default_environments)
    """Environments in promotion order. Default: dev, staging, prod."""
    features: Features = Features()
    """Switches of the platform's parts."""
    teams: list[Team] = []
    """Teams that own services or approve deployments."""
    defaults: Defaults = Defaults()
    """Values of every service that says nothing else."""
    services: Annotated[list[Service], Field(min_length=1)]
    """The services."""
