"""Types of the llmops API. Written by generate.py from the OpenAPI document: do not edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Literal, TypedDict, Union

if TYPE_CHECKING:
    from typing_extensions import NotRequired


class AbortCause2(TypedDict):
    """A guardrail is broken."""

    guardrail: CanaryGuardrail
    """A guardrail is broken."""


# Why a canary was aborted.
AbortCause = Union[Literal['net_loss'], "AbortCause2", Literal['budget'], Literal['window_over'], Literal['production_changed'], Literal['person']]


class AbortRule(TypedDict):
    """When the candidate is aborted."""

    net_win_upper: NotRequired[float]
    """Once the upper bound of the net win rate is below it."""


class Action3(TypedDict):
    """Expose users at this stage."""

    expose: int
    """Expose users at this stage."""


class Action6(TypedDict):
    """End it, and take back what was exposed."""

    abort: AbortCause
    """End it, and take back what was exposed."""


# What is done.
Action = Union[Literal['hold'], Literal['warn'], "Action3", Literal['ask_approval'], Literal['promote'], "Action6"]


class Adaptive(TypedDict):
    """Top-two Thompson sampling: better variants get more of the traffic while the experiment runs."""

    beta: NotRequired[float]
    """How much of the traffic goes to the variant that is best for sure, between 0.5 and 1 (before the floor); the rest goes to those that may be second."""

    every: NotRequired[str]
    """Least time between two steps."""

    floor: NotRequired[float]
    """The least share of each variant, however bad it looks: what keeps the results precise."""

    min_units: NotRequired[int]
    """Units, all variants together, that must have been observed since the step before."""


class AdaptiveStep(TypedDict):
    """Why shares changed by themselves."""

    chances: List[float]
    """The chance of each variant to be the best on the target metric, in the order of the variants."""

    units: int
    """Units that this rests on."""


class AddNote(TypedDict):
    """Something to remember."""

    text: str
    """What."""


class Agreement(TypedDict):
    """How far judge and people agree. What cannot be computed is absent, and a notice says why."""

    accuracy: NotRequired[Union[Estimate, None]]

    cohen_kappa: NotRequired[Union[Estimate, None]]

    fleiss_kappa: NotRequired[Union[Estimate, None]]

    fleiss_kappa_people: NotRequired[Union[Estimate, None]]

    krippendorff_alpha: NotRequired[Union[Estimate, None]]

    krippendorff_alpha_people: NotRequired[Union[Estimate, None]]

    spearman: NotRequired[Union[Estimate, None]]

    spearman_p: NotRequired[Union[float, None]]
    """p-value of no correlation."""


class Alert(TypedDict):
    """An alert."""

    acked_at: NotRequired[Union[str, None]]
    """When a person acknowledged it."""

    actual_value: NotRequired[Union[float, None]]
    """What was measured."""

    count: int
    """How often it came since it was raised first."""

    created_at: str
    """When it was raised first."""

    fingerprint: ContentHash
    """The same for all alerts of one cause."""

    id: AlertId
    """The id."""

    last_seen_at: str
    """When it came last."""

    message: str
    """What is wrong, in one sentence."""

    metadata: NotRequired[Dict[str, Any]]
    """The evidence: intervals, numbers of observations, the runs compared."""

    metric: NotRequired[Union[str, None]]
    """The number that is wrong: `pass_rate`, a metric, a category."""

    notified_at: NotRequired[Union[str, None]]
    """When channels were last told of it. Null: it was silenced, or another one of the same cause had just been sent."""

    notified_severities: NotRequired[List[Severity]]
    """The severities that channels were told of: those that heard of one of them hear of its end, whatever it is then."""

    resolved_at: NotRequired[Union[str, None]]
    """When it was resolved."""

    severity: Severity
    """How urgent it is."""

    source: str
    """What it is about: `evaluation`, `experiment`, or the word of whoever created it."""

    source_id: NotRequired[Union[str, None]]
    """Which of those: a run, an experiment."""

    threshold: NotRequired[Union[float, None]]
    """The limit that was passed."""

    type: AlertType
    """Why there is an alert."""


# What happened to an alert.
AlertAction = Literal['raised', 'acknowledged', 'resolved']


# An alert.
AlertId = str


class AlertTally(TypedDict):
    """Open alerts by severity."""

    critical: int
    """Critical ones."""

    info: int
    """For information."""

    warning: int
    """Warnings."""


# Why there is an alert.
AlertType = Literal['regression', 'threshold', 'anomaly', 'experiment']


class Allocation(TypedDict):
    """A split and coverage, and since when they hold. The position in [`Experiment::allocations`] is the *epoch*."""

    at: str
    """Since when."""

    coverage: float
    """Share of the units that take part."""

    step: NotRequired[Union[AdaptiveStep, None]]

    weights: List[float]
    """Share of each variant, in the order of the variants; they sum to 1."""


class AllowRule(TypedDict):
    """Requests that are left out unless allowed."""

    redacted: NotRequired[bool]
    """Requests in which the redaction of records would replace something: e-mail addresses, phone numbers, cards, keys."""

    tools: NotRequired[bool]
    """Requests that offer tools, or answers that call one: the candidate's calls are not carried out."""


class AlwaysValid(TypedDict):
    """What is valid at every look."""

    effect: float
    """Treatment − control."""

    estimand: str
    """What is compared."""

    interval: NotRequired[Union[Bounds, None]]

    p_value: float
    """p-value; 1 while there are too few units to decide anything."""

    test: str
    """Its name."""


class AnalysisPlan(TypedDict):
    """How the results are judged. Declared at the start, because a rule chosen after a look at the data is none."""

    alpha: NotRequired[float]
    """The chance of a false conclusion that is accepted."""

    basis: NotRequired[Basis]
    """What a conclusion rests on."""

    correction: NotRequired[Correction]
    """How many comparisons are corrected for."""

    counts_from: NotRequired[Union[str, None]]
    """From when on observations of units count whose exposure is not known. Absent: from the start. For what began elsewhere, or is to warm up first."""

    min_duration: NotRequired[str]
    """How long it must have run, pauses left out, before a winner is named."""

    min_samples: NotRequired[Union[int, None]]
    """Units that each variant needs before a winner is named. Absent: `min_samples_for_significance`."""

    planned_n: NotRequired[Union[int, None]]
    """Units per variant that the experiment is planned for; needed for `fixed_horizon`."""

    segments: NotRequired[List[str]]
    """Attributes of the first exposure by which results are also shown."""

    units_per_day: NotRequired[Union[int, None]]
    """Units that come a day, all variants together: what the plan is checked with at the start."""


class ApiKey(TypedDict):
    """A key of the API, without its secret: that is shown once, when the key is made, and only its hash is kept."""

    created_at: str
    """When it was made."""

    created_by: str
    """Who made it."""

    expires_at: NotRequired[Union[str, None]]
    """When it stops working; null: never."""

    id: KeyId
    """Its id."""

    last_used_at: NotRequired[Union[str, None]]
    """When it was used last, within a minute."""

    limits: NotRequired[Limits]
    """What may be spent with it at the gateway."""

    name: str
    """What people call it."""

    prefix: str
    """The beginning of the secret, by which people recognise it."""

    project: ProjectId
    """The project whose rows it reaches."""

    revoked_at: NotRequired[Union[str, None]]
    """When it was revoked."""

    role: KeyRole
    """What it allows."""


class AppliedPiece(TypedDict):
    """What was applied last of a piece."""

    at: str
    """When."""

    by: str
    """By whom: the name of a key, or `local`."""

    hash: ContentHash
    """The hash of its content."""

    kind: PieceKind
    """Its kind."""

    name: str
    """Its name."""


class Approval(TypedDict):
    """A promotion that waits for a second key."""

    created_at: str
    """When it was asked for."""

    decided_at: NotRequired[Union[str, None]]
    """When."""

    decided_by: NotRequired[Union[str, None]]
    """Who decided."""

    deployment: str
    """The deployment."""

    environment: str
    """Its environment."""

    id: ApprovalId
    """Its id."""

    manifest: ContentHash
    """The manifest that shall answer."""

    reason: NotRequired[Union[str, None]]
    """Why, in the words of who asked."""

    requested_by: str
    """Who asked: the name of the key, or `local`."""

    requested_key: NotRequired[Union[KeyId, None]]

    settings: NotRequired[Union[DeploymentSettings, None]]

    settings_before: NotRequired[Union[ContentHash, None]]

    status: ApprovalStatus
    """Where it stands."""


# A promotion that waits for a second key.
ApprovalId = str


# Where a promotion stands.
ApprovalStatus = Literal['pending', 'approved', 'rejected', 'superseded']


# How the arguments of a call are compared.
ArgumentMatch = Literal['exact', 'subset', 'ignore']


class Arm(TypedDict):
    """What one arm of an exposure adds up to."""

    cost: float
    """Their cost in USD."""

    cost_squares: float
    """The squares of that."""

    errors: int
    """Of these, those without an answer."""

    latency: LatencyCounts
    """How long answers took."""

    priced: int
    """Answers whose cost is known, and no estimate."""

    requests: int
    """Requests."""

    soft_failures: int
    """Answers with a soft failure."""


class AskedQuestion(TypedDict):
    """A question that was asked, and what became of it."""

    answered_at: NotRequired[Union[str, None]]
    """When it was answered, or failed."""

    asked_at: str
    """When it was asked."""

    error: NotRequired[Union[str, None]]
    """Why there is no answer."""

    experiment: ExperimentId
    """The experiment."""

    id: QuestionId
    """The id."""

    observations: int
    """Observations that were read for it."""

    question: Question
    """The question."""

    result: NotRequired[Union[ExperimentResult, None]]

    status: QuestionStatus
    """Where it stands."""


class AssignUnit(TypedDict):
    """Whom to assign."""

    attributes: NotRequired[Dict[str, Any]]
    """What the audience's condition and the segments look at."""

    unit: NotRequired[Union[str, None]]
    """The unit. Absent: the attribute that the experiment's unit names."""


class Assignment(TypedDict):
    """The variant of a unit."""

    experiment: ExperimentId
    """The experiment."""

    included: bool
    """Whether the unit takes part: only then do its observations count."""

    key: str
    """Its key."""

    reason: AssignmentReason
    """Why."""

    unit: NotRequired[Union[str, None]]
    """The unit."""

    variant: NotRequired[Union[Variant, None]]

    variant_index: NotRequired[Union[int, None]]
    """Position of the variant."""


# Why a unit has its variant, or none.
AssignmentReason = Literal['split', 'sticky', 'winner', 'no_unit', 'audience', 'namespace', 'holdout', 'coverage', 'paused', 'not_running']


class AuditRecord(TypedDict):
    """The record of one change of configuration."""

    action: str
    """What was done: `prompt.activated`, `key.revoked` …"""

    actor: str
    """The name of the key, `local`, or the part of llmops that did it."""

    after: NotRequired[Any]
    """How it is since; null: it is gone."""

    at: str
    """When."""

    before: NotRequired[Any]
    """How it was before; null: it was not there."""

    id: int
    """Its number; later changes have higher ones."""

    key: NotRequired[Union[KeyId, None]]

    request_id: NotRequired[Union[str, None]]
    """The request that did it, as in `x-request-id` and in the log."""

    target: str
    """What it was done to: `support-bot@1.2.0` …"""


class Baseline(TypedDict):
    """A dataset's baseline."""

    dataset: str
    """The dataset."""

    run: EvaluationRun
    """The run tagged `env=production`."""


# A baseline to rescale by.
BaselineSpec = Union[str, List[List[float]]]


# What a conclusion rests on.
Basis = Literal['always_valid', 'fixed_horizon']


class BayesianView(TypedDict):
    """The Bayesian view."""

    chance_to_win: float
    """The chance that the treatment is better, in the direction of the metric."""

    expected_loss: float
    """What is lost on average, in units of the metric, when the treatment is chosen and is worse."""

    interval: Bounds
    """Credible interval of treatment − control."""

    model: str
    """The model."""


class BertscoreSpec(TypedDict):
    """Options of BERTScore."""

    baseline: NotRequired[Union[BaselineSpec, None]]

    idf: NotRequired[bool]
    """Weigh tokens by their inverse document frequency over all expected outputs of the dataset version, so that words that are in most of them count little."""

    layer: NotRequired[Union[int, None]]
    """The layer whose outputs are compared. Absent: the one that `bert_score` recommends for the model, else the last."""

    measure: NotRequired[Measure]
    """Which of the three values is the score; the sample's details have the others."""

    model: NotRequired[Union[str, None]]
    """The embedding model: a directory, or NAME, OWNER/NAME or OWNER/NAME@REVISION on the Hugging Face hub. Absent: sentence-transformers/all-MiniLM-L6-v2."""


# What becomes of prompts and answers. Where the deployment's records keep no bodies, `hashed` holds whatever stands here.
BodyHandling = Literal['until_judged', 'hashed', 'keep']


# What of a call's bodies is kept.
BodyPolicy = Literal['full', 'raw', 'hashed', 'none']


class Bounds(TypedDict):
    """An interval and its level."""

    high: float
    """Upper bound."""

    level: float
    """Nominal coverage, between 0 and 1."""

    low: float
    """Lower bound."""


class BulkAnswer(TypedDict):
    """All flags."""

    flags: List[BulkFlag]
    """Each flag with its value or its error."""


# A flag of a bulk evaluation.
BulkFlag = Union["FlagValue", "FlagError"]


# How the version number of a pushed prompt is chosen.
BumpMode = Literal['none', 'auto', 'major', 'minor', 'patch']


class CacheSettings(TypedDict):
    """Answers that are kept and given again for equal requests."""

    max_answers: NotRequired[int]
    """Most answers that are kept; the oldest go first."""

    ttl: NotRequired[str]
    """How long an answer is good."""


class CalibrateJudge(TypedDict):
    """`POST /api/v1/judges/calibrations`"""

    labels: List[HumanLabel]
    """What people said about the run's answers."""

    metric: NotRequired[Union[str, None]]
    """The judged metric. Absent: the only one of the run."""

    run: str
    """The run whose answers were labelled: an id, the beginning of one, `latest` or `baseline`."""

    threshold: NotRequired[Union[float, None]]
    """A score passes at or above this. Absent: the metric's own threshold."""


# A judge compared with people.
CalibrationId = str


class CallAttempt(TypedDict):
    """One attempt to get an answer from one provider. Every line of a provider's log is one attempt of one record."""

    error: NotRequired[Union[str, None]]
    """What went wrong."""

    model: str
    """The model asked, as `provider/model`."""

    ms: float
    """Milliseconds until its first byte, or until it failed."""

    status: NotRequired[Union[int, None]]
    """The status; of an error inside a success, the one that it means. Absent where there was none."""


# What the order of calls has to be.
CallOrder = Literal['same', 'any']


# How a call ended.
CallOutcome = Literal['ok', 'upstream_error', 'unavailable', 'cut', 'cancelled', 'refused']


class Canary(TypedDict):
    """A candidate beside what is live."""

    active_seconds: NotRequired[int]
    """Seconds under way before `since`: pauses do not count."""

    approved_by: NotRequired[Union[str, None]]
    """Who let it be promoted, where a person did."""

    candidate: ContentHash
    """The manifest under trial."""

    candidate_model: str
    """The candidate's model, as `provider/model`."""

    created_at: str
    """When it was made."""

    deployment: str
    """The deployment whose traffic is answered again."""

    dry_run: NotRequired[bool]
    """Whether decisions are only written down: nothing is exposed, promoted or rolled back."""

    environment: str
    """The deployment's environment."""

    id: CanaryId
    """The id."""

    note: NotRequired[Union[str, None]]
    """Why it ended or waits, in one sentence."""

    policy: CanaryPolicy
    """What decides."""

    production: ContentHash
    """The manifest that was live when the canary began: what the candidate is compared with."""

    production_model: str
    """The model of that manifest."""

    revision: int
    """Grows with every change."""

    since: str
    """Since when it stands there."""

    started_by: NotRequired[Union[str, None]]
    """Who started it."""

    state: CanaryState
    """Where it stands."""

    updated_at: str
    """When it changed last."""


class CanaryBudget(TypedDict):
    """What candidate and judge may cost, in USD."""

    per_hour: NotRequired[float]
    """In one hour of the clock; requests beyond it are left out."""

    total: NotRequired[float]
    """Altogether; reaching it aborts the canary."""


class CanaryCheck(TypedDict):
    """One condition with its numbers."""

    message: str
    """In words, with every number."""

    name: str
    """Its name: `net_win`, `min_samples`, a guardrail …"""

    status: CheckStatus
    """How it stands."""


class CanaryConclusion(TypedDict):
    """When it would conclude if everything stays as it is."""

    pairs: int
    """Further judged pairs."""

    seconds: NotRequired[Union[int, None]]
    """Further seconds, at the present pace."""


# What must not become worse.
CanaryGuardrail = Literal['error_rate', 'latency_p95', 'cost', 'score_tolerance', 'soft_failures']


# A candidate manifest on live traffic.
CanaryId = str


class CanaryJudge(TypedDict):
    """Who compares the answers."""

    both_orders: NotRequired[bool]
    """Whether each pair is shown in both orders, so that a judge who prefers the first or second place decides nothing. False: in one order, drawn by the pair's hash, at half the price."""

    model: str
    """The judging model, as `provider/model`."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one."""

    rubric: NotRequired[List[str]]
    """Axes on which the judge also scores each answer alone. Absent: the scores follow from the comparison."""


class CanaryMeasure(TypedDict):
    """A rate with bounds that hold at every look."""

    clusters: int
    """Users or sessions that they come from."""

    high: float
    """The upper bound."""

    low: float
    """The lower bound."""

    n: int
    """Observations."""

    needed: NotRequired[Union[int, None]]
    """Observations at which the bound that matters would be passed if the estimate stays; absent: never."""

    value: float
    """The estimate."""


class CanaryPolicy(TypedDict):
    """What a canary's decisions follow."""

    abort: NotRequired[AbortRule]
    """When it is aborted."""

    allow: NotRequired[AllowRule]
    """Requests that are left out unless allowed here."""

    bodies: NotRequired[BodyHandling]
    """What becomes of prompts and answers."""

    budget: NotRequired[CanaryBudget]
    """What candidate and judge may cost."""

    guardrails: NotRequired[Guardrails]
    """What must not become worse, whatever the judge prefers."""

    judge: CanaryJudge
    """Who compares the answers."""

    losses: NotRequired[Union[str, None]]
    """The dataset that lost pairs flow into; needs `bodies: keep`. Absent: `NAME-lost`."""

    min_samples: NotRequired[int]
    """Fewest judged pairs before the candidate is promoted."""

    promote: NotRequired[PromoteRule]
    """When the candidate is promoted."""

    routing: NotRequired[Routing]
    """How requests are chosen."""

    share: NotRequired[float]
    """Share of requests that the candidate answers too, by the hash of the request."""

    stage: NotRequired[StageRule]
    """How long users are exposed at each stage before the next."""

    stages: NotRequired[List[float]]
    """Shares of users that see the candidate's answers after it has proved itself unseen, rising. 1 is the promotion itself. Empty: it is promoted at once."""

    warn: NotRequired[WarnRule]
    """When a warning is raised."""

    window: NotRequired[Window]
    """How long it takes at least, and at most."""


class CanaryReport(TypedDict):
    """How a canary stands."""

    canary: Canary
    """The canary."""

    decision: Decision
    """What it would be."""

    evidence: Evidence
    """What its pairs add up to."""

    held: NotRequired[Union[str, None]]
    """Why that waits, such as an incident that is open: it is done once that is over."""

    situation: Situation
    """What a decision would be made from now."""

    skipped: Dict[str, int]
    """Requests that were drawn and made no pair, by reason."""

    spent_this_hour: float
    """USD in this hour of the clock."""

    stages: NotRequired[Dict[str, StageEvidence]]
    """What users saw at each stage."""

    waiting: int
    """Pairs that the candidate has not answered yet."""


class CanaryState1(TypedDict):
    """It was made and not started."""

    status: Literal['draft']
    """Always "draft": it tells this form from the others"""


class CanaryState2(TypedDict):
    """The candidate answers unseen."""

    status: Literal['shadowing']
    """Always "shadowing": it tells this form from the others"""


class CanaryState3(TypedDict):
    """A share of users sees the candidate's answers."""

    stage: int
    """The stage, a position in the policy's `stages`."""

    status: Literal['exposing']
    """Always "exposing": it tells this form from the others"""


class CanaryState4(TypedDict):
    """Nothing is answered by the candidate until it is resumed."""

    stage: NotRequired[Union[int, None]]
    """The stage that it goes on with; absent: unseen."""

    status: Literal['paused']
    """Always "paused": it tells this form from the others"""


class CanaryState5(TypedDict):
    """The candidate has proved itself, and a person must approve."""

    status: Literal['awaiting_approval']
    """Always "awaiting_approval": it tells this form from the others"""


class CanaryState6(TypedDict):
    """The deployment is being pointed to the candidate."""

    status: Literal['promoting']
    """Always "promoting": it tells this form from the others"""


class CanaryState7(TypedDict):
    """The candidate is live."""

    status: Literal['promoted']
    """Always "promoted": it tells this form from the others"""


class CanaryState8(TypedDict):
    """A dry run ended: the candidate would have been promoted."""

    status: Literal['concluded']
    """Always "concluded": it tells this form from the others"""


class CanaryState9(TypedDict):
    """It ended without a promotion."""

    cause: AbortCause
    """Why."""

    status: Literal['aborted']
    """Always "aborted": it tells this form from the others"""


# Where a canary stands.
CanaryState = Union["CanaryState1", "CanaryState2", "CanaryState3", "CanaryState4", "CanaryState5", "CanaryState6", "CanaryState7", "CanaryState8", "CanaryState9"]


class CancelRelease(TypedDict):
    """Gives a release up."""

    reason: NotRequired[str]
    """Why."""


class CategoryEvidence(TypedDict):
    """Paired difference of one category."""

    difference: Estimate
    """Mean difference of the composites, with interval."""

    needed_n: NotRequired[Union[int, None]]
    """Samples needed for a difference of this size to be significant with 80 % power."""

    p_value: NotRequired[Union[float, None]]
    """Two-sided p-value of no difference (paired t); null where all differences are equal."""


class CategoryResult(TypedDict):
    """One category of a run."""

    errored: int
    """(sample, trial) pairs that errored."""

    errored_samples: NotRequired[Union[int, None]]
    """Samples of which some trial errored and none failed."""

    failed: int
    """Samples of which some trial did not pass."""

    pass_rate: NotRequired[Union[Estimate, None]]

    samples: int
    """Samples."""

    score: NotRequired[Union[Estimate, None]]

    weight: float
    """Its weight in the overall score (weights of the categories present sum to 1)."""


class Change(TypedDict):
    """One number before and after."""

    after: float
    """After."""

    before: float
    """Before."""

    change: float
    """After less before. Where not both runs scored the same samples: the mean change of the samples that both scored."""

    interval: NotRequired[Union[List[float], None]]
    """95 % interval of the paired difference, where samples are shared."""

    n: NotRequired[Union[int, None]]
    """Shared samples behind it."""


class ChangeCanary(TypedDict):
    """Which canary is meant, and why it is changed."""

    environment: NotRequired[Union[str, None]]
    """The environment, where the canary is named by its deployment; absent: `production`."""

    reason: NotRequired[Union[str, None]]
    """Why."""


class Channel(TypedDict):
    """A channel of the configuration. What is secret of it stays where it is."""

    kind: str
    """`webhook`, `slack` or `command`."""

    name: str
    """Its name."""

    resolved: bool
    """Whether it is told when an alert is resolved."""

    severities: List[Severity]
    """Only alerts of these severities; empty: of all."""

    types: List[AlertType]
    """Only alerts of these types; empty: of all."""

    unset: List[str]
    """Environment variables that it needs and that are not set."""


class Check(TypedDict):
    """One named rule and what it found."""

    baseline: NotRequired[Union[float, None]]
    """The baseline's value."""

    change: NotRequired[Union[float, None]]
    """For drops: by how much the score changed. Where both runs scored the same samples, this run's value less the baseline's; else the mean change of the samples that both scored."""

    current: NotRequired[Union[float, None]]
    """This run's value."""

    interval: NotRequired[Union[List[float], None]]
    """95 % interval: of the change on shared samples for drops, of the value itself for minima."""

    limit: NotRequired[Union[float, None]]
    """The limit that applies."""

    message: str
    """One sentence for people."""

    n: NotRequired[Union[int, None]]
    """Samples behind it."""

    name: str
    """`overall_min`, `max_drop/CATEGORY`, `category_min/CATEGORY`, `category_missing/CATEGORY`, `scoring`, `error_rate` …"""

    status: Verdict
    """What it found."""


class CheckModels(TypedDict):
    """Asks models for a sign of life."""

    models: List[str]
    """The models, as `provider/model`."""


# How a condition of the promotion stands.
CheckStatus = Literal['met', 'open', 'broken', 'unmeasured']


class ChecklistItem2(TypedDict):
    """A question with its weight."""

    item: str
    """The question."""

    weight: NotRequired[float]
    """How much it counts beside the others, above 0."""


# One question of a checklist; a weight is optional.
ChecklistItem = Union[str, "ChecklistItem2"]


class ChecklistSpec(TypedDict):
    """A checklist."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""

    items: List[ChecklistItem]
    """Questions about the answer, such as `Does it name a source?`."""

    model: str
    """The judging model, as `provider/model`."""


# Which of the places that host a deployment's model is asked first.
Choose = Literal['listed', 'verifier']


class ChrfSpec(TypedDict):
    """Options of `chrf`."""

    plus_plus: NotRequired[bool]
    """Count n-grams of words, too: chrF++."""


class CloseIncident(TypedDict):
    """Closes an incident."""

    dataset: NotRequired[Union[str, None]]
    """The regression dataset that gets the inputs that failed; absent: one named after the incident."""

    resolution: NotRequired[Union[str, None]]
    """How it was resolved."""


class ClosedIncident(TypedDict):
    """A closed incident."""

    left_out: NotRequired[int]
    """Failing calls whose inputs are not in the dataset, as it would have got too large."""

    safe_mode: NotRequired[bool]
    """Whether the deployment's safe mode is still on: closing an incident does not switch it off."""

    samples: int
    """Inputs in the dataset; none where no text of a failing call was kept."""

    timeline: Timeline
    """What happened, with the incident and its post-mortem."""

    with_answer: int
    """Of these, inputs whose right answer is known."""

    without_text: int
    """Failing calls whose text was not kept."""


class ClusterSums(TypedDict):
    """Sums over clusters of two numbers a and b each: enough for the ratio Σa/Σb and its cluster-robust spread."""

    a: float
    """Σa"""

    aa: float
    """Σa²"""

    ab: float
    """Σab"""

    b: float
    """Σb"""

    bb: float
    """Σb²"""

    clusters: int
    """Clusters with b other than 0."""


class CollectReviews(TypedDict):
    """Where answers for the review queue are looked for."""

    run: str
    """A run: answers that its judges are uncertain of."""


class CollectedReviews(TypedDict):
    """What was found for the review queue."""

    added: int
    """Items that are new."""

    known: int
    """Answers that are in the queue, or were decided on, already."""


class CommandScorerSpec(TypedDict):
    """A scorer that is a program of the user's."""

    cwd: NotRequired[Union[str, None]]
    """Working directory, relative to the project folder."""

    max_concurrency: NotRequired[int]
    """Most programs at a time."""

    persistent: NotRequired[bool]
    """The program stays, and answers a line with a line, instead of being started for each answer."""

    run: List[str]
    """Program and arguments. It gets a JSON object on standard input and writes `{"score": 0.8, "reason": "…"}`."""

    timeout: NotRequired[str]
    """A program that takes longer for an answer is stopped, and the sample is errored."""


class Comparison(TypedDict):
    """One metric of one variant beside the control's."""

    always_valid: NotRequired[Union[AlwaysValid, None]]

    bayes: NotRequired[Union[BayesianView, None]]

    better: NotRequired[Union[bool, None]]
    """Whether the difference points in the better direction; null without difference."""

    control: str
    """What it is compared with."""

    cuped: NotRequired[Union[CovariateUse, None]]

    difference: NotRequired[Union[float, None]]
    """Treatment − control."""

    direction: Direction
    """Which way is better."""

    fixed: NotRequired[Union[FixedTest, None]]

    guardrail: NotRequired[Union[GuardrailResult, None]]

    interval: NotRequired[Union[Bounds, None]]

    kind: MetricKind
    """Its kind."""

    lift: NotRequired[Union[Lift, None]]

    metric: str
    """The metric."""

    notice: NotRequired[Union[str, None]]
    """Why there is no comparison, or what a reader should know about it."""

    p_value: NotRequired[Union[float, None]]
    """p-value on the basis that decides."""

    p_value_corrected: NotRequired[Union[float, None]]
    """The same, corrected for the comparisons made together."""

    significant: bool
    """Whether the corrected p-value is at most alpha."""

    units: int
    """Units of both."""

    variant: str
    """The variant."""


class CompleteExperiment(TypedDict):
    """Ends an experiment."""

    winner: NotRequired[Union[str, None]]
    """Id or name of the variant that won; null or absent: none did."""


# What the data allow to conclude.
Conclusion = Literal['winner', 'undecided', 'blocked']


class ConfigDiff(TypedDict):
    """A setting that differs."""

    after: Any
    """Its value after."""

    before: Any
    """Its value before; null where it had none."""

    field: str
    """The setting: `model`, `parameters.temperature`, `tools` …"""


class Confusion(TypedDict):
    """Samples by what the people's majority and the judge said."""

    both_fail: int
    """Both say fail."""

    both_pass: int
    """Both say pass."""

    judge_passes_only: int
    """The judge passes what people fail."""

    people_pass_only: int
    """People pass what the judge fails."""


# A SHA-256 content hash in 64 lower-case hex digits.
ContentHash = str


class ConversationSpec(TypedDict):
    """Options of `conversation`. What is left out is not checked; the score is the share of checks that hold."""

    answered: NotRequired[bool]
    """The assistant says something after each turn of the user."""

    forbidden: NotRequired[List[str]]
    """What the assistant must not say, without regard to case."""

    max_similarity: NotRequired[Union[float, None]]
    """No answer of the assistant is as similar as this to an earlier one."""

    max_turns: NotRequired[Union[int, None]]
    """The most turns of the user."""

    mentions: NotRequired[List[str]]
    """What the assistant has to say, in this order, without regard to case."""

    min_turns: NotRequired[Union[int, None]]
    """The fewest turns of the user."""


class Corrected(TypedDict):
    """A mean as the judge sees it, and as people would."""

    calibration: CalibrationId
    """The calibration that the correction is from."""

    corrected: Estimate
    """Corrected by the judge's error on the labelled samples (prediction-powered inference). `n` counts labelled and other samples."""

    labelled: int
    """Samples with a label that went into the correction."""

    raw: Estimate
    """As the judge scored it."""


# How many comparisons are corrected for.
Correction = Literal['holm', 'bh', 'none']


class CovariateUse(TypedDict):
    """Variance taken out with a pre-period covariate."""

    covariate: str
    """The covariate."""

    theta: float
    """Regression coefficient."""

    variance_reduction: float
    """Share of the variance that it took out."""


class CreateAlert(TypedDict):
    """Raises an alert."""

    actual_value: NotRequired[Union[float, None]]
    """What was measured."""

    cause: NotRequired[Union[str, None]]
    """Alerts of one source with the same cause are one. Absent: those about the same metric are, or, without a metric, those with the same message."""

    message: str
    """What is wrong, in one sentence."""

    metadata: NotRequired[Dict[str, Any]]
    """Anything else."""

    metric: NotRequired[Union[str, None]]
    """The number that is wrong."""

    severity: Severity
    """How urgent it is."""

    source: str
    """What it is about, in a word: `retriever`, `experiment` …"""

    source_id: NotRequired[Union[str, None]]
    """Which of those."""

    threshold: NotRequired[Union[float, None]]
    """The limit that was passed."""

    type: AlertType
    """Why there is an alert."""


class CreateKey(TypedDict):
    """Makes a key."""

    expires_at: NotRequired[Union[str, None]]
    """When it stops working; absent: never."""

    limits: NotRequired[Limits]
    """What may be spent with it at the gateway."""

    name: str
    """What people call it: 1 to 128 characters."""

    project: NotRequired[Union[ProjectId, None]]

    role: KeyRole
    """What it allows."""


class CreateModelExperiment(TypedDict):
    """Makes an experiment of models."""

    models: List[str]
    """Two or more models, as `provider/model`; the first is the control. They share the traffic equally."""

    name: str
    """The experiment's name."""

    parameters: NotRequired[Dict[str, Any]]
    """Parameters of all of them."""


class CreateProject(TypedDict):
    """Makes a project."""

    id: str
    """Its id, which keys name: 1 to 64 lower-case letters, digits, `-` and `_`."""

    name: NotRequired[Union[str, None]]
    """What people call it; absent: the id."""


class CreatePromptExperiment(TypedDict):
    """Makes an experiment of two prompts."""

    control: PromptSource
    """What is used today."""

    name: str
    """The experiment's name."""

    traffic_split: NotRequired[float]
    """Share of the treatment, such as 0.3 or 30 (per cent); half where it is left out."""

    treatment: PromptSource
    """What may be better."""


class CreateRun(TypedDict):
    """Creates an evaluation run."""

    cache: NotRequired[bool]
    """Whether answers may come from the response cache."""

    category_weights: NotRequired[Dict[str, float]]
    """Weight of each category; empty: all weigh the same."""

    dataset: str
    """The dataset: `NAME`, or `NAME@VERSION` with the beginning of a version's hash."""

    description: NotRequired[Union[str, None]]
    """What it is for."""

    limit: NotRequired[Union[int, None]]
    """Only the first samples of those that are chosen."""

    metadata: NotRequired[Dict[str, Any]]
    """Anything else: commit, author …"""

    name: NotRequired[Union[str, None]]
    """A name for people; absent: made from target and dataset."""

    notices: NotRequired[List[str]]
    """What a reader of the results should know about how the request was made: metrics left out …"""

    only: NotRequired[Union[SampleSelection, None]]

    repeat: NotRequired[int]
    """Trials per sample, 1 to 1,000."""

    scoring: ScoringSpec
    """Scorers, weights, thresholds."""

    start: NotRequired[bool]
    """Start it at once."""

    suite: NotRequired[Union[str, None]]
    """The suite it belongs to."""

    tags: NotRequired[Dict[str, str]]
    """Tags, such as `branch=main`."""

    target: TargetSpec
    """What is evaluated."""


class CreateSilence(TypedDict):
    """Silences alerts for a time."""

    comment: NotRequired[str]
    """Why."""

    ends_at: str
    """Until when."""

    matcher: NotRequired[Matcher]
    """Which alerts; the empty matcher fits all."""


class CreatedKey(TypedDict):
    """A key that was made, with its secret. The secret is shown this once."""

    key: ApiKey
    """The key."""

    secret: str
    """What requests send as `Authorization: Bearer …`."""


class Dataset(TypedDict):
    """A dataset with its newest version."""

    created_at: str
    """When the dataset was made."""

    description: NotRequired[Union[str, None]]
    """What it is about."""

    id: DatasetId
    """The id."""

    name: str
    """Unique in its project."""

    sample_count: int
    """Samples in the newest version."""

    type: DatasetType
    """What it is for."""

    updated_at: str
    """When the newest version was added."""

    version: NotRequired[Union[ContentHash, None]]


DatasetDiff = TypedDict(
    "DatasetDiff",
    {
        'added': "List[str]",
        'changed': "List[str]",
        'from': "str",
        'removed': "List[str]",
        'to': "str",
        'unchanged': "int",
    },
    total=False,
)


# A dataset (all versions of one name).
DatasetId = str


# What a dataset is for.
DatasetType = Literal['golden', 'regression', 'benchmark', 'user']


class DatasetVersion(TypedDict):
    """One version of a dataset."""

    categories: Dict[str, int]
    """Samples per category; samples without one count under the empty name."""

    created_at: str
    """When it was built."""

    dataset: str
    """The dataset's name."""

    sample_count: int
    """Number of samples."""

    version: ContentHash
    """Hash of its samples, independent of their order."""


class DebateSpec(TypedDict):
    """Several judges that read each other and revise."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""

    debate_prompt: NotRequired[Union[str, None]]
    """The prompt of the rounds after the first, like `prompt`. Absent: the built-in `llmops/judge-debate`."""

    epsilon: NotRequired[float]
    """The debate ends when all scores lie within this."""

    models: List[str]
    """The judging models, as `provider/model`. Three or more withstand one that lies or is fooled."""

    rounds: NotRequired[int]
    """Most rounds, the first included."""

    rubric: NotRequired[List[str]]
    """What is scored, each from 0 to 1: names, or `name: what it means`."""


class Decide(TypedDict):
    """A decision as it is sent."""

    action: ReviewAction
    """What is done."""

    answer: NotRequired[Union[str, None]]
    """The right answer, for `correct`."""

    answer_was_right: NotRequired[bool]
    """For `accept` of an answer that was rated low or failed softly, and that nobody suggested another for: that it was right all the same."""

    category: NotRequired[Union[str, None]]
    """The category of the sample."""

    dataset: NotRequired[Union[str, None]]
    """The dataset that gets the sample; absent: `golden`."""

    input: NotRequired[Union[str, None]]
    """What was asked, where the record keeps no body."""

    label: NotRequired[Union[str, None]]
    """The label, for `label`."""

    note: NotRequired[Union[str, None]]
    """Why, in a sentence."""

    replace: NotRequired[bool]
    """Whether a sample of the dataset that asks the same is replaced. Otherwise it is a conflict."""


class Decided(TypedDict):
    """An item after a decision."""

    dataset: NotRequired[Union[ImportedDataset, None]]

    item: ReviewItem
    """The item."""


class Decision(TypedDict):
    """What is done, and why."""

    action: Action
    """What is done."""

    checks: List[CanaryCheck]
    """Every condition."""

    estimate: NotRequired[Union[CanaryConclusion, None]]

    message: str
    """Why, in one sentence."""


class Delivery(TypedDict):
    """A message to a channel."""

    attempt: int
    """Attempts so far."""

    channel: str
    """The channel's name."""

    created_at: str
    """When it was put together."""

    error: NotRequired[Union[str, None]]
    """Why the last attempt failed."""

    give_up_at: str
    """When it is given up."""

    id: str
    """The id, which a webhook receives as `webhook-id`: the same with every attempt."""

    next_attempt_at: NotRequired[Union[str, None]]
    """When it is tried next."""

    notice: Notice
    """The message."""

    status: DeliveryStatus
    """Where it stands."""

    updated_at: str
    """When its status or attempt changed."""


# Where a message stands.
DeliveryStatus = Literal['pending', 'delivered', 'dead']


class Deploy(TypedDict):
    """Points a deployment to a manifest: one that is given, one that is stored, or one resolved from prompt and model. What is live stays where no prompt is named: with the model, parameters, versions and settings that are."""

    environment: NotRequired[Union[str, None]]
    """The environment; absent: `production`."""

    manifest: NotRequired[Union[Manifest, None]]

    manifest_hash: NotRequired[Union[str, None]]
    """The beginning of a stored manifest's hash."""

    model: NotRequired[Union[str, None]]
    """The model, as `provider/model`; absent: the prompt's own, else the one that is live."""

    model_version: NotRequired[Union[str, None]]
    """The provider's version of the model."""

    parameters: NotRequired[Parameters]
    """Laid over the prompt's parameters, or over those that are live where prompt or model come from there."""

    prompt: NotRequired[Union[str, None]]
    """The prompt, as `NAME`, `NAME@VERSION` or `NAME@HASH`; absent: the one that is live. A `manifest` without one has none."""

    reason: NotRequired[Union[str, None]]
    """Why."""

    retriever_index_version: NotRequired[Union[str, None]]
    """The index that the retriever reads."""

    settings: NotRequired[Union[DeploymentSettings, None]]


class Deployed(TypedDict):
    """A deployment after a change, and what a person should know about it."""

    approval: NotRequired[Union[Approval, None]]

    changed: bool
    """False where it pointed there already."""

    deployment: Deployment
    """As it is now."""

    manifest: Manifest
    """What answers now."""

    notices: NotRequired[List[str]]
    """Such as: the retriever's index changes too."""

    previous: NotRequired[Union[ContentHash, None]]


class Deployment(TypedDict):
    """A named pointer to a manifest."""

    created_at: str
    """When it was made."""

    environment: str
    """`production`, `staging` …"""

    manifest: ContentHash
    """The manifest that answers."""

    name: str
    """The name that applications give as `model`."""

    revision: int
    """Number of the last change, from 1."""

    safe_mode: bool
    """Whether the safe mode answers instead of the manifest."""

    settings: NotRequired[DeploymentSettings]
    """How calls are handled."""

    updated_at: str
    """When it was changed last."""

    updated_by: NotRequired[Union[str, None]]
    """Who changed it last."""


# What kind of change a deployment saw.
DeploymentAction = Literal['deploy', 'rollback', 'safe_mode_on', 'safe_mode_off', 'configure']


DeploymentChange = TypedDict(
    "DeploymentChange",
    {
        'action': "DeploymentAction",
        'at': "str",
        'by': "Union[str, None]",
        'from': "Union[ContentHash, None]",
        'reason': "Union[str, None]",
        'revision': "int",
        'to': "ContentHash",
    },
    total=False,
)


class DeploymentHead(TypedDict):
    """A deployment and what it points to."""

    deployment: Deployment
    """The deployment."""

    model: str
    """Its manifest's model."""

    prompt: NotRequired[Union[str, None]]
    """Its manifest's prompt, as `NAME@VERSION`."""


class DeploymentSettings(TypedDict):
    """How a deployment's calls are handled: everything that is not part of what decides the answer."""

    allow_override: NotRequired[List[str]]
    """Request fields in which the caller wins over the manifest, such as `temperature` or `tools`."""

    bodies: NotRequired[BodyPolicy]
    """What of the bodies is kept in the records."""

    body_sampling: NotRequired[float]
    """Share of calls whose bodies are kept, from 0 to 1."""

    cache: NotRequired[Union[CacheSettings, None]]

    choose: NotRequired[Choose]
    """Which of them is asked first: `listed` or `verifier`."""

    experiment: NotRequired[Union[str, None]]
    """The key of the experiment whose variants answer: users, or sessions, are assigned by it."""

    fallbacks: NotRequired[List[str]]
    """Where the same model is hosted too, as `provider/model`: tried in this order when the manifest's provider fails before its first byte. Another model is another manifest."""

    gate_max_age: NotRequired[str]
    """How old that run may be."""

    guard: NotRequired[GuardConfig]
    """What counts as a soft failure."""

    hash_users: NotRequired[bool]
    """Whether user ids are kept as hashes only."""

    hedge_after: NotRequired[Union[str, None]]
    """Ask the next one too when there is no first byte after this time, and take what comes first. Absent: never."""

    limits: NotRequired[Limits]
    """What all callers together may spend."""

    merge: NotRequired[SystemMerge]
    """What becomes of a system message that the caller sends: `keep`, `replace` or `refuse`."""

    require_approval: NotRequired[bool]
    """Whether another manifest answers only when a second key has allowed it."""

    require_gate: NotRequired[bool]
    """Whether a deployment to `production` needs a passing run of its manifest."""

    required_fields: NotRequired[List[str]]
    """Manifest fields that must be set to be deployed, such as `prompt_version` or `retriever_index_version`."""

    retries: NotRequired[int]
    """How often one provider is asked again before the next one, before its first byte."""

    safe_mode: NotRequired[SafeMode]
    """What answers in safe mode."""

    timeout_first_byte: NotRequired[str]
    """Longest wait for the first byte of an answer."""

    timeout_total: NotRequired[str]
    """Longest that an answer may take."""

    when_model_changes: NotRequired[Union[str, None]]
    """A schedule that runs at once when another model answers behind an unchanged manifest. Absent: there is only an alert."""


class DiffLine(TypedDict):
    """One line of a hunk."""

    kind: LineKind
    """Whether it is in both versions or in one."""

    parts: List[DiffPart]
    """The line in pieces, without its line feed."""


class DiffPart(TypedDict):
    """A piece of a line."""

    changed: bool
    """Whether these words are what makes the line differ from its counterpart."""

    text: str
    """The text."""


# Which way is better.
Direction = Literal['higher', 'lower']


# Which door of the gateway was used.
Door = Literal['chat', 'embeddings', 'messages']


class EnvironmentQuery(TypedDict):
    """Which environment is meant."""

    environment: NotRequired[Union[str, None]]
    """The environment; absent: `production`."""


class Erased(TypedDict):
    """What was deleted. Of experiments, only the name and the attributes of the user's units are."""

    datasets_left: NotRequired[List[str]]
    """Datasets in which such samples stay in earlier versions, which never change."""

    feedback: NotRequired[int]
    """What the user said, and what was said of the user's answers."""

    post_mortems: NotRequired[int]
    """Post-mortems of incidents that repeated what users said of the user's answers, or what the user said, and that have lost the words."""

    records: int
    """Records."""

    review_items: NotRequired[int]
    """Items of the review queue about the user's answers."""

    samples: NotRequired[int]
    """Samples that llmops made of the user's calls by itself, of what a canary lost or of an incident, and that the newest versions of their datasets do not have any more."""

    shadow_pairs: NotRequired[int]
    """Pairs of canaries that the user's calls made."""


class ErasureQuery(TypedDict):
    """Whose records are deleted."""

    user: str
    """The end user."""


class ErrorBody(TypedDict):
    """The inside of an error answer."""

    code: ErrorCode
    """What kind of error, stable."""

    hint: NotRequired[Union[str, None]]
    """What to do about it."""

    message: str
    """What happened, for people."""

    problems: NotRequired[List[Problem]]
    """Everything that is wrong with the content."""

    retry_after: NotRequired[Union[int, None]]
    """Seconds after which the same request may succeed; the header `retry-after` says the same."""


# The closed table of error codes. Codes are stable; messages are not.
ErrorCode = Literal['invalid_request', 'invalid_content', 'unauthenticated', 'forbidden', 'not_found', 'method_not_allowed', 'conflict', 'invalid_transition', 'precondition_failed', 'idempotency_conflict', 'idempotency_mismatch', 'too_large', 'unsupported_media_type', 'rate_limited', 'internal', 'store_unavailable', 'provider_unavailable', 'not_ready', 'timeout']


class ErrorResponse(TypedDict):
    """An error answer."""

    error: ErrorBody
    """The error."""


class Estimate(TypedDict):
    """A value with the number of observations behind it and its 95 % interval."""

    lower: float
    """Lower end of the 95 % interval; equal to the value where no interval exists (n < 2)."""

    n: int
    """Independent observations (samples, not trials)."""

    upper: float
    """Upper end."""

    value: float
    """The point estimate."""


class EvaluatedDataset(TypedDict):
    """A dataset that runs were made on."""

    name: str
    """Its name."""

    runs: int
    """Completed runs on it."""


class EvaluationRequest(TypedDict):
    """What a flag is evaluated for."""

    context: NotRequired[Union[Dict[str, Any], None]]
    """`targetingKey` names the unit; the other members are its attributes."""


class EvaluationRun(TypedDict):
    """An evaluation run."""

    created_at: str
    """When it was created."""

    dataset: str
    """The dataset's name."""

    description: NotRequired[Union[str, None]]
    """What it was for."""

    end_time: NotRequired[Union[str, None]]
    """When it reached a final status."""

    error: NotRequired[Union[str, None]]
    """Why it failed, where it did; of a running one, why the process that worked on it could not go on."""

    gate: NotRequired[Union[KeptVerdict, None]]

    id: RunId
    """The id."""

    interrupted: NotRequired[bool]
    """Whether it is running by its status, and nobody works on it: whoever did is dead, or let the lease end. Workers go on with it by themselves, and so does `llmops eval --resume`."""

    metadata: NotRequired[Dict[str, Any]]
    """Anything else: commit, branch, author."""

    metrics: List[str]
    """Names of the metrics."""

    model_name: str
    """The model, as `provider/model`."""

    name: str
    """A name for people."""

    progress: Progress
    """Sample results so far and in all."""

    prompt_name: NotRequired[Union[str, None]]
    """The prompt's name."""

    prompt_version: NotRequired[Union[str, None]]
    """The prompt's version."""

    results: NotRequired[Union[RunResults, None]]

    spec: RunSpec
    """Everything that decides the results."""

    start_time: NotRequired[Union[str, None]]
    """When the first shard was taken."""

    status: RunStatus
    """Where it stands."""

    tags: NotRequired[Dict[str, str]]
    """Tags such as `env=production`."""


class Event1(TypedDict):
    """Work on a run began, or began again."""

    dataset: str
    """The dataset's name."""

    error: NotRequired[Union[str, None]]
    """Why it failed, where it did."""

    model_name: str
    """The model, as `provider/model`."""

    overall: NotRequired[Union[Estimate, None]]

    pass_rate: NotRequired[Union[Estimate, None]]

    prompt_name: NotRequired[Union[str, None]]
    """The prompt's name."""

    run: RunId
    """The run."""

    status: RunStatus
    """Its status now."""

    suite: NotRequired[Union[str, None]]
    """The suite it was started from."""

    type: Literal['run.started']
    """Always "run.started": it tells this form from the others"""


class Event2(TypedDict):
    """A run has more results than before. Sent at most once a second for each run, and kept for a short time only."""

    progress: Progress
    """How far it is."""

    run: RunId
    """The run."""

    type: Literal['run.progress']
    """Always "run.progress": it tells this form from the others"""


class Event3(TypedDict):
    """A run has all its results."""

    dataset: str
    """The dataset's name."""

    error: NotRequired[Union[str, None]]
    """Why it failed, where it did."""

    model_name: str
    """The model, as `provider/model`."""

    overall: NotRequired[Union[Estimate, None]]

    pass_rate: NotRequired[Union[Estimate, None]]

    prompt_name: NotRequired[Union[str, None]]
    """The prompt's name."""

    run: RunId
    """The run."""

    status: RunStatus
    """Its status now."""

    suite: NotRequired[Union[str, None]]
    """The suite it was started from."""

    type: Literal['run.completed']
    """Always "run.completed": it tells this form from the others"""


class Event4(TypedDict):
    """A run could not go on, or has too many errors."""

    dataset: str
    """The dataset's name."""

    error: NotRequired[Union[str, None]]
    """Why it failed, where it did."""

    model_name: str
    """The model, as `provider/model`."""

    overall: NotRequired[Union[Estimate, None]]

    pass_rate: NotRequired[Union[Estimate, None]]

    prompt_name: NotRequired[Union[str, None]]
    """The prompt's name."""

    run: RunId
    """The run."""

    status: RunStatus
    """Its status now."""

    suite: NotRequired[Union[str, None]]
    """The suite it was started from."""

    type: Literal['run.failed']
    """Always "run.failed": it tells this form from the others"""


class Event5(TypedDict):
    """A run was stopped by a person."""

    dataset: str
    """The dataset's name."""

    error: NotRequired[Union[str, None]]
    """Why it failed, where it did."""

    model_name: str
    """The model, as `provider/model`."""

    overall: NotRequired[Union[Estimate, None]]

    pass_rate: NotRequired[Union[Estimate, None]]

    prompt_name: NotRequired[Union[str, None]]
    """The prompt's name."""

    run: RunId
    """The run."""

    status: RunStatus
    """Its status now."""

    suite: NotRequired[Union[str, None]]
    """The suite it was started from."""

    type: Literal['run.cancelled']
    """Always "run.cancelled": it tells this form from the others"""


class Event6(TypedDict):
    """An alert was raised or changed."""

    action: AlertAction
    """What happened to it."""

    alert: Alert
    """The alert as it is now."""

    type: Literal['alert']
    """Always "alert": it tells this form from the others"""


class Event7(TypedDict):
    """A deployment points elsewhere."""

    action: str
    """What was done: `deploy`, `rollback` …"""

    deployment: str
    """Its name."""

    environment: str
    """The environment, such as `production`."""

    manifest: NotRequired[Union[str, None]]
    """The manifest it points to now."""

    previous: NotRequired[Union[str, None]]
    """The manifest it pointed to before."""

    type: Literal['deployment']
    """Always "deployment": it tells this form from the others"""


class Event8(TypedDict):
    """An experiment changed its status."""

    experiment: str
    """Its id."""

    name: str
    """Its name."""

    status: str
    """The status it has now."""

    type: Literal['experiment']
    """Always "experiment": it tells this form from the others"""


class Event9(TypedDict):
    """An incident was opened or closed."""

    action: str
    """What happened to it: `opened` or `closed`."""

    deployment: str
    """The deployment."""

    environment: str
    """Its environment."""

    incident: str
    """Its id."""

    type: Literal['incident']
    """Always "incident": it tells this form from the others"""


class Event10(TypedDict):
    """A version of a prompt was written, made the active one, or deleted."""

    action: str
    """What was done with it: `created`, `activated` or `deleted`."""

    prompt: str
    """The prompt's name."""

    type: Literal['prompt']
    """Always "prompt": it tells this form from the others"""

    version: str
    """The version."""


class Event11(TypedDict):
    """A dataset has another newest version than before."""

    dataset: str
    """Its name."""

    type: Literal['dataset']
    """Always "dataset": it tells this form from the others"""

    version: str
    """The version that is the newest now."""


class Event12(TypedDict):
    """A canary was started, or came a step further."""

    canary: str
    """Its id."""

    candidate: str
    """The candidate's manifest."""

    deployment: str
    """The deployment whose traffic it answers."""

    environment: str
    """The environment, such as `production`."""

    note: NotRequired[Union[str, None]]
    """Why."""

    status: str
    """The status it has now."""

    type: Literal['canary']
    """Always "canary": it tells this form from the others"""


class Event13(TypedDict):
    """A release was begun, came a step further, waits for something else, or ended."""

    deployment: str
    """The deployment."""

    release: str
    """Its id."""

    status: str
    """Where it stands: `open`, `released` or `cancelled`."""

    step: str
    """The step that it is at."""

    type: Literal['release']
    """Always "release": it tells this form from the others"""

    waiting: NotRequired[Union[str, None]]
    """What it waits for, and which command brings that about."""


class Event14(TypedDict):
    """A schedule's time came: it started a run, or had a reason not to."""

    action: str
    """What came of it: `started`, `skipped` or `failed`."""

    due: NotRequired[Union[str, None]]
    """The tick that it was about."""

    reason: NotRequired[Union[str, None]]
    """Why, where that is not plain."""

    run: NotRequired[Union[RunId, None]]

    schedule: str
    """Its name."""

    type: Literal['schedule']
    """Always "schedule": it tells this form from the others"""


# What happened, in one project.
Event = Union["Event1", "Event2", "Event3", "Event4", "Event5", "Event6", "Event7", "Event8", "Event9", "Event10", "Event11", "Event12", "Event13", "Event14"]


class Evidence(TypedDict):
    """All that a canary's pairs add up to."""

    asked: int
    """Requests that the candidate was asked."""

    cost: ClusterSums
    """The candidate's cost, by production's, of pairs whose tokens the providers counted."""

    error: ClusterSums
    """Errors, by requests asked."""

    errors: int
    """Of these, those that it did not answer."""

    flipped: int
    """Of the ties, those in which the order changed the judge's mind."""

    latency_candidate: LatencyCounts
    """How long the candidate took."""

    latency_production: LatencyCounts
    """How long production took."""

    length: ClusterSums
    """The candidate's characters, by production's."""

    loss: ClusterSums
    """Losses, by judged pairs."""

    losses: int
    """Pairs lost."""

    net_win: ClusterSums
    """Wins less losses, by judged pairs."""

    score_drop: ClusterSums
    """Drop of the score, by scored pairs."""

    soft: ClusterSums
    """Soft failures beyond production's, by answers."""

    spent: float
    """USD spent on candidate and judge."""

    ties: int
    """Pairs in which neither was better."""

    unjudged: int
    """Answers that the judge could not compare."""

    unjudged_in_a_row: NotRequired[int]
    """How many of them came last, without one between them that it could compare."""

    wins: int
    """Pairs won."""


class Example(TypedDict):
    """A few-shot example, put before the input as a user and an assistant message."""

    input: str
    """What the user would say."""

    output: str
    """What the model should answer."""


class Excluded(TypedDict):
    """What was left out."""

    early_observations: NotRequired[int]
    """Observations that lie before their unit was exposed, or before the experiment began: they are no effect of a variant."""

    examples: List[str]
    """Some of them by name."""

    units_in_several_variants: int
    """Units seen in more than one variant: with all their observations they count for none."""


class ExpectedCall2(TypedDict):
    """Name and arguments."""

    arguments: NotRequired[Any]
    """The arguments."""

    name: str
    """The tool's name."""


# A call that is expected: in files its name, or a map of name and arguments.
ExpectedCall = Union[str, "ExpectedCall2"]


class Experiment(TypedDict):
    """An experiment."""

    adaptive: NotRequired[Union[Adaptive, None]]

    allocations: NotRequired[List[Allocation]]
    """Every split and coverage since the start, oldest first; empty in a draft."""

    analysis: NotRequired[AnalysisPlan]
    """How the results are judged."""

    audience: NotRequired[Dict[str, Any]]
    """Condition on attributes that a unit must meet, such as `{"country": {"$in": ["DE", "FR"]}}`."""

    coverage: NotRequired[float]
    """Share of the units that take part, from 0 to 1. Raising it moves nobody."""

    created_at: str
    """When it was made."""

    description: NotRequired[Union[str, None]]
    """What is tested and why."""

    end_time: NotRequired[Union[str, None]]
    """When it was completed or cancelled."""

    holdout: NotRequired[Union[Holdout, None]]

    id: ExperimentId
    """The id."""

    key: NotRequired[str]
    """The key that feature-flag clients ask for; the name when absent. Of experiments that are running or paused, one has it."""

    metadata: NotRequired[Dict[str, Any]]
    """Anything else worth keeping."""

    metrics: NotRequired[List[ExperimentMetric]]
    """What is measured: names, or names with kind, direction, caps and so on."""

    name: str
    """A name for people."""

    namespace: NotRequired[Union[Namespace, None]]

    notices: NotRequired[List[str]]
    """What a reader should know: a split changed while running, a prompt that is not registered …"""

    one_look: NotRequired[Union[OneLook, None]]

    pauses: NotRequired[List[Pause]]
    """When it was paused."""

    revision: int
    """Rises with every change."""

    seed: NotRequired[str]
    """What the hash of a unit begins with; the experiment's id when absent. Experiments with one seed assign alike."""

    start_time: NotRequired[Union[str, None]]
    """When it was first started."""

    status: ExperimentStatus
    """Where it stands."""

    sticky: NotRequired[bool]
    """Whether a unit keeps its variant when the split changes."""

    target_metric: NotRequired[Union[str, None]]
    """The metric that decides; the first that is no guardrail when absent."""

    traffic_split: NotRequired[Dict[str, float]]
    """Share of each variant, by variant id: fractions that sum to 1 or percentages that sum to 100. Absent: equal shares."""

    unit: NotRequired[Unit]
    """Who is assigned: `user`, `session` or `{attribute: NAME}`."""

    updated_at: str
    """When it was last changed."""

    variants: List[Variant]
    """Two or more variants, exactly one of them control."""

    winner: NotRequired[Union[str, None]]
    """Id of the variant that won, once completed with one."""


# An experiment.
ExperimentId = str


class ExperimentMetric(TypedDict):
    """A metric, and how it is treated. Names are never pooled: two names are two metrics."""

    baseline: NotRequired[Union[float, None]]
    """The mean of today (of binary metrics the rate): what the plan is checked with at the start."""

    cap: NotRequired[Union[float, None]]
    """Values above count as this."""

    covariate: NotRequired[Union[str, None]]
    """Name of the pre-period metric that reduces the variance (CUPED). It is recorded like any other."""

    denominator: NotRequired[Union[str, None]]
    """For ratios: the name of the metric below the line. The metric's own values are above it."""

    direction: NotRequired[Union[Direction, None]]

    floor: NotRequired[Union[float, None]]
    """Values below count as this."""

    guardrail: NotRequired[Union[Guardrail, None]]

    kind: NotRequired[Union[MetricKind, None]]

    minimum_effect: NotRequired[Union[float, None]]
    """The smallest effect worth finding, in the metric's own unit: what the plan must be able to find."""

    name: str
    """The name that observations carry."""

    quantile: NotRequired[Union[float, None]]
    """For latencies: the quantile that is compared, such as 0.95. Absent: the mean or the rank test."""

    sd: NotRequired[Union[float, None]]
    """The standard deviation between units of today, which the plan is checked with at the start. Absent: that of an earlier experiment with this metric."""

    winsorize: NotRequired[Union[float, None]]
    """Unit means above this quantile (0.5 to 1) of all units count as the quantile."""


class ExperimentResult(TypedDict):
    """What an experiment found."""

    alpha: float
    """The chance of a false conclusion that is accepted."""

    basis: Basis
    """What the conclusion rests on."""

    comparisons: List[Comparison]
    """Every metric of every variant beside the control's; the target metric first."""

    computed_at: str
    """When this was computed."""

    conclusion: Conclusion
    """What the data allow."""

    confidence: float
    """1 − significance."""

    control: str
    """The control."""

    correction: Correction
    """The correction."""

    cumulative: NotRequired[List[Slice]]
    """Of all units that had entered by the end of each day."""

    days: NotRequired[List[Slice]]
    """Of the units that entered on each day."""

    excluded: Excluded
    """What was left out."""

    experiment: str
    """The experiment's id, or the file."""

    forecast: NotRequired[Union[Forecast, None]]

    missing: List[Missing]
    """What is missing for a winner."""

    notices: List[str]
    """What a reader should know."""

    recommendation: str
    """One sentence."""

    sample_ratio: NotRequired[Union[SampleRatio, None]]

    segments: NotRequired[List[Slice]]
    """Within each segment."""

    significance: float
    """The corrected p-value of the strongest comparison on the target metric, on the basis that decides: how often a difference this clear would be seen somewhere without any being there. 1 without data."""

    target_metric: str
    """The metric that decides."""

    total_samples: int
    """Units observed on the target metric, all variants together."""

    variant_results: Dict[str, VariantResult]
    """By variant."""

    winner: NotRequired[Union[str, None]]
    """The variant that won, and nothing until everything holds that must."""


class ExperimentSpec(TypedDict):
    """An experiment as people write it."""

    adaptive: NotRequired[Union[Adaptive, None]]

    analysis: NotRequired[AnalysisPlan]
    """How the results are judged."""

    audience: NotRequired[Dict[str, Any]]
    """Condition on attributes that a unit must meet, such as `{"country": {"$in": ["DE", "FR"]}}`."""

    coverage: NotRequired[float]
    """Share of the units that take part, from 0 to 1. Raising it moves nobody."""

    description: NotRequired[Union[str, None]]
    """What is tested and why."""

    holdout: NotRequired[Union[Holdout, None]]

    key: NotRequired[str]
    """The key that feature-flag clients ask for; the name when absent. Of experiments that are running or paused, one has it."""

    metadata: NotRequired[Dict[str, Any]]
    """Anything else worth keeping."""

    metrics: NotRequired[List[ExperimentMetric]]
    """What is measured: names, or names with kind, direction, caps and so on."""

    name: str
    """A name for people."""

    namespace: NotRequired[Union[Namespace, None]]

    seed: NotRequired[str]
    """What the hash of a unit begins with; the experiment's id when absent. Experiments with one seed assign alike."""

    sticky: NotRequired[bool]
    """Whether a unit keeps its variant when the split changes."""

    target_metric: NotRequired[Union[str, None]]
    """The metric that decides; the first that is no guardrail when absent."""

    traffic_split: NotRequired[Dict[str, float]]
    """Share of each variant, by variant id: fractions that sum to 1 or percentages that sum to 100. Absent: equal shares."""

    unit: NotRequired[Unit]
    """Who is assigned: `user`, `session` or `{attribute: NAME}`."""

    variants: List[Variant]
    """Two or more variants, exactly one of them control."""


# Where an experiment stands.
ExperimentStatus = Literal['draft', 'running', 'paused', 'completed', 'cancelled']


class ExportCounts(TypedDict):
    """What was exported, and what was left out."""

    considered: int
    """Examples that were looked at."""

    duplicates: int
    """Left out: almost the same as one that was exported (`MinHash` over three words, similarity of 0.8 or more)."""

    examples: int
    """Examples that were exported."""

    redacted: int
    """Left out: something in it was replaced when it was recorded."""

    secrets: int
    """Left out: an e-mail address, a phone or card number or a key is in it."""

    without_answer: int
    """Left out: there is no good answer, or none to set it against."""

    without_text: int
    """Left out: the record keeps no text of the question, or is gone."""


class Feedback(TypedDict):
    """Feedback as it is kept."""

    at: str
    """When it was said."""

    comment: NotRequired[Union[str, None]]
    """What the person wrote. E-mail addresses, phone and card numbers and keys in it are replaced before it is kept."""

    correction: NotRequired[Union[str, None]]
    """The answer as it should have been. What is personal or secret in it is replaced before it is kept."""

    idempotency_key: NotRequired[Union[str, None]]
    """The same key again is the same feedback."""

    label: NotRequired[Union[str, None]]
    """A word of the application's choice, such as `helpful` or `wrong_tone`."""

    rating: NotRequired[Union[Rating, None]]

    request_id: NotRequired[Union[str, None]]
    """The id of the request, as `x-llmops-request-id` says it."""

    signals: NotRequired[Dict[str, Any]]
    """What the application noticed: `retried`, `copied`, `abandoned`, `response_chars`, `latency_ms`, `tool_success` …; numbers, texts, true and false."""

    thumb: NotRequired[Union[Thumb, None]]

    trace_id: NotRequired[Union[str, None]]
    """Instead: the id of the trace that the request belongs to."""

    user: NotRequired[Union[str, None]]
    """Who says it, where that is known; else the user of the request."""

    context: NotRequired[Union[FeedbackContext, None]]

    id: FeedbackId
    """Its id."""

    sentiment: NotRequired[Union[Sentiment, None]]


class FeedbackBody(TypedDict):
    """What somebody says of an answer, as it is sent. One of `request_id` and `trace_id` names the answer, and at least one of the other fields says something."""

    at: NotRequired[Union[str, None]]
    """When it was said; absent: when it arrives."""

    comment: NotRequired[Union[str, None]]
    """What the person wrote. E-mail addresses, phone and card numbers and keys in it are replaced before it is kept."""

    correction: NotRequired[Union[str, None]]
    """The answer as it should have been. What is personal or secret in it is replaced before it is kept."""

    idempotency_key: NotRequired[Union[str, None]]
    """The same key again is the same feedback."""

    label: NotRequired[Union[str, None]]
    """A word of the application's choice, such as `helpful` or `wrong_tone`."""

    rating: NotRequired[Union[Rating, None]]

    request_id: NotRequired[Union[str, None]]
    """The id of the request, as `x-llmops-request-id` says it."""

    signals: NotRequired[Dict[str, Any]]
    """What the application noticed: `retried`, `copied`, `abandoned`, `response_chars`, `latency_ms`, `tool_success` …; numbers, texts, true and false."""

    thumb: NotRequired[Union[Thumb, None]]

    trace_id: NotRequired[Union[str, None]]
    """Instead: the id of the trace that the request belongs to."""

    user: NotRequired[Union[str, None]]
    """Who says it, where that is known; else the user of the request."""


class FeedbackContext(TypedDict):
    """What is known of the answer that feedback is about, once its record has been found."""

    deployment: NotRequired[Union[str, None]]
    """The deployment that was called."""

    environment: NotRequired[Union[str, None]]
    """Its environment."""

    manifest: NotRequired[Union[ContentHash, None]]

    model: NotRequired[str]
    """The model, as `provider/model`."""

    prompt: NotRequired[Union[str, None]]
    """Its prompt, as `NAME@VERSION`."""

    request_id: str
    """The record."""

    session: NotRequired[Union[str, None]]
    """The session."""

    tags: NotRequired[Dict[str, str]]
    """The caller's labels: the segments of summaries."""

    user: NotRequired[Union[str, None]]
    """The end user, as the record has it."""

    variant: NotRequired[Union[str, None]]
    """The variant of an experiment, as `experiment/variant`."""


# Feedback on an answer.
FeedbackId = str


class FeedbackReport(TypedDict):
    """The report."""

    before_first_day: str
    """The first day of the period before, which is as long."""

    deployment: NotRequired[Union[str, None]]
    """The deployment; absent: all."""

    first_day: str
    """The first day, UTC."""

    last_day: str
    """The last day."""

    open_reviews: int
    """Items of the review queue that nobody has decided on."""

    project: str
    """The project."""

    prompts: List[PromptFeedback]
    """By prompt version, the most answers first."""

    topics: Topics
    """What negative feedback is about."""

    total: PromptFeedback
    """Everything together."""


class FeedbackSummary(TypedDict):
    """What was said of answers, summed up."""

    by: SummaryBy
    """What the rows are."""

    first_day: str
    """The first day, UTC."""

    last_day: str
    """The last day, UTC."""

    requests: int
    """Answers that something was said of, in all rows and in none: not every answer has a prompt or a variant."""

    rows: List[FeedbackSummaryRow]
    """The rows; days in order, others with the most answers first."""

    unjoined: int
    """Of these, those that there is no record of: wrong ids, or records that are still to come. They are of no deployment, so that with one it is 0."""


class FeedbackSummaryRow(TypedDict):
    """What was said of the answers of one prompt version, day, segment … Each answer counts once, with the last word on it."""

    comments: int
    """Answers with a comment."""

    corrected: NotRequired[Union[Estimate, None]]

    name: str
    """Which one."""

    rating: NotRequired[Union[Estimate, None]]

    requests: int
    """Answers that anything was said of."""

    thumbs_up: NotRequired[Union[Estimate, None]]


class Firing(TypedDict):
    """One firing of a schedule."""

    due_at: str
    """When it happens: later by the jitter."""

    fire_at: str
    """The time it is for."""

    note: NotRequired[Union[str, None]]
    """Why it started none."""

    run: NotRequired[Union[RunId, None]]

    status: FiringStatus
    """What came of it."""


# What came of a firing.
FiringStatus = Literal['due', 'started', 'skipped', 'missed', 'failed']


class FixedTest(TypedDict):
    """A test that is valid for one look at the data."""

    df: NotRequired[Union[float, None]]
    """Degrees of freedom."""

    effect: float
    """Treatment − control."""

    estimand: str
    """What is compared: `difference of means`, `difference of rates` …"""

    interval: NotRequired[Union[Bounds, None]]

    method: str
    """Its key."""

    p_value: float
    """Two-sided p-value."""

    statistic: float
    """The test statistic."""

    test: str
    """Its name."""


class FlagError(TypedDict):
    """A flag that could not be evaluated."""

    errorCode: FlagErrorCode
    """Which kind of error it is."""

    errorDetails: str
    """What went wrong and how to mend it."""

    key: NotRequired[Union[str, None]]
    """The flag; null for a bulk request as a whole."""


# OpenFeature's error codes.
FlagErrorCode = Literal['PARSE_ERROR', 'TARGETING_KEY_MISSING', 'INVALID_CONTEXT', 'FLAG_NOT_FOUND', 'GENERAL']


class FlagMetadata(TypedDict):
    """What is known beside the value."""

    assignment: AssignmentReason
    """Why it has the variant, or takes no part."""

    experiment: str
    """Id of the experiment."""

    included: bool
    """Whether the unit takes part: only then do its observations count."""

    status: str
    """Its status."""


class FlagValue(TypedDict):
    """A flag's value for a unit."""

    key: str
    """The flag: the key of an experiment."""

    metadata: FlagMetadata
    """What is known beside the value."""

    reason: str
    """`SPLIT`, `STATIC` (the winner of what is over), `DEFAULT` or `DISABLED`."""

    value: Any
    """A boolean, text, number or object."""

    variant: str
    """Id of the variant."""


class Forecast(TypedDict):
    """When a winner may be expected, if things go on as they are."""

    days: NotRequired[Union[float, None]]
    """Days from now, where it is known how many units come a day."""

    message: str
    """What it rests on, in words."""

    more_units: NotRequired[Union[int, None]]
    """More units needed, all variants together; null where no number of them is likely to decide."""


class FunctionCall(TypedDict):
    """Name and arguments of a called function."""

    arguments: str
    """The arguments: JSON as text, exactly as the model wrote it."""

    name: str
    """The function's name."""


class GateConfig(TypedDict):
    """The gate's rules."""

    accept_changed_scoring: NotRequired[bool]
    """Let the absolute limits alone decide where the composite is made of other metrics than the baseline's. Otherwise that is inconclusive."""

    category_min: NotRequired[float]
    """Every category must reach this when there is no baseline."""

    fail_on_inconclusive: NotRequired[bool]
    """Exit 1 instead of 3 when the gate is inconclusive."""

    max_drop: NotRequired[float]
    """No category may drop by more than this against the baseline."""

    mode: NotRequired[GateMode]
    """How drops are judged."""

    overall_min: NotRequired[float]
    """The overall score must reach this."""

    require_judge_kappa: NotRequired[Union[float, None]]
    """The judge must agree with people at least this well (Cohen's kappa)."""

    retired_categories: NotRequired[List[str]]
    """Categories of the baseline that a run may lack. Any other one that is gone fails."""


# How drops are judged.
GateMode = Literal['strict', 'noise_aware']


class GateReport(TypedDict):
    """Everything the gate has to say: what scorecards are made of."""

    baseline: NotRequired[Union[EvaluationRun, None]]

    checks: List[Check]
    """The rules and what they found."""

    comparison: NotRequired[Union[RunComparison, None]]

    config: GateConfig
    """The rules that applied."""

    notices: List[str]
    """Things a reader should know: no baseline, metrics left out …"""

    run: EvaluationRun
    """The run that was gated."""

    samples: List[SampleNote]
    """Samples that explain what failed, worst first (at most 20)."""

    verdict: Verdict
    """The answer."""


class GateRequest(TypedDict):
    """Asks for a verdict on a run."""

    baseline: NotRequired[Union[str, None]]
    """The run to compare with; absent: the dataset's baseline."""

    config: NotRequired[GateConfig]
    """The rules."""

    notices: NotRequired[List[str]]
    """What the reader of the report should know about the comparison."""

    reference: NotRequired[Union[ReferenceScores, None]]


# What is done about a soft failure before the caller has the answer.
GuardAction = Literal['retry', 'fall_back', 'replace']


class GuardAlert(TypedDict):
    """When soft failures raise an alert: the rate in the window, with its 95 % interval wholly above `rate`; or a rate that left what it was in the windows before."""

    drift: NotRequired[bool]
    """Whether a change of the rate raises an alert, too."""

    min_calls: NotRequired[int]
    """Fewest calls that say anything."""

    rate: NotRequired[float]
    """The rate that is too high, from 0 to 1."""

    window: NotRequired[str]
    """Calls of this time are looked at."""


class GuardConfig(TypedDict):
    """Which answers count as soft failures. Without any key, empty and truncated answers, refusals, loops, unknown tools and answers off the wanted JSON schema do."""

    act_on: NotRequired[List[SoftFailureKind]]
    """The checks that are acted on; empty: all but `http` and `judge`, which come too late."""

    actions: NotRequired[List[GuardAction]]
    """What is done about a soft failure, one after the other until an answer passes: `retry`, `fall_back`, `replace`. Only answers that are not streamed can be acted on; the answer says what was done in `x-llmops-guard`."""

    alert: NotRequired[GuardAlert]
    """When somebody is told."""

    empty: NotRequired[bool]
    """An answer without text and without tool calls."""

    forbidden: NotRequired[List[str]]
    """Regular expressions of which none may match."""

    http: NotRequired[Union[HttpCheck, None]]

    json: NotRequired[bool]
    """The answer must be JSON."""

    judge: NotRequired[Union[JudgeCheck, None]]

    language: NotRequired[Union[str, None]]
    """The language that answers are in: `en`, `de`, `pt-BR` … Regions are not told apart, and short answers not looked at."""

    max_chars: NotRequired[Union[int, None]]
    """Most characters."""

    min_chars: NotRequired[Union[int, None]]
    """Fewest characters of an answer that has text."""

    refusal: NotRequired[bool]
    """An answer that declines in its first sentences, as the metric `refusal` finds it, or that the provider's filter ended."""

    repetition: NotRequired[bool]
    """The same one to 256 words again and again: three times, and 24 words, in a row or more. Where a script has no spaces, up to 512 characters, and 96 in all."""

    required: NotRequired[List[str]]
    """Regular expressions of which each must match."""

    safe_answer: NotRequired[Union[str, None]]
    """What `replace` answers."""

    schema: NotRequired[bool]
    """An answer that is not of the JSON schema in the manifest's `response_format`, or else in the caller's; or no JSON object where that is `json_object`."""

    truncated: NotRequired[bool]
    """An answer that ended at the token limit."""

    unknown_tool: NotRequired[bool]
    """A call of a tool that the request does not offer."""


class Guardrail(TypedDict):
    """A metric that may not become worse."""

    margin: float
    """How much worse it may be at most (the non-inferiority margin), 0 or more."""

    relative: NotRequired[bool]
    """Whether the margin is a share of the control's mean (0.02 is 2 %) and not an amount."""


class GuardrailMeasure(TypedDict):
    """A guardrail's number. What is tested has the unit of the policy but for latency, where it is the share of the candidate's answers that take longer than production's 95th percentile allows."""

    bound: float
    """What it must not exceed."""

    guardrail: CanaryGuardrail
    """Which."""

    limit: float
    """The policy's limit."""

    tested: CanaryMeasure
    """What is tested, with bounds that hold at every look."""

    value: float
    """The number, in the unit of the policy."""


class GuardrailResult(TypedDict):
    """A guardrail metric in one variant."""

    harm: float
    """How much worse it is (negative: better), as an amount."""

    harm_at_most: NotRequired[Union[float, None]]
    """Largest harm that the data allow."""

    margin: float
    """The margin as an amount of the metric."""

    state: GuardrailState
    """Where it stands."""


# Where a guardrail stands.
GuardrailState = Literal['holds', 'open', 'violated']


class Guardrails(TypedDict):
    """What must not become worse. Null switches one off."""

    cost: NotRequired[Union[float, None]]
    """Largest ratio of the mean cost of an answer."""

    error_rate: NotRequired[Union[float, None]]
    """Largest share of requests that the candidate fails to answer; for exposed users, beyond production's."""

    latency_p95: NotRequired[Union[float, None]]
    """Largest ratio of the 95th percentiles of the time an answer takes."""

    latency_slack: NotRequired[str]
    """A 95th percentile that is larger by no more than this is never too slow, whatever the ratio."""

    score_tolerance: NotRequired[Union[float, None]]
    """Largest drop of the mean score, on a scale from 0 to 1."""

    soft_failures: NotRequired[Union[float, None]]
    """Largest rise of the share of answers with soft failures."""


class HardExamples(TypedDict):
    """Makes a dataset of the questions whose answers were found bad."""

    dataset: str
    """The dataset, which is made where there is none."""

    deployment: NotRequired[Union[str, None]]
    """Only answers of this deployment."""

    limit: NotRequired[Union[int, None]]
    """Most samples; absent: 1,000."""

    start_time: NotRequired[Union[str, None]]
    """Said at or after."""


class HardExamplesMade(TypedDict):
    """The dataset of hard examples."""

    counts: ExportCounts
    """What was looked at, and left out."""

    dataset: ImportedDataset
    """Its version."""


class Health(TypedDict):
    """What calls of a model tell of its health. Errors of the request itself (a bad key, a prompt that is too long) are errors of the caller and do not count, except that nobody with such a key gets an answer."""

    calls: int
    """Calls seen."""

    error_rate: float
    """Moving average of failures, 0 to 1."""

    failures_in_a_row: int
    """Calls that failed since the last one that did not."""

    last_call_at: NotRequired[Union[str, None]]
    """When the last call ended."""

    last_error: NotRequired[Union[str, None]]
    """Why the last call that failed did."""

    latency_ms: NotRequired[Union[float, None]]
    """Moving average of the time to the whole answer, in milliseconds."""


class Holdout(TypedDict):
    """Units that take part in no experiment with this holdout, to measure what all of them together bring."""

    name: str
    """The holdout's name: experiments that name the same one leave out the same units."""

    share: float
    """Share of units left out, from 0 to below 1."""


class HttpCheck(TypedDict):
    """An endpoint that looks at answers. It gets `{"deployment", "input", "output"}` and answers `{"ok": false, "detail": "…"}` or `{"ok": true}`."""

    sampling: NotRequired[float]
    """Share of answers that are looked at, from 0 to 1."""

    timeout: NotRequired[str]
    """Longest wait for its word."""

    url: str
    """Where."""


class HttpScorerSpec(TypedDict):
    """A scorer that is an endpoint of the user's."""

    max_concurrency: NotRequired[int]
    """Most requests at a time."""

    retries: NotRequired[int]
    """How often a failed request is sent again (never after 400, 401, 403, 404)."""

    timeout: NotRequired[str]
    """A request that takes longer has failed."""

    url: str
    """Where a JSON object is posted to; the answer is `{"score": 0.8, "reason": "…"}`."""


class HumanLabel(TypedDict):
    """What one person said about one answer."""

    rater: NotRequired[str]
    """Who said it."""

    sample_id: str
    """The sample."""

    score: float
    """The score from 0 (bad) to 1 (good); of a yes-or-no label, 0 or 1."""

    trial: NotRequired[int]
    """Which answer to it, where there are several trials; from 0."""


class Hunk(TypedDict):
    """A stretch of changed lines with some unchanged ones around it."""

    header: str
    """Where it stands, as in unified diffs: `@@ -1,4 +1,5 @@`."""

    lines: List[DiffLine]
    """Its lines."""


class Impact(TypedDict):
    """What an incident meant for users."""

    calls: int
    """Calls of the deployment from the beginning of the timeline on."""

    cancelled: NotRequired[int]
    """Of these, calls whose callers left before the end. They are in no share."""

    complaints: int
    """Answers that users found bad."""

    failed: NotRequired[Union[Estimate, None]]

    refused: NotRequired[int]
    """Of these, calls that the gateway refused: wrong, or over a limit. They are in no share."""

    soft_failed: NotRequired[Union[Estimate, None]]


class ImportedDataset(TypedDict):
    """What became of an import."""

    created: bool
    """False when the same samples were there already."""

    version: DatasetVersion
    """The version."""

    warnings: NotRequired[List[str]]
    """Things worth a look."""


class Incident(TypedDict):
    """An incident."""

    closed_at: NotRequired[Union[str, None]]
    """When it was closed; absent while it is open."""

    closed_by: NotRequired[Union[str, None]]
    """Who closed it."""

    dataset: NotRequired[Union[str, None]]
    """The dataset of inputs that failed."""

    deployment: str
    """The deployment."""

    environment: str
    """Its environment."""

    id: IncidentId
    """Its id."""

    left_out: NotRequired[int]
    """Calls that failed and whose inputs are not in the dataset, as it would have got too large."""

    measures: NotRequired[List[IncidentMeasure]]
    """What was done at once."""

    notes: NotRequired[List[IncidentNote]]
    """What people wrote down, oldest first."""

    opened_at: str
    """When it was opened."""

    opened_by: str
    """Who opened it."""

    post_mortem: NotRequired[Union[str, None]]
    """The draft of the post-mortem, in Markdown."""

    resolution: NotRequired[Union[str, None]]
    """How it was resolved."""

    title: NotRequired[Union[str, None]]
    """What is wrong, in a sentence."""


# An incident.
IncidentId = str


class IncidentMeasure1(TypedDict):
    """The safe mode was switched on."""

    measure: Literal['safe_mode']
    """Always "safe_mode": it tells this form from the others"""


IncidentMeasure2 = TypedDict(
    "IncidentMeasure2",
    {
        'from': "str",
        'measure': "Literal['rollback']",
        'to': "str",
    },
    total=False,
)


class IncidentMeasure3(TypedDict):
    """The experiment of a release was paused: no further users see its candidate."""

    experiment: str
    """The experiment's key."""

    measure: Literal['experiment_paused']
    """Always "experiment_paused": it tells this form from the others"""


class IncidentMeasure4(TypedDict):
    """A canary that showed users its candidate was aborted: what is live answers them."""

    canary: str
    """The canary's id."""

    measure: Literal['canary_aborted']
    """Always "canary_aborted": it tells this form from the others"""


class IncidentMeasure5(TypedDict):
    """A canary that showed users its candidate was paused: what is live, or its safe mode, answers them."""

    canary: str
    """The canary's id."""

    measure: Literal['canary_paused']
    """Always "canary_paused": it tells this form from the others"""


# What was done at once.
IncidentMeasure = Union["IncidentMeasure1", "IncidentMeasure2", "IncidentMeasure3", "IncidentMeasure4", "IncidentMeasure5"]


class IncidentNote(TypedDict):
    """What somebody wrote down."""

    at: str
    """When."""

    by: str
    """Who."""

    text: str
    """What."""


# How two items of lists are compared.
ItemSimilarity = Literal['normalised', 'levenshtein', 'token_f1', 'rouge_l', 'chrf', 'embeddings']


class JsonFieldsSpec(TypedDict):
    """Options of `json_fields`."""

    absolute: NotRequired[float]
    """Largest difference between numbers that counts as equal."""

    allow_extra: NotRequired[bool]
    """Fields that the expected output does not have are no mistakes."""

    allow_fences: NotRequired[bool]
    """Accept a Markdown code fence around the answer."""

    ignore: NotRequired[List[str]]
    """JSON Pointers of fields that do not count, such as `/meta/created_at`."""

    lenient_strings: NotRequired[bool]
    """Texts are equal without regard to case and to the amount of white space."""

    relative: NotRequired[float]
    """The same as a share of the expected number. The larger of both counts."""


class JudgeCalibration(TypedDict):
    """A judge compared with people on the answers of one run."""

    agreement: Agreement
    """How far they agree."""

    bias: Estimate
    """Mean of judge − people: above 0, the judge is too generous."""

    category_bias: Dict[str, Estimate]
    """The same by category."""

    confusion: Confusion
    """Who passes what."""

    created_at: str
    """When it was made."""

    dataset: str
    """Its dataset."""

    id: CalibrationId
    """The id."""

    judge: JudgeIdentity
    """The judge."""

    labels: int
    """Labels."""

    metric: str
    """The metric that the judge computes in the run."""

    metric_mean: Corrected
    """Mean of the metric in the run, raw and corrected."""

    notices: NotRequired[List[str]]
    """What a reader should know."""

    overall: NotRequired[Union[Corrected, None]]

    raters: int
    """People."""

    run: RunId
    """The run whose answers were labelled."""

    samples: int
    """Samples with a label and a score of the judge."""

    threshold: float
    """A score passes at or above this."""


class JudgeCall(TypedDict):
    """How judges are asked."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""


class JudgeCheck(TypedDict):
    """A model that looks at some of the answers."""

    criterion: NotRequired[str]
    """What it looks for, in a sentence."""

    model: str
    """The model, as `provider/model`."""

    sampling: NotRequired[float]
    """Share of answers that it looks at, from 0 to 1."""

    threshold: NotRequired[float]
    """Least score, 0 to 1, of an answer that passes."""


class JudgeIdentity(TypedDict):
    """Which judge: what decides its scores. Another model, prompt or option is another judge."""

    hash: ContentHash
    """Hash of model, prompt and options."""

    model: str
    """The model or models, as `provider/model`."""

    prompt_hash: NotRequired[Union[str, None]]
    """Hash of the prompt, where one is known."""


class JudgeSpec(TypedDict):
    """A rubric judge."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""

    model: str
    """The judging model, as `provider/model`."""

    rubric: NotRequired[List[str]]
    """What is scored, each from 0 to 1: names, or `name: what it means`."""


class JudgeSummary(TypedDict):
    """How the judges of one metric did in a run."""

    agreed: NotRequired[Union[Estimate, None]]

    dropped: NotRequired[Dict[str, int]]
    """How often each judge failed or left the format and was dropped."""

    judges: List[str]
    """The judging models."""

    mean_rounds: NotRequired[Union[float, None]]
    """Of a debate: mean number of rounds."""

    mean_spread: NotRequired[Union[float, None]]
    """Of a debate: mean distance between the highest and the lowest score of the last round."""

    position_flips: NotRequired[Union[Estimate, None]]

    prompt: str
    """Label of the judge's prompt, `NAME@VERSION`."""

    prompt_hash: str
    """Its hash."""


class JudgedSpec(TypedDict):
    """A judged metric with a definition of its own."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""

    model: str
    """The judging model, as `provider/model`."""


class KeptVerdict(TypedDict):
    """What the gate said of a run, as it is kept with the run."""

    at: str
    """When it was given."""

    baseline: NotRequired[Union[RunId, None]]

    by: str
    """Who asked."""

    checks: List[Check]
    """The rules and what they found."""

    config: GateConfig
    """The rules that applied."""

    notices: List[str]
    """Things a reader should know."""

    verdict: Verdict
    """The answer."""


# A key of the API.
KeyId = str


# What a key allows. Each role may do what the ones before it may.
KeyRole = Literal['caller', 'viewer', 'editor', 'operator', 'admin']


class LanguageSpec(TypedDict):
    """Options of `language`."""

    languages: NotRequired[List[str]]
    """Accepted languages, as codes of ISO 639-1 or 639-3. Absent: the language of the sample's input."""


# Times by size, each known to 1 %. Two of them add up to that of both.
LatencyCounts = Dict[str, Any]


class LatencySummary(TypedDict):
    """Distribution of the target's latency."""

    mean_ms: float
    """Mean."""

    n: int
    """Calls measured."""

    p50_ms: float
    """Median."""

    p95_ms: float
    """95th percentile."""


class LengthSpec(TypedDict):
    """Options of `length`."""

    max: NotRequired[Union[int, None]]
    """The greatest length."""

    min: NotRequired[Union[int, None]]
    """The least length."""

    unit: NotRequired[LengthUnit]
    """What is counted."""


# What makes up a length.
LengthUnit = Literal['characters', 'bytes', 'words', 'lines']


class Lift(TypedDict):
    """A relative difference."""

    interval: NotRequired[Union[Bounds, None]]

    value: float
    """Treatment / control − 1."""


class Limits(TypedDict):
    """Most that may be spent. Absent means: no limit. Whoever spends is a key, or a deployment with all of its callers."""

    cost_per_day: NotRequired[Union[float, None]]
    """USD in a day."""

    cost_per_minute: NotRequired[Union[float, None]]
    """USD in a minute, by the price table. Models without a price cost nothing."""

    cost_per_month: NotRequired[Union[float, None]]
    """USD in a calendar month: the budget."""

    requests_per_day: NotRequired[Union[int, None]]
    """Requests in a day."""

    requests_per_minute: NotRequired[Union[int, None]]
    """Requests in a minute."""

    tokens_per_day: NotRequired[Union[int, None]]
    """Tokens in a day."""

    tokens_per_minute: NotRequired[Union[int, None]]
    """Tokens, read and written, in a minute."""


# Where a line is found.
LineKind = Literal['same', 'removed', 'added']


class ListMatchSpec(TypedDict):
    """Options of `list_match`."""

    item_threshold: NotRequired[float]
    """Items are the same from this similarity on."""

    items: NotRequired[bool]
    """The expected outputs of a sample are the items of one list. Otherwise each of them is a list, and the best one counts."""

    model: NotRequired[Union[str, None]]
    """The embedding model of `similarity: embeddings`: a directory, or NAME, OWNER/NAME or OWNER/NAME@REVISION on the Hugging Face hub. Absent: sentence-transformers/all-MiniLM-L6-v2."""

    score: NotRequired[ListScore]
    """Which share is the score."""

    similarity: NotRequired[ItemSimilarity]
    """How two items are compared."""


# Which share is the score of a comparison of two lists.
ListScore = Literal['precision', 'recall', 'f1']


class LoggedDecision(TypedDict):
    """A decision as it was written down, with everything it was made from: it can be made again by anyone."""

    acted: bool
    """What was done: nothing in a dry run, or where another process or a person was faster."""

    at: str
    """When it was made."""

    decision: Decision
    """What was decided."""

    number: int
    """Its number in the canary's log, from 1."""

    situation: Situation
    """What it was made from."""


class Manifest(TypedDict):
    """Everything that decides an answer. It is resolved: it does not depend on what is active later."""

    examples: NotRequired[List[Example]]
    """Few-shot examples."""

    model: str
    """The model, as `provider/model`."""

    model_version: NotRequired[Union[str, None]]
    """The provider's version or date of the model, where it is pinned."""

    parameters: NotRequired[Parameters]
    """Sampling parameters, stop sequences apart."""

    post_processing: NotRequired[List[PostProcessing]]
    """Steps applied to the answer."""

    prompt: NotRequired[Union[str, None]]
    """The prompt's name; null when the input is sent as it is."""

    prompt_hash: NotRequired[Union[ContentHash, None]]

    prompt_version: NotRequired[Union[str, None]]
    """The prompt's version."""

    response_format: NotRequired[Any]
    """OpenAI's `response_format`."""

    retriever_index_version: NotRequired[Union[str, None]]
    """The retriever's index the answers rest on."""

    stop: NotRequired[List[str]]
    """Stop sequences."""

    system: NotRequired[Union[str, None]]
    """System message."""

    tools: NotRequired[List[Any]]
    """Tools in OpenAI's shape."""


class Matcher(TypedDict):
    """Which alerts: those that fit everything that is named. The empty matcher fits all."""

    dataset: NotRequired[Union[str, None]]
    """About runs on this dataset."""

    fingerprint: NotRequired[Union[str, None]]
    """Of this cause."""

    metric: NotRequired[Union[str, None]]
    """About this metric or category."""

    model: NotRequired[Union[str, None]]
    """About runs of this model."""

    prompt: NotRequired[Union[str, None]]
    """About runs of this prompt."""

    severities: NotRequired[List[Severity]]
    """Of one of these severities."""

    source: NotRequired[Union[str, None]]
    """About this: `evaluation`, `experiment` …"""

    source_id: NotRequired[Union[str, None]]
    """Which of those: a run, an experiment."""

    types: NotRequired[List[AlertType]]
    """Of one of these types."""


class McNemarEvidence(TypedDict):
    """McNemar's test on pass and fail."""

    method: str
    """Exact, mid-p or chi-squared."""

    newly_failed: int
    """Passed before, fails now."""

    newly_passed: int
    """Failed before, passes now."""

    p_value: float
    """Two-sided p-value."""


# Which value of BERTScore counts.
Measure = Literal['precision', 'recall', 'f1']


class Measures(TypedDict):
    """What the sums say. A number that nothing can be said of yet is absent."""

    awaited: NotRequired[List[CanaryGuardrail]]
    """Guardrails of which too little was seen yet to say anything."""

    guardrails: NotRequired[List[GuardrailMeasure]]
    """The guardrails."""

    loss_rate: NotRequired[Union[CanaryMeasure, None]]

    net_win: NotRequired[Union[CanaryMeasure, None]]

    unmeasured: NotRequired[List[CanaryGuardrail]]
    """Guardrails that cannot be measured here, such as cost without a price: they decide nothing."""


class Message(TypedDict):
    """One message of a conversation."""

    content: NotRequired[Any]
    """Text, or a list of OpenAI content parts; null beside tool calls."""

    name: NotRequired[Union[str, None]]
    """Speaker's name, where several share a role."""

    role: Role
    """Who speaks."""

    tool_call_id: NotRequired[Union[str, None]]
    """The call that a `tool` message answers."""

    tool_calls: NotRequired[List[ToolCall]]
    """Calls the assistant made, in OpenAI's shape."""


# What kind of number a metric is. It decides the test.
MetricKind = Literal['binary', 'continuous', 'count', 'ordinal', 'latency', 'cost', 'ratio']


class MetricScore(TypedDict):
    """One metric of one trial."""

    detail: NotRequired[Any]
    """More, where there is more: rubric axes, precision and recall, a debate's transcript."""

    reason: NotRequired[Union[str, None]]
    """Why, where the scorer says: a judge's words, a schema violation."""

    score: float
    """The score."""


# One metric: its scorer, weight and threshold.
MetricSpec = Dict[str, Any]


class MetricSummary(TypedDict):
    """What is known of one metric in one variant. The unit counts once, however often it was observed."""

    interval: NotRequired[Union[Bounds, None]]

    max: NotRequired[Union[float, None]]
    """Largest observation."""

    mean: NotRequired[Union[float, None]]
    """The mean over units of what a unit counts with: its mean; for counts its sum. For ratios Σ numerator / Σ denominator, for binary metrics the rate. Null without units."""

    method: NotRequired[Union[str, None]]
    """How mean and interval were found."""

    min: NotRequired[Union[float, None]]
    """Smallest observation."""

    observations: int
    """Observations of these units."""

    quantile: NotRequired[Union[QuantileSummary, None]]

    sd: NotRequired[Union[float, None]]
    """Standard deviation between units; null below two units and for ratios."""

    units: int
    """Units (users) with at least one observation."""


# What happens to firings that nobody was there for.
Missed = Literal['skip', 'run_once']


class Missing(TypedDict):
    """What is missing for a winner."""

    message: str
    """In words, with the numbers."""

    what: str
    """`samples`, `duration`, `significance`, `guardrail`, `planned_n`, `sample_ratio`, `data`, or `declared` of a question that was asked after the start."""


class ModelPrice(TypedDict):
    """USD per million tokens."""

    input: float
    """For tokens read."""

    output: float
    """For tokens written."""


class ModelScore(TypedDict):
    """How good a model's answers are."""

    at: str
    """When it was set or measured."""

    interval: NotRequired[Union[List[float], None]]
    """Its 95 % interval."""

    model: str
    """The model, as `provider/model`."""

    n: NotRequired[Union[int, None]]
    """Samples behind it."""

    run: NotRequired[Union[str, None]]
    """The run it comes from."""

    score: float
    """The score, 0 to 1."""

    source: ScoreSource
    """Where it comes from."""


class ModelStatus(TypedDict):
    """A model with all that a choice rests on."""

    health: Health
    """What its calls tell, in this process."""

    healthy: bool
    """Whether calls may go there."""

    model: str
    """The model, as `provider/model`."""

    price: NotRequired[Union[ModelPrice, None]]

    score: NotRequired[Union[ModelScore, None]]


class Namespace(TypedDict):
    """Mutual exclusion: experiments of one namespace with ranges that do not overlap share no unit."""

    name: str
    """The namespace's name."""

    range: List[float]
    """The part of all units that may take part: from (inclusive) and to (exclusive), between 0 and 1."""


class NewPrompt(TypedDict):
    """A prompt version that was added."""

    at: str
    """When."""

    author: NotRequired[Union[str, None]]
    """Who wrote it."""

    change: NotRequired[Union[str, None]]
    """What changed, in its author's words."""

    name: str
    """The prompt."""

    version: str
    """The version."""


class NewReviewItem(TypedDict):
    """An answer for the queue."""

    category: NotRequired[Union[str, None]]
    """The category that its sample would count for."""

    deployment: NotRequired[Union[str, None]]
    """The deployment that answered."""

    detail: str
    """What was seen, in a sentence."""

    input: NotRequired[str]
    """What was asked. Empty where no body was kept: then only a person can say it."""

    manifest: NotRequired[Union[ContentHash, None]]

    messages: NotRequired[List[Message]]
    """The conversation before."""

    origin: str
    """What it is about: `request/ID`, `shadow/ID`, `run/RUN/SAMPLE`. The same origin again is the same item."""

    output: NotRequired[Union[str, None]]
    """The answer in question."""

    reason: ReviewReason
    """Why it is there."""

    request_id: NotRequired[Union[str, None]]
    """The request record."""

    suggestion: NotRequired[Union[str, None]]
    """A better answer: a user's correction, or the answer that won."""

    user: NotRequired[Union[str, None]]
    """The end user, so that erasing them erases it."""

    variables: NotRequired[Dict[str, Any]]
    """The variables of the prompt."""


class Notice(TypedDict):
    """A message to a channel."""

    alerts: List[NoticeAlert]
    """The most severe of them, at most a hundred; `GET /api/v1/alerts` lists all."""

    count: int
    """How many alerts it is about."""

    project: str
    """The project."""

    severities: Dict[str, int]
    """How many of each severity."""

    timestamp: str
    """When it was put together."""

    type: str
    """`alert.raised` or `alert.resolved` where all alerts were, `alert.group` for a mixture, `alert.test` for a test."""


class NoticeAlert(TypedDict):
    """An alert in a message."""

    acked_at: NotRequired[Union[str, None]]
    """When a person acknowledged it."""

    actual_value: NotRequired[Union[float, None]]
    """What was measured."""

    count: int
    """How often it came since it was raised first."""

    created_at: str
    """When it was raised first."""

    fingerprint: ContentHash
    """The same for all alerts of one cause."""

    id: AlertId
    """The id."""

    last_seen_at: str
    """When it came last."""

    message: str
    """What is wrong, in one sentence."""

    metadata: NotRequired[Dict[str, Any]]
    """The evidence: intervals, numbers of observations, the runs compared."""

    metric: NotRequired[Union[str, None]]
    """The number that is wrong: `pass_rate`, a metric, a category."""

    notified_at: NotRequired[Union[str, None]]
    """When channels were last told of it. Null: it was silenced, or another one of the same cause had just been sent."""

    notified_severities: NotRequired[List[Severity]]
    """The severities that channels were told of: those that heard of one of them hear of its end, whatever it is then."""

    resolved_at: NotRequired[Union[str, None]]
    """When it was resolved."""

    severity: Severity
    """How urgent it is."""

    source: str
    """What it is about: `evaluation`, `experiment`, or the word of whoever created it."""

    source_id: NotRequired[Union[str, None]]
    """Which of those: a run, an experiment."""

    threshold: NotRequired[Union[float, None]]
    """The limit that was passed."""

    type: AlertType
    """Why there is an alert."""

    action: AlertAction
    """What happened to it."""


# Which number of a text counts.
NumberPosition = Literal['whole', 'first', 'last']


class NumericMatchSpec(TypedDict):
    """Options of `numeric_match`. `1,234.50`, `1.234,50`, `1'234.50` and `12,34,567` are read as they are meant, and so are `3,90` and digits of other scripts; `1,234` is a thousand and more, `1.234` is not."""

    absolute: NotRequired[float]
    """Largest difference that counts as equal."""

    position: NotRequired[NumberPosition]
    """Which number of the text counts."""

    relative: NotRequired[float]
    """Largest difference that counts as equal, as a share of the expected number. The larger of both counts."""


class Observation(TypedDict):
    """One value of one metric. A unit's observations are one cluster: the unit counts once, however often it was observed. Without `unit`, the observation is a unit of its own. Without `variant`, it is the one that the unit is assigned to."""

    at: NotRequired[Union[str, None]]
    """When it was observed; when it arrives, if absent."""

    idempotency_key: NotRequired[Union[str, None]]
    """The same key, unit and metric again is the same observation. Without it, the same unit, metric, `at` and value is."""

    metric: str
    """The metric."""

    unit: NotRequired[Union[str, None]]
    """The unit: the user, session or whatever the experiment assigns."""

    value: float
    """The value; a finite number, `true` is 1 and `false` 0."""

    variant: NotRequired[Union[str, None]]
    """Id or name of the variant."""


class OneLook(TypedDict):
    """What the one look of a plan with a fixed horizon found. It is taken once, and stands."""

    at: str
    """When it was taken."""

    missing: List[Missing]
    """What was missing for a winner."""

    recommendation: str
    """One sentence."""

    significance: float
    """The corrected p-value of the strongest comparison on the target metric."""

    total_samples: int
    """Units observed on the target metric, all variants together."""

    winner: NotRequired[Union[str, None]]
    """The variant that won, if one did."""


class OpenIncident(TypedDict):
    """Opens an incident."""

    answer: NotRequired[Union[str, None]]
    """The fixed answer of the safe mode, where none is prepared."""

    deployment: str
    """The deployment."""

    environment: NotRequired[Union[str, None]]
    """Its environment; absent: `production`."""

    rollback: NotRequired[bool]
    """Whether the manifest before the present one answers again."""

    safe_mode: NotRequired[bool]
    """Whether the safe mode is switched on."""

    title: NotRequired[Union[str, None]]
    """What is wrong, in a sentence."""


class OpenedIncident(TypedDict):
    """An incident that was opened."""

    failed: NotRequired[List[str]]
    """What could not be done at once, and why. The incident is open all the same."""

    incident: Incident
    """The incident."""

    notices: NotRequired[List[str]]
    """What a person should know: who still sees a candidate, what was taken away with the manifest."""


# Who keeps a schedule.
Origin = Literal['api', 'config']


class Outcome1(TypedDict):
    """Answered and scored by every metric that decides something."""

    composite: NotRequired[Union[float, None]]
    """Weighted mean of the weighted metrics; null where no metric has a weight."""

    failures: NotRequired[List[str]]
    """What did not: `rouge_l < 0.7`."""

    passed: bool
    """Whether every metric reached its threshold."""

    scores: Dict[str, MetricScore]
    """Score by metric."""

    status: Literal['scored']
    """Always "scored": it tells this form from the others"""

    unscored: NotRequired[Dict[str, Unscored]]
    """Metrics without a score, by name: only such as decide nothing."""


class Outcome2(TypedDict):
    """Not answered or not judged."""

    message: str
    """The whole story."""

    reason: str
    """A short stable reason to count by: `provider: 500`, `judge: out of range`."""

    status: Literal['errored']
    """Always "errored": it tells this form from the others"""


# What became of a (sample, trial) pair. Never a made-up score: what could not be answered or judged is an error.
Outcome = Union["Outcome1", "Outcome2"]


# What happens when a schedule is due while what it started before still runs.
Overlap = Literal['skip', 'queue']


class Overview(TypedDict):
    """The state of a project at a glance."""

    alerts: AlertTally
    """Open alerts."""

    at: str
    """Now."""

    deployments: List[DeploymentHead]
    """Deployments by name, at most 20."""

    events: List[StoredEvent]
    """What happened since, newest first, at most 50; without beginnings and progress of runs, and versions of prompts and datasets."""

    experiments: List[Experiment]
    """Running and paused experiments, newest first, at most 20."""

    prompts: List[NewPrompt]
    """Prompt versions added since, newest first, at most 20."""

    quality: List[QualityPoint]
    """The dataset evaluated last and its completed runs, oldest first; at most 30, and the newest of all its samples before them where they are of a part only."""

    runs: RunTally
    """Runs."""

    since: str
    """What changed is told from here on: 24 hours ago."""

    traffic: Traffic
    """Traffic of the last 24 hours."""

    traffic_before: Traffic
    """Traffic of the 24 hours before, without its hours."""


class PageAlertItemsItem(TypedDict):
    """An alert."""

    acked_at: NotRequired[Union[str, None]]
    """When a person acknowledged it."""

    actual_value: NotRequired[Union[float, None]]
    """What was measured."""

    count: int
    """How often it came since it was raised first."""

    created_at: str
    """When it was raised first."""

    fingerprint: ContentHash
    """The same for all alerts of one cause."""

    id: AlertId
    """The id."""

    last_seen_at: str
    """When it came last."""

    message: str
    """What is wrong, in one sentence."""

    metadata: NotRequired[Dict[str, Any]]
    """The evidence: intervals, numbers of observations, the runs compared."""

    metric: NotRequired[Union[str, None]]
    """The number that is wrong: `pass_rate`, a metric, a category."""

    notified_at: NotRequired[Union[str, None]]
    """When channels were last told of it. Null: it was silenced, or another one of the same cause had just been sent."""

    notified_severities: NotRequired[List[Severity]]
    """The severities that channels were told of: those that heard of one of them hear of its end, whatever it is then."""

    resolved_at: NotRequired[Union[str, None]]
    """When it was resolved."""

    severity: Severity
    """How urgent it is."""

    source: str
    """What it is about: `evaluation`, `experiment`, or the word of whoever created it."""

    source_id: NotRequired[Union[str, None]]
    """Which of those: a run, an experiment."""

    threshold: NotRequired[Union[float, None]]
    """The limit that was passed."""

    type: AlertType
    """Why there is an alert."""


class PageAlert(TypedDict):
    """One page of a list."""

    items: List[PageAlertItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageApiKeyItemsItem(TypedDict):
    """A key of the API, without its secret: that is shown once, when the key is made, and only its hash is kept."""

    created_at: str
    """When it was made."""

    created_by: str
    """Who made it."""

    expires_at: NotRequired[Union[str, None]]
    """When it stops working; null: never."""

    id: KeyId
    """Its id."""

    last_used_at: NotRequired[Union[str, None]]
    """When it was used last, within a minute."""

    limits: NotRequired[Limits]
    """What may be spent with it at the gateway."""

    name: str
    """What people call it."""

    prefix: str
    """The beginning of the secret, by which people recognise it."""

    project: ProjectId
    """The project whose rows it reaches."""

    revoked_at: NotRequired[Union[str, None]]
    """When it was revoked."""

    role: KeyRole
    """What it allows."""


class PageApiKey(TypedDict):
    """One page of a list."""

    items: List[PageApiKeyItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageAppliedPieceItemsItem(TypedDict):
    """What was applied last of a piece."""

    at: str
    """When."""

    by: str
    """By whom: the name of a key, or `local`."""

    hash: ContentHash
    """The hash of its content."""

    kind: PieceKind
    """Its kind."""

    name: str
    """Its name."""


class PageAppliedPiece(TypedDict):
    """One page of a list."""

    items: List[PageAppliedPieceItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageApprovalItemsItem(TypedDict):
    """A promotion that waits for a second key."""

    created_at: str
    """When it was asked for."""

    decided_at: NotRequired[Union[str, None]]
    """When."""

    decided_by: NotRequired[Union[str, None]]
    """Who decided."""

    deployment: str
    """The deployment."""

    environment: str
    """Its environment."""

    id: ApprovalId
    """Its id."""

    manifest: ContentHash
    """The manifest that shall answer."""

    reason: NotRequired[Union[str, None]]
    """Why, in the words of who asked."""

    requested_by: str
    """Who asked: the name of the key, or `local`."""

    requested_key: NotRequired[Union[KeyId, None]]

    settings: NotRequired[Union[DeploymentSettings, None]]

    settings_before: NotRequired[Union[ContentHash, None]]

    status: ApprovalStatus
    """Where it stands."""


class PageApproval(TypedDict):
    """One page of a list."""

    items: List[PageApprovalItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageAskedQuestionItemsItem(TypedDict):
    """A question that was asked, and what became of it."""

    answered_at: NotRequired[Union[str, None]]
    """When it was answered, or failed."""

    asked_at: str
    """When it was asked."""

    error: NotRequired[Union[str, None]]
    """Why there is no answer."""

    experiment: ExperimentId
    """The experiment."""

    id: QuestionId
    """The id."""

    observations: int
    """Observations that were read for it."""

    question: Question
    """The question."""

    result: NotRequired[Union[ExperimentResult, None]]

    status: QuestionStatus
    """Where it stands."""


class PageAskedQuestion(TypedDict):
    """One page of a list."""

    items: List[PageAskedQuestionItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageAuditRecordItemsItem(TypedDict):
    """The record of one change of configuration."""

    action: str
    """What was done: `prompt.activated`, `key.revoked` …"""

    actor: str
    """The name of the key, `local`, or the part of llmops that did it."""

    after: NotRequired[Any]
    """How it is since; null: it is gone."""

    at: str
    """When."""

    before: NotRequired[Any]
    """How it was before; null: it was not there."""

    id: int
    """Its number; later changes have higher ones."""

    key: NotRequired[Union[KeyId, None]]

    request_id: NotRequired[Union[str, None]]
    """The request that did it, as in `x-request-id` and in the log."""

    target: str
    """What it was done to: `support-bot@1.2.0` …"""


class PageAuditRecord(TypedDict):
    """One page of a list."""

    items: List[PageAuditRecordItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageBaselineItemsItem(TypedDict):
    """A dataset's baseline."""

    dataset: str
    """The dataset."""

    run: EvaluationRun
    """The run tagged `env=production`."""


class PageBaseline(TypedDict):
    """One page of a list."""

    items: List[PageBaselineItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageCanaryItemsItem(TypedDict):
    """A candidate beside what is live."""

    active_seconds: NotRequired[int]
    """Seconds under way before `since`: pauses do not count."""

    approved_by: NotRequired[Union[str, None]]
    """Who let it be promoted, where a person did."""

    candidate: ContentHash
    """The manifest under trial."""

    candidate_model: str
    """The candidate's model, as `provider/model`."""

    created_at: str
    """When it was made."""

    deployment: str
    """The deployment whose traffic is answered again."""

    dry_run: NotRequired[bool]
    """Whether decisions are only written down: nothing is exposed, promoted or rolled back."""

    environment: str
    """The deployment's environment."""

    id: CanaryId
    """The id."""

    note: NotRequired[Union[str, None]]
    """Why it ended or waits, in one sentence."""

    policy: CanaryPolicy
    """What decides."""

    production: ContentHash
    """The manifest that was live when the canary began: what the candidate is compared with."""

    production_model: str
    """The model of that manifest."""

    revision: int
    """Grows with every change."""

    since: str
    """Since when it stands there."""

    started_by: NotRequired[Union[str, None]]
    """Who started it."""

    state: CanaryState
    """Where it stands."""

    updated_at: str
    """When it changed last."""


class PageCanary(TypedDict):
    """One page of a list."""

    items: List[PageCanaryItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageChannelItemsItem(TypedDict):
    """A channel of the configuration. What is secret of it stays where it is."""

    kind: str
    """`webhook`, `slack` or `command`."""

    name: str
    """Its name."""

    resolved: bool
    """Whether it is told when an alert is resolved."""

    severities: List[Severity]
    """Only alerts of these severities; empty: of all."""

    types: List[AlertType]
    """Only alerts of these types; empty: of all."""

    unset: List[str]
    """Environment variables that it needs and that are not set."""


class PageChannel(TypedDict):
    """One page of a list."""

    items: List[PageChannelItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageDatasetItemsItem(TypedDict):
    """A dataset with its newest version."""

    created_at: str
    """When the dataset was made."""

    description: NotRequired[Union[str, None]]
    """What it is about."""

    id: DatasetId
    """The id."""

    name: str
    """Unique in its project."""

    sample_count: int
    """Samples in the newest version."""

    type: DatasetType
    """What it is for."""

    updated_at: str
    """When the newest version was added."""

    version: NotRequired[Union[ContentHash, None]]


class PageDataset(TypedDict):
    """One page of a list."""

    items: List[PageDatasetItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageDatasetVersionItemsItem(TypedDict):
    """One version of a dataset."""

    categories: Dict[str, int]
    """Samples per category; samples without one count under the empty name."""

    created_at: str
    """When it was built."""

    dataset: str
    """The dataset's name."""

    sample_count: int
    """Number of samples."""

    version: ContentHash
    """Hash of its samples, independent of their order."""


class PageDatasetVersion(TypedDict):
    """One page of a list."""

    items: List[PageDatasetVersionItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageDeliveryItemsItem(TypedDict):
    """A message to a channel."""

    attempt: int
    """Attempts so far."""

    channel: str
    """The channel's name."""

    created_at: str
    """When it was put together."""

    error: NotRequired[Union[str, None]]
    """Why the last attempt failed."""

    give_up_at: str
    """When it is given up."""

    id: str
    """The id, which a webhook receives as `webhook-id`: the same with every attempt."""

    next_attempt_at: NotRequired[Union[str, None]]
    """When it is tried next."""

    notice: Notice
    """The message."""

    status: DeliveryStatus
    """Where it stands."""

    updated_at: str
    """When its status or attempt changed."""


class PageDelivery(TypedDict):
    """One page of a list."""

    items: List[PageDeliveryItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageDeploymentItemsItem(TypedDict):
    """A named pointer to a manifest."""

    created_at: str
    """When it was made."""

    environment: str
    """`production`, `staging` …"""

    manifest: ContentHash
    """The manifest that answers."""

    name: str
    """The name that applications give as `model`."""

    revision: int
    """Number of the last change, from 1."""

    safe_mode: bool
    """Whether the safe mode answers instead of the manifest."""

    settings: NotRequired[DeploymentSettings]
    """How calls are handled."""

    updated_at: str
    """When it was changed last."""

    updated_by: NotRequired[Union[str, None]]
    """Who changed it last."""


class PageDeployment(TypedDict):
    """One page of a list."""

    items: List[PageDeploymentItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


PageDeploymentChangeItemsItem = TypedDict(
    "PageDeploymentChangeItemsItem",
    {
        'action': "DeploymentAction",
        'at': "str",
        'by': "Union[str, None]",
        'from': "Union[ContentHash, None]",
        'reason': "Union[str, None]",
        'revision': "int",
        'to': "ContentHash",
    },
    total=False,
)


class PageDeploymentChange(TypedDict):
    """One page of a list."""

    items: List[PageDeploymentChangeItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageEvaluationRunItemsItem(TypedDict):
    """An evaluation run."""

    created_at: str
    """When it was created."""

    dataset: str
    """The dataset's name."""

    description: NotRequired[Union[str, None]]
    """What it was for."""

    end_time: NotRequired[Union[str, None]]
    """When it reached a final status."""

    error: NotRequired[Union[str, None]]
    """Why it failed, where it did; of a running one, why the process that worked on it could not go on."""

    gate: NotRequired[Union[KeptVerdict, None]]

    id: RunId
    """The id."""

    interrupted: NotRequired[bool]
    """Whether it is running by its status, and nobody works on it: whoever did is dead, or let the lease end. Workers go on with it by themselves, and so does `llmops eval --resume`."""

    metadata: NotRequired[Dict[str, Any]]
    """Anything else: commit, branch, author."""

    metrics: List[str]
    """Names of the metrics."""

    model_name: str
    """The model, as `provider/model`."""

    name: str
    """A name for people."""

    progress: Progress
    """Sample results so far and in all."""

    prompt_name: NotRequired[Union[str, None]]
    """The prompt's name."""

    prompt_version: NotRequired[Union[str, None]]
    """The prompt's version."""

    results: NotRequired[Union[RunResults, None]]

    spec: RunSpec
    """Everything that decides the results."""

    start_time: NotRequired[Union[str, None]]
    """When the first shard was taken."""

    status: RunStatus
    """Where it stands."""

    tags: NotRequired[Dict[str, str]]
    """Tags such as `env=production`."""


class PageEvaluationRun(TypedDict):
    """One page of a list."""

    items: List[PageEvaluationRunItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageExperimentItemsItem(TypedDict):
    """An experiment."""

    adaptive: NotRequired[Union[Adaptive, None]]

    allocations: NotRequired[List[Allocation]]
    """Every split and coverage since the start, oldest first; empty in a draft."""

    analysis: NotRequired[AnalysisPlan]
    """How the results are judged."""

    audience: NotRequired[Dict[str, Any]]
    """Condition on attributes that a unit must meet, such as `{"country": {"$in": ["DE", "FR"]}}`."""

    coverage: NotRequired[float]
    """Share of the units that take part, from 0 to 1. Raising it moves nobody."""

    created_at: str
    """When it was made."""

    description: NotRequired[Union[str, None]]
    """What is tested and why."""

    end_time: NotRequired[Union[str, None]]
    """When it was completed or cancelled."""

    holdout: NotRequired[Union[Holdout, None]]

    id: ExperimentId
    """The id."""

    key: NotRequired[str]
    """The key that feature-flag clients ask for; the name when absent. Of experiments that are running or paused, one has it."""

    metadata: NotRequired[Dict[str, Any]]
    """Anything else worth keeping."""

    metrics: NotRequired[List[ExperimentMetric]]
    """What is measured: names, or names with kind, direction, caps and so on."""

    name: str
    """A name for people."""

    namespace: NotRequired[Union[Namespace, None]]

    notices: NotRequired[List[str]]
    """What a reader should know: a split changed while running, a prompt that is not registered …"""

    one_look: NotRequired[Union[OneLook, None]]

    pauses: NotRequired[List[Pause]]
    """When it was paused."""

    revision: int
    """Rises with every change."""

    seed: NotRequired[str]
    """What the hash of a unit begins with; the experiment's id when absent. Experiments with one seed assign alike."""

    start_time: NotRequired[Union[str, None]]
    """When it was first started."""

    status: ExperimentStatus
    """Where it stands."""

    sticky: NotRequired[bool]
    """Whether a unit keeps its variant when the split changes."""

    target_metric: NotRequired[Union[str, None]]
    """The metric that decides; the first that is no guardrail when absent."""

    traffic_split: NotRequired[Dict[str, float]]
    """Share of each variant, by variant id: fractions that sum to 1 or percentages that sum to 100. Absent: equal shares."""

    unit: NotRequired[Unit]
    """Who is assigned: `user`, `session` or `{attribute: NAME}`."""

    updated_at: str
    """When it was last changed."""

    variants: List[Variant]
    """Two or more variants, exactly one of them control."""

    winner: NotRequired[Union[str, None]]
    """Id of the variant that won, once completed with one."""


class PageExperiment(TypedDict):
    """One page of a list."""

    items: List[PageExperimentItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageFeedbackItemsItem(TypedDict):
    """Feedback as it is kept."""

    at: str
    """When it was said."""

    comment: NotRequired[Union[str, None]]
    """What the person wrote. E-mail addresses, phone and card numbers and keys in it are replaced before it is kept."""

    correction: NotRequired[Union[str, None]]
    """The answer as it should have been. What is personal or secret in it is replaced before it is kept."""

    idempotency_key: NotRequired[Union[str, None]]
    """The same key again is the same feedback."""

    label: NotRequired[Union[str, None]]
    """A word of the application's choice, such as `helpful` or `wrong_tone`."""

    rating: NotRequired[Union[Rating, None]]

    request_id: NotRequired[Union[str, None]]
    """The id of the request, as `x-llmops-request-id` says it."""

    signals: NotRequired[Dict[str, Any]]
    """What the application noticed: `retried`, `copied`, `abandoned`, `response_chars`, `latency_ms`, `tool_success` …; numbers, texts, true and false."""

    thumb: NotRequired[Union[Thumb, None]]

    trace_id: NotRequired[Union[str, None]]
    """Instead: the id of the trace that the request belongs to."""

    user: NotRequired[Union[str, None]]
    """Who says it, where that is known; else the user of the request."""

    context: NotRequired[Union[FeedbackContext, None]]

    id: FeedbackId
    """Its id."""

    sentiment: NotRequired[Union[Sentiment, None]]


class PageFeedback(TypedDict):
    """One page of a list."""

    items: List[PageFeedbackItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageFiringItemsItem(TypedDict):
    """One firing of a schedule."""

    due_at: str
    """When it happens: later by the jitter."""

    fire_at: str
    """The time it is for."""

    note: NotRequired[Union[str, None]]
    """Why it started none."""

    run: NotRequired[Union[RunId, None]]

    status: FiringStatus
    """What came of it."""


class PageFiring(TypedDict):
    """One page of a list."""

    items: List[PageFiringItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageIncidentItemsItem(TypedDict):
    """An incident."""

    closed_at: NotRequired[Union[str, None]]
    """When it was closed; absent while it is open."""

    closed_by: NotRequired[Union[str, None]]
    """Who closed it."""

    dataset: NotRequired[Union[str, None]]
    """The dataset of inputs that failed."""

    deployment: str
    """The deployment."""

    environment: str
    """Its environment."""

    id: IncidentId
    """Its id."""

    left_out: NotRequired[int]
    """Calls that failed and whose inputs are not in the dataset, as it would have got too large."""

    measures: NotRequired[List[IncidentMeasure]]
    """What was done at once."""

    notes: NotRequired[List[IncidentNote]]
    """What people wrote down, oldest first."""

    opened_at: str
    """When it was opened."""

    opened_by: str
    """Who opened it."""

    post_mortem: NotRequired[Union[str, None]]
    """The draft of the post-mortem, in Markdown."""

    resolution: NotRequired[Union[str, None]]
    """How it was resolved."""

    title: NotRequired[Union[str, None]]
    """What is wrong, in a sentence."""


class PageIncident(TypedDict):
    """One page of a list."""

    items: List[PageIncidentItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageJudgeCalibrationItemsItem(TypedDict):
    """A judge compared with people on the answers of one run."""

    agreement: Agreement
    """How far they agree."""

    bias: Estimate
    """Mean of judge − people: above 0, the judge is too generous."""

    category_bias: Dict[str, Estimate]
    """The same by category."""

    confusion: Confusion
    """Who passes what."""

    created_at: str
    """When it was made."""

    dataset: str
    """Its dataset."""

    id: CalibrationId
    """The id."""

    judge: JudgeIdentity
    """The judge."""

    labels: int
    """Labels."""

    metric: str
    """The metric that the judge computes in the run."""

    metric_mean: Corrected
    """Mean of the metric in the run, raw and corrected."""

    notices: NotRequired[List[str]]
    """What a reader should know."""

    overall: NotRequired[Union[Corrected, None]]

    raters: int
    """People."""

    run: RunId
    """The run whose answers were labelled."""

    samples: int
    """Samples with a label and a score of the judge."""

    threshold: float
    """A score passes at or above this."""


class PageJudgeCalibration(TypedDict):
    """One page of a list."""

    items: List[PageJudgeCalibrationItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageLoggedDecisionItemsItem(TypedDict):
    """A decision as it was written down, with everything it was made from: it can be made again by anyone."""

    acted: bool
    """What was done: nothing in a dry run, or where another process or a person was faster."""

    at: str
    """When it was made."""

    decision: Decision
    """What was decided."""

    number: int
    """Its number in the canary's log, from 1."""

    situation: Situation
    """What it was made from."""


class PageLoggedDecision(TypedDict):
    """One page of a list."""

    items: List[PageLoggedDecisionItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageModelStatusItemsItem(TypedDict):
    """A model with all that a choice rests on."""

    health: Health
    """What its calls tell, in this process."""

    healthy: bool
    """Whether calls may go there."""

    model: str
    """The model, as `provider/model`."""

    price: NotRequired[Union[ModelPrice, None]]

    score: NotRequired[Union[ModelScore, None]]


class PageModelStatus(TypedDict):
    """One page of a list."""

    items: List[PageModelStatusItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageProjectItemsItem(TypedDict):
    """A project: a tenant. No key reaches the rows of another project."""

    created_at: str
    """When it was made."""

    id: ProjectId
    """Its id, which keys name."""

    name: str
    """What people call it."""


class PageProject(TypedDict):
    """One page of a list."""

    items: List[PageProjectItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PagePromptVersionItemsItem(TypedDict):
    """An immutable version of a prompt in the registry."""

    content: NotRequired[Union[str, None]]
    """The template text, sent as the last user message. Either this or `messages`."""

    examples: NotRequired[List[Example]]
    """Few-shot examples."""

    messages: NotRequired[List[Message]]
    """The template as chat messages."""

    model: NotRequired[Union[str, None]]
    """The model it was written for, as `provider/model`. A target may name another."""

    parameters: NotRequired[Parameters]
    """Sampling parameters."""

    post_processing: NotRequired[List[PostProcessing]]
    """Steps applied to the answer."""

    response_format: NotRequired[Any]
    """OpenAI's `response_format`."""

    system: NotRequired[Union[str, None]]
    """System message, put first."""

    tools: NotRequired[List[Any]]
    """Tools in OpenAI's shape."""

    variables: NotRequired[List[Variable]]
    """Declared variables."""

    author: NotRequired[Union[str, None]]
    """Who wrote it."""

    change: NotRequired[Union[str, None]]
    """What changed against the version before."""

    created_at: str
    """When it was pushed."""

    description: NotRequired[Union[str, None]]
    """What it is for."""

    hash: ContentHash
    """Hash of the body."""

    is_active: NotRequired[bool]
    """Whether it is the version that `get_latest` answers."""

    metadata: NotRequired[Dict[str, Any]]
    """Anything else worth keeping."""

    name: str
    """The prompt's name."""

    scores: NotRequired[List[PromptScore]]
    """What its newest completed evaluations found, one for each dataset and model, newest first. Lists of several prompts are without."""

    status: NotRequired[PromptStatus]
    """Where it is in use now."""

    tags: NotRequired[List[str]]
    """Free labels."""

    version: str
    """Semantic version."""


class PagePromptVersion(TypedDict):
    """One page of a list."""

    items: List[PagePromptVersionItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageReleaseItemsItem(TypedDict):
    """A release."""

    approved_by: NotRequired[Union[str, None]]
    """Who allowed it."""

    approved_key: NotRequired[Union[KeyId, None]]

    approved_over: NotRequired[Union[ContentHash, None]]

    canary: NotRequired[Union[str, None]]
    """The canary of its second step."""

    created_at: str
    """When it was begun."""

    created_by: str
    """Who began it."""

    created_key: NotRequired[Union[KeyId, None]]

    deployment: str
    """The deployment."""

    experiment: NotRequired[Union[str, None]]
    """The experiment of its third step."""

    history: List[ReleaseEvent]
    """What happened, oldest first."""

    id: ReleaseId
    """Its id."""

    label: str
    """Its prompt and model, for people."""

    manifest: ContentHash
    """The manifest."""

    policy: NotRequired[Union[CanaryPolicy, None]]

    revision: int
    """Number of changes so far."""

    status: ReleaseStatus
    """Where it stands."""

    step: ReleaseStep
    """The step that it is at."""

    stopped: NotRequired[Union[str, None]]
    """Why llmops took the candidate away from the users of the experiment; absent: it did not."""

    waiting: NotRequired[Union[str, None]]
    """What it waits for, and which command brings that about; absent where nothing is waited for."""

    waived: NotRequired[Union[ReleaseStep, None]]


class PageRelease(TypedDict):
    """One page of a list."""

    items: List[PageReleaseItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageRequestRecordItemsItem(TypedDict):
    """What is kept of one call."""

    at: str
    """When it came."""

    attempts: List[CallAttempt]
    """All attempts, in order."""

    cached: NotRequired[bool]
    """Whether the answer is one that was kept from an equal request."""

    cost: NotRequired[Union[float, None]]
    """USD by the price table; absent where the model has no price."""

    deployment: NotRequired[Union[str, None]]
    """The deployment; absent where a model was named directly."""

    door: Door
    """Which door."""

    environment: NotRequired[Union[str, None]]
    """The deployment's environment."""

    error: NotRequired[Union[str, None]]
    """What went wrong."""

    fingerprint: NotRequired[Union[str, None]]
    """The provider's `system_fingerprint`."""

    finish_reason: NotRequired[Union[str, None]]
    """Why the model stopped."""

    first_byte_ms: NotRequired[Union[float, None]]
    """Milliseconds until the first byte of the answer."""

    guard: NotRequired[List[GuardAction]]
    """What the guard did about a soft failure before the caller had the answer: `retry`, `fall_back` or `replace`."""

    id: str
    """Its id, which the answer carries as `x-llmops-request-id`."""

    key: NotRequired[Union[str, None]]
    """The id of the caller's key."""

    manifest: NotRequired[Union[ContentHash, None]]

    model: str
    """The model asked last, as `provider/model`; of a kept answer, the one that gave it. Where none was asked, the name that the caller gave."""

    model_answered: NotRequired[Union[str, None]]
    """The model that the provider says answered."""

    outcome: CallOutcome
    """How it ended."""

    request_body: NotRequired[Union[str, None]]
    """The request's body, by the deployment's policy."""

    response_body: NotRequired[Union[str, None]]
    """The answer: its text, by the deployment's policy."""

    safe_mode: NotRequired[bool]
    """Whether the deployment was in safe mode: its strict manifest, or its fixed answer, stood in for the one that is deployed."""

    session: NotRequired[Union[str, None]]
    """The user's session."""

    soft_failures: NotRequired[List[SoftFailure]]
    """What was wrong with the content of an answer that came."""

    status: int
    """The status that the caller got."""

    stream: bool
    """Whether the answer was streamed."""

    tags: NotRequired[Dict[str, str]]
    """The caller's own labels."""

    total_ms: float
    """Milliseconds until the end."""

    trace_id: NotRequired[Union[str, None]]
    """The trace of the application that the call belongs to: 32 hex digits, as `traceparent` says it."""

    undecided: NotRequired[List[SoftFailureKind]]
    """Checks that were to look at the answer and could not: what they would have said is not known."""

    usage: Usage
    """Tokens."""

    usage_estimated: NotRequired[bool]
    """Whether tokens were estimated from the text because a provider reported none: those of the answer, or of attempts that were given up."""

    user: NotRequired[Union[str, None]]
    """The end user."""

    variant: NotRequired[Union[str, None]]
    """The variant of an experiment, as `experiment/variant`."""


class PageRequestRecord(TypedDict):
    """One page of a list."""

    items: List[PageRequestRecordItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageReviewItemItemsItem(TypedDict):
    """An item of the queue."""

    category: NotRequired[Union[str, None]]
    """The category that its sample would count for."""

    deployment: NotRequired[Union[str, None]]
    """The deployment that answered."""

    detail: str
    """What was seen, in a sentence."""

    input: NotRequired[str]
    """What was asked. Empty where no body was kept: then only a person can say it."""

    manifest: NotRequired[Union[ContentHash, None]]

    messages: NotRequired[List[Message]]
    """The conversation before."""

    origin: str
    """What it is about: `request/ID`, `shadow/ID`, `run/RUN/SAMPLE`. The same origin again is the same item."""

    output: NotRequired[Union[str, None]]
    """The answer in question."""

    reason: ReviewReason
    """Why it is there."""

    request_id: NotRequired[Union[str, None]]
    """The request record."""

    suggestion: NotRequired[Union[str, None]]
    """A better answer: a user's correction, or the answer that won."""

    user: NotRequired[Union[str, None]]
    """The end user, so that erasing them erases it."""

    variables: NotRequired[Dict[str, Any]]
    """The variables of the prompt."""

    created_at: str
    """When it came into the queue."""

    decision: NotRequired[Union[ReviewDecision, None]]

    id: ReviewId
    """Its id."""

    status: ReviewStatus
    """Where it stands."""


class PageReviewItem(TypedDict):
    """One page of a list."""

    items: List[PageReviewItemItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageSampleItemsItem(TypedDict):
    """One case: what is asked and what a good answer is."""

    category: NotRequired[Union[str, None]]
    """The category it counts for."""

    context: NotRequired[List[str]]
    """Passages the answer should rest on. A single text in files is a list of one."""

    expected_output: NotRequired[List[str]]
    """Good answers; any of them will do. A single text in files is a list of one."""

    id: str
    """Unique in its dataset version."""

    input: NotRequired[str]
    """What is asked. `prompt` in files is the same."""

    messages: NotRequired[List[Message]]
    """A conversation instead of, or before, the input."""

    metadata: NotRequired[Dict[str, Any]]
    """Anything else."""

    source: NotRequired[Union[str, None]]
    """Where it came from."""

    variables: NotRequired[Dict[str, Any]]
    """Values for the prompt's variables."""


class PageSample(TypedDict):
    """One page of a list."""

    items: List[PageSampleItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageSampleAtItemsItem(TypedDict):
    """A sample with its place in the version."""

    category: NotRequired[Union[str, None]]
    """The category it counts for."""

    context: NotRequired[List[str]]
    """Passages the answer should rest on. A single text in files is a list of one."""

    expected_output: NotRequired[List[str]]
    """Good answers; any of them will do. A single text in files is a list of one."""

    id: str
    """Unique in its dataset version."""

    input: NotRequired[str]
    """What is asked. `prompt` in files is the same."""

    messages: NotRequired[List[Message]]
    """A conversation instead of, or before, the input."""

    metadata: NotRequired[Dict[str, Any]]
    """Anything else."""

    ordinal: int
    """Position, from 0."""

    source: NotRequired[Union[str, None]]
    """Where it came from."""

    variables: NotRequired[Dict[str, Any]]
    """Values for the prompt's variables."""


class PageSampleAt(TypedDict):
    """One page of a list."""

    items: List[PageSampleAtItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageSampleResultItemsItem(TypedDict):
    """The result of one (sample, trial) pair."""

    cached: bool
    """Whether the answer came from the response cache."""

    category: str
    """The category it counts for; empty where it has none."""

    cost: float
    """USD of the target's call."""

    finish_reason: NotRequired[Union[str, None]]
    """Why the target stopped."""

    judge_cost: NotRequired[float]
    """USD of the judges' calls."""

    latency_ms: float
    """Milliseconds of the target's call."""

    ordinal: int
    """Position of the sample in its dataset version, from 0."""

    outcome: Outcome
    """Scored or errored."""

    output: str
    """The target's answer after post-processing; empty where none came."""

    sample_id: str
    """The sample's id."""

    tool_calls: NotRequired[List[ToolCall]]
    """Tools the target wanted called."""

    trial: int
    """Trial, from 0."""

    usage: Usage
    """Tokens of the target's call."""


class PageSampleResult(TypedDict):
    """One page of a list."""

    items: List[PageSampleResultItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageScheduleItemsItem(TypedDict):
    """A schedule."""

    created_at: str
    """When it was made."""

    cron: NotRequired[Union[str, None]]
    """A cron expression of five fields (`0 3 * * *`), or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. Either this or `every`."""

    every: NotRequired[Union[str, None]]
    """The time between two runs, such as `24h`, counted from when the schedule was made."""

    jitter: NotRequired[str]
    """Runs start later by up to this, so that schedules of the same time spread."""

    last: NotRequired[Union[Firing, None]]

    missed: NotRequired[Missed]
    """When nobody was there to run it: `skip` it, or `run_once` for all that was missed."""

    name: str
    """Its name in the project: 1 to 128 letters, digits, `_`, `-` and `.`."""

    next_at: NotRequired[Union[str, None]]
    """The next firing. Null while it is paused."""

    origin: NotRequired[Origin]
    """Who keeps it."""

    overlap: NotRequired[Overlap]
    """When the run before is not over: `skip` this one, or `queue` it."""

    paused: NotRequired[bool]
    """Whether it waits until somebody resumes it."""

    run: NotRequired[Union[CreateRun, None]]

    task: NotRequired[Union[ScheduledTask, None]]

    timezone: NotRequired[str]
    """Time zone of the cron expression, a name of the IANA database."""

    updated_at: str
    """When it was changed last."""


class PageSchedule(TypedDict):
    """One page of a list."""

    items: List[PageScheduleItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageShadowPairItemsItem(TypedDict):
    """A request that production answered and the candidate answers too."""

    at: str
    """When the request came."""

    candidate: NotRequired[Union[SeenAnswer, None]]

    candidate_score: NotRequired[Union[float, None]]
    """Score of the candidate's answer, from 0 to 1."""

    cluster: str
    """What pairs of the same user, or else of the same session, have in common: a hash. Others stand alone."""

    error: NotRequired[Union[str, None]]
    """Why there is no answer of the candidate, or no verdict."""

    flipped: NotRequired[bool]
    """Whether the judge changed its mind with the order, which makes a tie."""

    id: str
    """The id of the request's record: a request makes one pair at most."""

    judge_cost: NotRequired[float]
    """USD that the judge cost."""

    number: NotRequired[Union[int, None]]
    """Its place in the order in which pairs were settled, from 1."""

    production: SeenAnswer
    """What production answered."""

    production_score: NotRequired[Union[float, None]]
    """Score of production's answer, from 0 to 1."""

    prompt_hash: int
    """The first 64 bits of the SHA-256 of what was asked, as a signed number."""

    reasons: NotRequired[List[str]]
    """The judge's reasons, where texts are kept."""

    status: PairStatus
    """How far it is."""

    texts: NotRequired[Union[ShadowTexts, None]]

    verdict: NotRequired[Union[PairVerdict, None]]


class PageShadowPair(TypedDict):
    """One page of a list."""

    items: List[PageShadowPairItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageSilenceItemsItem(TypedDict):
    """Alerts that fit are kept, and no channel is told, until it ends: of those that are still open then, channels are told."""

    comment: str
    """Why."""

    created_at: str
    """When it was made."""

    ends_at: str
    """Until when."""

    id: str
    """The id."""

    matcher: Matcher
    """Which alerts."""

    starts_at: str
    """From when."""


class PageSilence(TypedDict):
    """One page of a list."""

    items: List[PageSilenceItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


class PageTestedChannelItemsItem(TypedDict):
    """How a test message fared."""

    channel: str
    """The channel."""

    error: NotRequired[Union[str, None]]
    """Why not."""

    kind: str
    """Its kind."""

    ok: bool
    """Whether the channel took the message."""


class PageTestedChannel(TypedDict):
    """One page of a list."""

    items: List[PageTestedChannelItemsItem]
    """The items."""

    next_cursor: NotRequired[Union[str, None]]
    """Give this as `cursor` to get the next page; null on the last."""


# How far a pair is.
PairStatus = Literal['waiting', 'judged', 'candidate_failed', 'unjudged']


# Which answer was better, seen from the candidate.
PairVerdict = Literal['win', 'loss', 'tie']


class PairedEvidence(TypedDict):
    """Paired statistics over the samples that both runs scored."""

    categories: Dict[str, CategoryEvidence]
    """The same by category."""

    difference: Estimate
    """Mean difference of the composites (after less before), with the bootstrap interval."""

    mcnemar: NotRequired[Union[McNemarEvidence, None]]

    method: str
    """How the interval was made."""

    metrics: NotRequired[Dict[str, Estimate]]
    """Mean difference of each metric that both have, with the t-interval."""

    minimum_detectable_effect: NotRequired[Union[float, None]]
    """Smallest mean difference that this many samples show with 80 % power at α = 0.05."""

    p_value: NotRequired[Union[float, None]]
    """Two-sided p-value of no difference (paired t)."""

    pass_rate: NotRequired[Union[Estimate, None]]


class PairwiseSpec(TypedDict):
    """A comparison with another answer."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""

    against: NotRequired[str]
    """What answers are compared with: `reference` (the expected output), `baseline` (the baseline run's answer to the same sample) or the id of a run."""

    model: str
    """The judging model, as `provider/model`."""


# How the scores of a panel become one.
PanelRule = Literal['mean', 'median', 'majority']


class PanelSpec(TypedDict):
    """Several judges, each alone."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""

    cutoff: NotRequired[float]
    """Of a majority: from this score on a judge is in favour."""

    models: List[str]
    """The judging models, as `provider/model`."""

    rubric: NotRequired[List[str]]
    """What is scored, each from 0 to 1: names, or `name: what it means`."""

    rule: NotRequired[PanelRule]
    """How their scores become one."""


class Parameters(TypedDict):
    """Sampling parameters of a request. Absent means: the provider decides."""

    extra_body: NotRequired[Dict[str, Any]]
    """Anything else the provider takes, put into the request body as it is."""

    frequency_penalty: NotRequired[Union[float, None]]
    """Penalty on frequent tokens, −2 to 2."""

    max_tokens: NotRequired[Union[int, None]]
    """Most tokens to answer with."""

    presence_penalty: NotRequired[Union[float, None]]
    """Penalty on tokens that occurred, −2 to 2."""

    seed: NotRequired[Union[int, None]]
    """Seed for providers that take one."""

    stop: NotRequired[List[str]]
    """Texts that end the answer."""

    temperature: NotRequired[Union[float, None]]
    """Randomness, 0 to 2. Evaluation targets and judges default to 0."""

    top_p: NotRequired[Union[float, None]]
    """Nucleus sampling, 0 to 1."""


Pause = TypedDict(
    "Pause",
    {
        'from': "str",
        'to': "Union[str, None]",
    },
    total=False,
)


class Phase1(TypedDict):
    """Nothing."""

    phase: Literal['shadow']
    """Always "shadow": it tells this form from the others"""


class Phase2(TypedDict):
    """Its answers, to a share of them."""

    guardrails: List[GuardrailMeasure]
    """The guardrails among users."""

    phase: Literal['exposure']
    """Always "exposure": it tells this form from the others"""

    requests: int
    """Requests that the candidate answered at this stage."""

    seconds: int
    """Seconds at this stage."""

    stage: int
    """The stage."""


# How much of the candidate users see.
Phase = Union["Phase1", "Phase2"]


# The kinds of pieces that a project folder has.
PieceKind = Literal['prompt', 'dataset', 'schedule', 'experiment']


class PlanExperiment(TypedDict):
    """How large an experiment must be. With `sd` it compares means, without it rates."""

    alpha: NotRequired[Union[float, None]]
    """How often a change is found where there is none; default 0.05."""

    baseline: NotRequired[Union[float, None]]
    """The rate of today, between 0 and 1; for means it changes nothing."""

    effect: float
    """The smallest change worth finding, in the unit of the metric; not 0."""

    power: NotRequired[Union[float, None]]
    """How often a change of this size is found; default 0.8."""

    sd: NotRequired[Union[float, None]]
    """Standard deviation of the metric, for means."""

    units_per_day: NotRequired[Union[int, None]]
    """Units that come a day, all variants together."""

    variants: NotRequired[Union[int, None]]
    """Variants, the control among them, of the same size: 2 (the default) to 100. With more than two, each comparison with the control is planned at `alpha` shared by all of them, which suffices for the correction (Holm) of the results."""


class PlannedExperiment(TypedDict):
    """The size of an experiment, for one look at its end."""

    days: NotRequired[Union[int, None]]
    """Days, where the units of a day are known."""

    n_per_variant: int
    """Units of each variant."""

    n_total: int
    """Units of all variants."""


class PlayPrompt(TypedDict):
    """Asks a model once with a prompt version, as a run would."""

    input: NotRequired[str]
    """What the user says."""

    model: NotRequired[Union[str, None]]
    """`provider/model`; absent: the prompt's."""

    parameters: NotRequired[Parameters]
    """Laid over the prompt's parameters."""

    prompt: str
    """`NAME`, `NAME@VERSION` or `NAME@HASH`."""

    variables: NotRequired[Dict[str, Any]]
    """Values by variable."""


class PlayedPrompt(TypedDict):
    """What the model answered."""

    cost: NotRequired[Union[float, None]]
    """USD; absent where the model has no price."""

    finish_reason: NotRequired[Union[str, None]]
    """Why it stopped."""

    latency_ms: float
    """Milliseconds to the last byte."""

    messages: List[Message]
    """What was sent."""

    model: str
    """The model asked, as `provider/model`."""

    output: str
    """The answer, after post-processing."""

    tool_calls: NotRequired[List[ToolCall]]
    """Tools the model wanted called."""

    usage: Usage
    """Tokens."""


class PostProcessing3(TypedDict):
    """Takes one value out of a JSON answer: `{json_path: "$.answer"}`."""

    json_path: str
    """Takes one value out of a JSON answer: `{json_path: "$.answer"}`."""


class PostProcessing4(TypedDict):
    """Takes the first group (or the whole match) of a regular expression: `{regex: "Answer: (.*)"}`."""

    regex: str
    """Takes the first group (or the whole match) of a regular expression: `{regex: "Answer: (.*)"}`."""


# A step applied to the model's answer before it is scored or returned.
PostProcessing = Union[Literal['trim'], Literal['strip_fences'], "PostProcessing3", "PostProcessing4"]


class Preview(TypedDict):
    """The next firings of a schedule."""

    firings: List[str]
    """The firings, in UTC, in order."""

    timezone: str
    """Its time zone."""


class Problem(TypedDict):
    """One thing that is wrong with a request's content."""

    field: NotRequired[Union[str, None]]
    """The field, as a dotted path."""

    line: NotRequired[Union[int, None]]
    """Line of the body, from 1, where the body has lines."""

    message: str
    """What is wrong and what was expected."""


class ProcessHealth(TypedDict):
    """How the process is."""

    status: str
    """`ok`."""

    version: str
    """The version of llmops."""


class Progress(TypedDict):
    """How far a run is, in (sample, trial) pairs."""

    cost: float
    """USD spent so far."""

    done: int
    """Pairs with a result."""

    errored: int
    """Pairs that could not be answered or judged."""

    total: int
    """Pairs in all: samples × trials."""


class Project(TypedDict):
    """A project: a tenant. No key reaches the rows of another project."""

    created_at: str
    """When it was made."""

    id: ProjectId
    """Its id, which keys name."""

    name: str
    """What people call it."""


# A project: the tenant that every row belongs to.
ProjectId = str


class PromoteBaseline(TypedDict):
    """Makes a run the baseline of its dataset."""

    force: NotRequired[bool]
    """Promote a run that failed or has errors all the same."""

    run: str
    """The run."""


class PromoteRule(TypedDict):
    """When the candidate is promoted."""

    approval: NotRequired[bool]
    """Whether a person must approve, with another key than the one that started the canary."""

    net_win: NotRequired[float]
    """Once the net win rate (share of pairs won, less share lost) is beyond it with a lower bound above 0."""


class PromptBody(TypedDict):
    """What decides the answer: the part of a prompt that its hash covers."""

    content: NotRequired[Union[str, None]]
    """The template text, sent as the last user message. Either this or `messages`."""

    examples: NotRequired[List[Example]]
    """Few-shot examples."""

    messages: NotRequired[List[Message]]
    """The template as chat messages."""

    model: NotRequired[Union[str, None]]
    """The model it was written for, as `provider/model`. A target may name another."""

    parameters: NotRequired[Parameters]
    """Sampling parameters."""

    post_processing: NotRequired[List[PostProcessing]]
    """Steps applied to the answer."""

    response_format: NotRequired[Any]
    """OpenAI's `response_format`."""

    system: NotRequired[Union[str, None]]
    """System message, put first."""

    tools: NotRequired[List[Any]]
    """Tools in OpenAI's shape."""

    variables: NotRequired[List[Variable]]
    """Declared variables."""


PromptDiff = TypedDict(
    "PromptDiff",
    {
        'config': "List[ConfigDiff]",
        'from': "str",
        'identical': "bool",
        'text': "List[Hunk]",
        'to': "str",
        'variables': "List[VariableDiff]",
    },
    total=False,
)


class PromptFeedback(TypedDict):
    """What was said of the answers of one prompt version, beside the period before."""

    change: NotRequired[Union[Estimate, None]]

    corrected: NotRequired[Union[Estimate, None]]

    name: str
    """The prompt, as `NAME@VERSION`; `all` for everything together."""

    rating: NotRequired[Union[Estimate, None]]

    requests: int
    """Answers that anything was said of."""

    requests_before: int
    """The same in the period before."""

    thumbs_up: NotRequired[Union[Estimate, None]]

    thumbs_up_before: NotRequired[Union[Estimate, None]]


class PromptScore(TypedDict):
    """What an evaluation of a prompt version found."""

    at: str
    """When the run was made."""

    dataset: str
    """The dataset."""

    model: str
    """The model that answered."""

    overall: NotRequired[Union[Estimate, None]]

    pass_rate: Estimate
    """The share of samples that passed."""

    run: RunId
    """The run."""


# A prompt: one of the registry as `NAME`, `NAME@1.2.0` or `NAME@HASH`, or a whole one, which is registered unless it is there.
PromptSource = Union[str, "PromptSpec"]


class PromptSpec(TypedDict):
    """A prompt as it stands in `prompts/NAME.yaml` and as it is pushed."""

    content: NotRequired[Union[str, None]]
    """The template text, sent as the last user message. Either this or `messages`."""

    examples: NotRequired[List[Example]]
    """Few-shot examples."""

    messages: NotRequired[List[Message]]
    """The template as chat messages."""

    model: NotRequired[Union[str, None]]
    """The model it was written for, as `provider/model`. A target may name another."""

    parameters: NotRequired[Parameters]
    """Sampling parameters."""

    post_processing: NotRequired[List[PostProcessing]]
    """Steps applied to the answer."""

    response_format: NotRequired[Any]
    """OpenAI's `response_format`."""

    system: NotRequired[Union[str, None]]
    """System message, put first."""

    tools: NotRequired[List[Any]]
    """Tools in OpenAI's shape."""

    variables: NotRequired[List[Variable]]
    """Declared variables."""

    author: NotRequired[Union[str, None]]
    """Who wrote it."""

    change: NotRequired[Union[str, None]]
    """What changed against the version before."""

    description: NotRequired[Union[str, None]]
    """What it is for."""

    metadata: NotRequired[Dict[str, Any]]
    """Anything else worth keeping."""

    name: str
    """The prompt's name: at most 128 letters, digits, `.`, `_`, `/` and `-`, a letter or digit first."""

    tags: NotRequired[List[str]]
    """Free labels."""

    version: NotRequired[Union[str, None]]
    """Semantic version, such as 1.0.0. Absent: 1.0.0 of a new prompt; later pushes say how it is chosen (`bump`)."""


# Where a version stands on its way to users.
PromptStatus = Literal['draft', 'staging', 'production']


class PromptVersion(TypedDict):
    """An immutable version of a prompt in the registry."""

    content: NotRequired[Union[str, None]]
    """The template text, sent as the last user message. Either this or `messages`."""

    examples: NotRequired[List[Example]]
    """Few-shot examples."""

    messages: NotRequired[List[Message]]
    """The template as chat messages."""

    model: NotRequired[Union[str, None]]
    """The model it was written for, as `provider/model`. A target may name another."""

    parameters: NotRequired[Parameters]
    """Sampling parameters."""

    post_processing: NotRequired[List[PostProcessing]]
    """Steps applied to the answer."""

    response_format: NotRequired[Any]
    """OpenAI's `response_format`."""

    system: NotRequired[Union[str, None]]
    """System message, put first."""

    tools: NotRequired[List[Any]]
    """Tools in OpenAI's shape."""

    variables: NotRequired[List[Variable]]
    """Declared variables."""

    author: NotRequired[Union[str, None]]
    """Who wrote it."""

    change: NotRequired[Union[str, None]]
    """What changed against the version before."""

    created_at: str
    """When it was pushed."""

    description: NotRequired[Union[str, None]]
    """What it is for."""

    hash: ContentHash
    """Hash of the body."""

    is_active: NotRequired[bool]
    """Whether it is the version that `get_latest` answers."""

    metadata: NotRequired[Dict[str, Any]]
    """Anything else worth keeping."""

    name: str
    """The prompt's name."""

    scores: NotRequired[List[PromptScore]]
    """What its newest completed evaluations found, one for each dataset and model, newest first. Lists of several prompts are without."""

    status: NotRequired[PromptStatus]
    """Where it is in use now."""

    tags: NotRequired[List[str]]
    """Free labels."""

    version: str
    """Semantic version."""


class PushPrompt(TypedDict):
    """Pushes a prompt version."""

    activate: NotRequired[bool]
    """Make it the active version."""

    bump: NotRequired[BumpMode]
    """How its version number is chosen."""

    prompt: PromptSpec
    """The prompt."""


class PushedPrompt(TypedDict):
    """What became of a push."""

    created: bool
    """False when identical content was there already."""

    prompt: PromptVersion
    """The version in the registry."""

    reasons: NotRequired[List[str]]
    """Why the number was chosen, where it was derived."""

    warnings: NotRequired[List[str]]
    """Things worth a look: placeholders without a declared variable …"""


class PutApplied(TypedDict):
    """Says what was applied of a piece."""

    hash: NotRequired[Union[ContentHash, None]]

    kind: PieceKind
    """Its kind."""

    name: str
    """Its name."""


class QualityLimits(TypedDict):
    """Minima of the gate, from 0 to 1."""

    category_min: float
    """Of each category, where there is no baseline."""

    overall_min: float
    """Of the overall score."""


class QualityPoint(TypedDict):
    """A run in a series over time: its scores and what they are the scores of."""

    at: str
    """When it was created."""

    baseline: bool
    """Whether it is or was the baseline."""

    categories: Dict[str, Estimate]
    """Score of each category."""

    cost: float
    """What it cost, in USD: answers and judges."""

    dataset: str
    """The dataset's name."""

    dataset_version: ContentHash
    """The dataset version."""

    gate: NotRequired[Union[Verdict, None]]

    metrics: Dict[str, Estimate]
    """Mean of each metric."""

    model: str
    """The model, as `provider/model`."""

    overall: NotRequired[Union[Estimate, None]]

    partial: NotRequired[bool]
    """Whether only a part of the samples was evaluated: its scores are not the dataset's."""

    pass_rate: NotRequired[Union[Estimate, None]]

    prompt_name: NotRequired[Union[str, None]]
    """The prompt's name."""

    prompt_version: NotRequired[Union[str, None]]
    """The prompt's version."""

    run: RunId
    """The run."""

    status: RunStatus
    """Completed or failed."""

    suite: NotRequired[Union[str, None]]
    """The suite, where it has one."""


class QualitySeries(TypedDict):
    """Quality over time."""

    dataset: NotRequired[Union[str, None]]
    """The dataset that the runs are on; absent where nothing was evaluated yet."""

    datasets: List[EvaluatedDataset]
    """All datasets that have completed runs, the one evaluated last first; at most 100."""

    limits: QualityLimits
    """The limits that the configuration sets. Those of a suite may be others."""

    mlflow: NotRequired[Union[str, None]]
    """Where MLflow is, if the server's `MLFLOW_TRACKING_URI` names a server."""

    points: List[QualityPoint]
    """Completed runs, oldest first; at most the newest 500."""


class QuantileSummary(TypedDict):
    """A quantile of the observations."""

    interval: NotRequired[Union[Bounds, None]]

    q: float
    """Which one, between 0 and 1."""

    value: float
    """Its value."""


Question = TypedDict(
    "Question",
    {
        'from': "Union[str, None]",
        'metrics': "List[ExperimentMetric]",
        'note': "Union[str, None]",
        'segments': "List[str]",
        'target_metric': "Union[str, None]",
        'test': "Union[TestChoice, None]",
        'to': "Union[str, None]",
        'where': "Dict[str, Any]",
    },
    total=False,
)


# A question about an experiment.
QuestionId = str


# Where a question stands.
QuestionStatus = Literal['open', 'answered', 'failed']


class RaisedAlert(TypedDict):
    """What became of an alert that was raised."""

    alert: Alert
    """The alert: new, or the open one of the same cause."""

    telling: Telling
    """Whether channels are told, and why not."""


class Rating(TypedDict):
    """A rating and the scale that it was given on."""

    min: NotRequired[float]
    """The worst rating there is; absent: 0."""

    scale: float
    """The best rating there is, such as 5 for five stars."""

    value: float
    """From `min` to `scale`."""


class ReceivedFeedback(TypedDict):
    """What became of feedback. What was accepted is on disk."""

    accepted: int
    """How many are new."""

    duplicates: int
    """How many were there before, by their key."""

    ids: List[FeedbackId]
    """The ids, in the order sent; those of duplicates are the ones they had."""

    problems: NotRequired[List[Problem]]
    """What is wrong with those that were refused, the first hundred; `line` is the position in the list, from 1."""

    refused: int
    """How many were refused."""


class RecordedObservations(TypedDict):
    """What became of observations. They are on disk."""

    accepted: int
    """How many are new."""

    duplicates: int
    """How many were recorded before: the same key, or the same time and value."""

    early: NotRequired[int]
    """How many of those that are new do not count, because they lie before their unit was exposed or before the experiment began."""

    problems: List[Problem]
    """What is wrong with them, the first hundred."""

    refused: int
    """How many were refused."""

    replaced: NotRequired[int]
    """How many of those had another value, which the new one took the place of."""


class ReferenceScores(TypedDict):
    """Scores of a baseline whose run is kept elsewhere: without its samples, only the numbers can be compared."""

    categories: NotRequired[Dict[str, float]]
    """Score of each category, in [0, 1]."""

    overall: NotRequired[Union[float, None]]
    """The overall score, in [0, 1]."""

    source: str
    """Where they come from, for people: `the MLflow run 4f1c…`."""


# When declining is right.
RefusalExpectation = Literal['reference', 'refuse', 'answer']


class Rehearsal(TypedDict):
    """Whether earlier manifests could take over."""

    manifests: List[RehearsedManifest]
    """Each manifest that was live, the present one first."""

    ready: bool
    """Whether all could."""


class RehearsedManifest(TypedDict):
    """Whether one manifest could take over."""

    is_live: bool
    """Whether it answers now."""

    manifest: ContentHash
    """Its hash."""

    model: str
    """Its model."""

    problems: List[str]
    """What would go wrong; empty where nothing would."""

    prompt: NotRequired[Union[str, None]]
    """Its prompt, as `NAME@VERSION`."""


class Release(TypedDict):
    """A release."""

    approved_by: NotRequired[Union[str, None]]
    """Who allowed it."""

    approved_key: NotRequired[Union[KeyId, None]]

    approved_over: NotRequired[Union[ContentHash, None]]

    canary: NotRequired[Union[str, None]]
    """The canary of its second step."""

    created_at: str
    """When it was begun."""

    created_by: str
    """Who began it."""

    created_key: NotRequired[Union[KeyId, None]]

    deployment: str
    """The deployment."""

    experiment: NotRequired[Union[str, None]]
    """The experiment of its third step."""

    history: List[ReleaseEvent]
    """What happened, oldest first."""

    id: ReleaseId
    """Its id."""

    label: str
    """Its prompt and model, for people."""

    manifest: ContentHash
    """The manifest."""

    policy: NotRequired[Union[CanaryPolicy, None]]

    revision: int
    """Number of changes so far."""

    status: ReleaseStatus
    """Where it stands."""

    step: ReleaseStep
    """The step that it is at."""

    stopped: NotRequired[Union[str, None]]
    """Why llmops took the candidate away from the users of the experiment; absent: it did not."""

    waiting: NotRequired[Union[str, None]]
    """What it waits for, and which command brings that about; absent where nothing is waited for."""

    waived: NotRequired[Union[ReleaseStep, None]]


class ReleaseEvent(TypedDict):
    """One thing that happened to a release."""

    at: str
    """When."""

    by: str
    """Who."""

    kind: NotRequired[ReleaseEventKind]
    """What happened."""

    step: ReleaseStep
    """At which step."""

    text: str
    """What is waited for, the evidence, or the reason; may be empty."""


# What can happen to a release.
ReleaseEventKind = Literal['begun', 'waits', 'passed', 'waived', 'approved', 'stopped', 'cancelled', 'noted']


# A release: a manifest on its way to production.
ReleaseId = str


# Where a release stands.
ReleaseStatus = Literal['open', 'released', 'cancelled']


# The steps, in their order.
ReleaseStep = Literal['gate', 'staging', 'experiment', 'approval', 'production']


class Reloaded(TypedDict):
    """What became of a configuration that was read again."""

    applied: List[str]
    """Sections that changed and hold from now on."""

    needs_restart: List[str]
    """Sections that changed and hold when the process is started again."""


class RenderPrompt(TypedDict):
    """Values to render a prompt with."""

    variables: NotRequired[Dict[str, Any]]
    """Values by variable."""


class RenderedPrompt(TypedDict):
    """A rendered prompt."""

    messages: List[Message]
    """The messages that would be sent."""

    text: str
    """The text of the last message."""


class ReportQuery(TypedDict):
    """What is reported."""

    days: NotRequired[Union[int, None]]
    """How many days, 1 to 366; absent: 7. They are compared with as many days before."""

    deployment: NotRequired[Union[str, None]]
    """Only answers of this deployment."""

    end_time: NotRequired[Union[str, None]]
    """The last day is that of this time; absent: today."""

    model: NotRequired[Union[str, None]]
    """The embedding model that groups complaints; absent: the one of the configuration, else words."""


class RequestRecord(TypedDict):
    """What is kept of one call."""

    at: str
    """When it came."""

    attempts: List[CallAttempt]
    """All attempts, in order."""

    cached: NotRequired[bool]
    """Whether the answer is one that was kept from an equal request."""

    cost: NotRequired[Union[float, None]]
    """USD by the price table; absent where the model has no price."""

    deployment: NotRequired[Union[str, None]]
    """The deployment; absent where a model was named directly."""

    door: Door
    """Which door."""

    environment: NotRequired[Union[str, None]]
    """The deployment's environment."""

    error: NotRequired[Union[str, None]]
    """What went wrong."""

    fingerprint: NotRequired[Union[str, None]]
    """The provider's `system_fingerprint`."""

    finish_reason: NotRequired[Union[str, None]]
    """Why the model stopped."""

    first_byte_ms: NotRequired[Union[float, None]]
    """Milliseconds until the first byte of the answer."""

    guard: NotRequired[List[GuardAction]]
    """What the guard did about a soft failure before the caller had the answer: `retry`, `fall_back` or `replace`."""

    id: str
    """Its id, which the answer carries as `x-llmops-request-id`."""

    key: NotRequired[Union[str, None]]
    """The id of the caller's key."""

    manifest: NotRequired[Union[ContentHash, None]]

    model: str
    """The model asked last, as `provider/model`; of a kept answer, the one that gave it. Where none was asked, the name that the caller gave."""

    model_answered: NotRequired[Union[str, None]]
    """The model that the provider says answered."""

    outcome: CallOutcome
    """How it ended."""

    request_body: NotRequired[Union[str, None]]
    """The request's body, by the deployment's policy."""

    response_body: NotRequired[Union[str, None]]
    """The answer: its text, by the deployment's policy."""

    safe_mode: NotRequired[bool]
    """Whether the deployment was in safe mode: its strict manifest, or its fixed answer, stood in for the one that is deployed."""

    session: NotRequired[Union[str, None]]
    """The user's session."""

    soft_failures: NotRequired[List[SoftFailure]]
    """What was wrong with the content of an answer that came."""

    status: int
    """The status that the caller got."""

    stream: bool
    """Whether the answer was streamed."""

    tags: NotRequired[Dict[str, str]]
    """The caller's own labels."""

    total_ms: float
    """Milliseconds until the end."""

    trace_id: NotRequired[Union[str, None]]
    """The trace of the application that the call belongs to: 32 hex digits, as `traceparent` says it."""

    undecided: NotRequired[List[SoftFailureKind]]
    """Checks that were to look at the answer and could not: what they would have said is not known."""

    usage: Usage
    """Tokens."""

    usage_estimated: NotRequired[bool]
    """Whether tokens were estimated from the text because a provider reported none: those of the answer, or of attempts that were given up."""

    user: NotRequired[Union[str, None]]
    """The end user."""

    variant: NotRequired[Union[str, None]]
    """The variant of an experiment, as `experiment/variant`."""


# What a person does about an item.
ReviewAction = Literal['accept', 'correct', 'label', 'dismiss']


class ReviewDecision(TypedDict):
    """A decision that was made."""

    action: ReviewAction
    """What was done."""

    answer: NotRequired[Union[str, None]]
    """The answer that is good."""

    at: str
    """When."""

    by: str
    """Who."""

    dataset: NotRequired[Union[str, None]]
    """The dataset that has it as a sample."""

    dataset_version: NotRequired[Union[ContentHash, None]]

    label: NotRequired[Union[str, None]]
    """The label."""

    note: NotRequired[Union[str, None]]
    """Why."""

    sample: NotRequired[Union[Sample, None]]


# An item of the review queue.
ReviewId = str


class ReviewItem(TypedDict):
    """An item of the queue."""

    category: NotRequired[Union[str, None]]
    """The category that its sample would count for."""

    deployment: NotRequired[Union[str, None]]
    """The deployment that answered."""

    detail: str
    """What was seen, in a sentence."""

    input: NotRequired[str]
    """What was asked. Empty where no body was kept: then only a person can say it."""

    manifest: NotRequired[Union[ContentHash, None]]

    messages: NotRequired[List[Message]]
    """The conversation before."""

    origin: str
    """What it is about: `request/ID`, `shadow/ID`, `run/RUN/SAMPLE`. The same origin again is the same item."""

    output: NotRequired[Union[str, None]]
    """The answer in question."""

    reason: ReviewReason
    """Why it is there."""

    request_id: NotRequired[Union[str, None]]
    """The request record."""

    suggestion: NotRequired[Union[str, None]]
    """A better answer: a user's correction, or the answer that won."""

    user: NotRequired[Union[str, None]]
    """The end user, so that erasing them erases it."""

    variables: NotRequired[Dict[str, Any]]
    """The variables of the prompt."""

    created_at: str
    """When it came into the queue."""

    decision: NotRequired[Union[ReviewDecision, None]]

    id: ReviewId
    """Its id."""

    status: ReviewStatus
    """Where it stands."""


# Why an answer is in the queue.
ReviewReason = Literal['low_rating', 'correction', 'soft_failure', 'shadow_loss', 'uncertain_judge']


# Where an item stands.
ReviewStatus = Literal['open', 'accepted', 'corrected', 'labelled', 'dismissed']


# Who speaks.
Role = Literal['system', 'developer', 'user', 'assistant', 'tool']


class Rollback(TypedDict):
    """Points a deployment to a manifest that was live before."""

    environment: NotRequired[Union[str, None]]
    """The environment; absent: `production`."""

    reason: NotRequired[Union[str, None]]
    """Why."""

    to: NotRequired[Union[str, None]]
    """The beginning of the manifest's hash; absent: the one before the present one."""


# How requests are chosen.
Routing = Literal['hash']


class RunComparison(TypedDict):
    """What changed from one run to another."""

    category_changes: Dict[str, Change]
    """Change of each category both have."""

    flips: List[SampleChange]
    """Samples whose pass or fail changed, worst first."""

    improvements: List[str]
    """Metrics and categories that rose by more than 5 %."""

    metric_changes: Dict[str, Change]
    """Change of each metric both have, and of `overall`."""

    newly_failed: int
    """Samples that now fail and passed before."""

    newly_passed: int
    """Samples that now pass and failed before."""

    paired: NotRequired[Union[PairedEvidence, None]]

    pass_rate: NotRequired[Union[Change, None]]

    pass_rate_change: float
    """Pass rate after less pass rate before."""

    regressions: List[str]
    """Metrics and categories that fell by more than 5 %."""

    run1_id: RunId
    """The run before."""

    run2_id: RunId
    """The run after."""

    summary: str
    """One sentence."""


# An evaluation run.
RunId = str


class RunNews(TypedDict):
    """A run that changed its status."""

    dataset: str
    """The dataset's name."""

    error: NotRequired[Union[str, None]]
    """Why it failed, where it did."""

    model_name: str
    """The model, as `provider/model`."""

    overall: NotRequired[Union[Estimate, None]]

    pass_rate: NotRequired[Union[Estimate, None]]

    prompt_name: NotRequired[Union[str, None]]
    """The prompt's name."""

    run: RunId
    """The run."""

    status: RunStatus
    """Its status now."""

    suite: NotRequired[Union[str, None]]
    """The suite it was started from."""


class RunResults(TypedDict):
    """Aggregated results of a run."""

    categories: Dict[str, CategoryResult]
    """Score of each category: the mean of its composites."""

    corrected: NotRequired[Union[Corrected, None]]

    error_reasons: Dict[str, int]
    """How often each error kept a trial from being scored."""

    errored_samples: int
    """Samples without a single usable trial."""

    errored_trials: int
    """(sample, trial) pairs that could not be answered or judged."""

    failed_samples: int
    """Samples of which some trial did not pass."""

    failure_reasons: Dict[str, int]
    """How often each reason made a trial fail, such as `rouge_l < 0.7`."""

    judges: NotRequired[Dict[str, JudgeSummary]]
    """How the judges did, by judged metric."""

    latency: NotRequired[Union[LatencySummary, None]]

    metric_details: Dict[str, Estimate]
    """Mean of each metric with n and interval."""

    metric_scores: Dict[str, float]
    """Mean of each metric."""

    notices: NotRequired[List[str]]
    """Things a reader should know: metrics left out, judge equal to target …"""

    overall: NotRequired[Union[Estimate, None]]

    pass_rate: Estimate
    """Share of trials that passed, clustered by sample; errored trials are left out."""

    passed_samples: int
    """Samples of which every trial passed."""

    spend: Spend
    """Money and tokens."""

    total_samples: int
    """Samples in the run."""


class RunSpec(TypedDict):
    """What a run evaluates and how: everything that decides its results."""

    cache: bool
    """Whether answers may come from and go to the response cache."""

    category_weights: NotRequired[Dict[str, float]]
    """Weight of each category in the overall score; empty: all categories weigh the same."""

    dataset: str
    """The dataset's name: the lineage that baselines are looked up by."""

    dataset_version: ContentHash
    """The dataset version."""

    limit: NotRequired[Union[int, None]]
    """Only the first samples of the version, for a quick look; absent: all of them."""

    manifest: Manifest
    """The resolved target."""

    manifest_id: ContentHash
    """The manifest's id."""

    notices: NotRequired[List[str]]
    """What a reader of the results should know about how they were made: metrics left out, judge equal to target …"""

    only: NotRequired[Union[SampleSelection, None]]

    repeat: int
    """Trials per sample, at least 1."""

    scoring: ScoringSpec
    """Scorers, weights, thresholds."""

    suite: NotRequired[Union[str, None]]
    """The suite it was started from."""

    target: str
    """The target's name."""


# Where a run stands.
RunStatus = Literal['pending', 'running', 'completed', 'failed', 'cancelled']


class RunTally(TypedDict):
    """Runs by status."""

    cancelled: int
    """Created in the last 24 hours and cancelled."""

    completed: int
    """Created in the last 24 hours and completed."""

    failed: int
    """Created in the last 24 hours and failed."""

    pending: int
    """Waiting, now."""

    running: int
    """At work, now."""


class SafeMode(TypedDict):
    """What answers when something is wrong and nobody has time to find out what: prepared beforehand, one command."""

    answer: NotRequired[Union[str, None]]
    """A fixed answer, where no manifest is named."""

    manifest: NotRequired[Union[ContentHash, None]]


class SafeModeSwitched(TypedDict):
    """A deployment whose safe mode was switched, and what a person should know about it."""

    created_at: str
    """When it was made."""

    environment: str
    """`production`, `staging` …"""

    manifest: ContentHash
    """The manifest that answers."""

    name: str
    """The name that applications give as `model`."""

    revision: int
    """Number of the last change, from 1."""

    safe_mode: bool
    """Whether the safe mode answers instead of the manifest."""

    settings: NotRequired[DeploymentSettings]
    """How calls are handled."""

    updated_at: str
    """When it was changed last."""

    updated_by: NotRequired[Union[str, None]]
    """Who changed it last."""

    notices: NotRequired[List[str]]
    """Such as: a canary was paused."""


class Sample(TypedDict):
    """One case: what is asked and what a good answer is."""

    category: NotRequired[Union[str, None]]
    """The category it counts for."""

    context: NotRequired[List[str]]
    """Passages the answer should rest on. A single text in files is a list of one."""

    expected_output: NotRequired[List[str]]
    """Good answers; any of them will do. A single text in files is a list of one."""

    id: str
    """Unique in its dataset version."""

    input: NotRequired[str]
    """What is asked. `prompt` in files is the same."""

    messages: NotRequired[List[Message]]
    """A conversation instead of, or before, the input."""

    metadata: NotRequired[Dict[str, Any]]
    """Anything else."""

    source: NotRequired[Union[str, None]]
    """Where it came from."""

    variables: NotRequired[Dict[str, Any]]
    """Values for the prompt's variables."""


class SampleAt(TypedDict):
    """A sample with its place in the version."""

    category: NotRequired[Union[str, None]]
    """The category it counts for."""

    context: NotRequired[List[str]]
    """Passages the answer should rest on. A single text in files is a list of one."""

    expected_output: NotRequired[List[str]]
    """Good answers; any of them will do. A single text in files is a list of one."""

    id: str
    """Unique in its dataset version."""

    input: NotRequired[str]
    """What is asked. `prompt` in files is the same."""

    messages: NotRequired[List[Message]]
    """A conversation instead of, or before, the input."""

    metadata: NotRequired[Dict[str, Any]]
    """Anything else."""

    ordinal: int
    """Position, from 0."""

    source: NotRequired[Union[str, None]]
    """Where it came from."""

    variables: NotRequired[Dict[str, Any]]
    """Values for the prompt's variables."""


class SampleChange(TypedDict):
    """One sample before and after."""

    after: NotRequired[Union[float, None]]
    """Composite after."""

    before: NotRequired[Union[float, None]]
    """Composite before (mean over trials)."""

    category: str
    """Its category."""

    passed_after: NotRequired[Union[bool, None]]
    """Whether every trial passes now."""

    passed_before: NotRequired[Union[bool, None]]
    """Whether every trial passed before."""

    sample_id: str
    """The sample."""


class SampleNote(TypedDict):
    """A sample that explains a failed check."""

    baseline_composite: NotRequired[Union[float, None]]
    """Composite in the baseline."""

    baseline_output: NotRequired[Union[str, None]]
    """What the baseline answered."""

    category: str
    """Its category."""

    composite: NotRequired[Union[float, None]]
    """Composite now; null where it errored."""

    expected: NotRequired[Union[str, None]]
    """What a good answer is."""

    input: str
    """What was asked."""

    output: str
    """What was answered."""

    reasons: List[str]
    """What failed, or the error."""

    sample_id: str
    """The sample."""


class SampleRatio(TypedDict):
    """Whether the variants have the share of units that they should."""

    chi_squared_p: float
    """p-value of the chi-squared test, for one look."""

    counted: str
    """What was counted: `exposures`, `observed units` or `units with` the target metric; of several that are checked, the one that is wrong."""

    expected: Dict[str, float]
    """What they should be."""

    mismatch: bool
    """Whether there is a mismatch: then nothing is concluded."""

    observed: Dict[str, int]
    """Units of each variant."""

    p_value: float
    """p-value that is valid at every look (Dirichlet-multinomial); a mismatch is at most 0.001."""


class SampleResult(TypedDict):
    """The result of one (sample, trial) pair."""

    cached: bool
    """Whether the answer came from the response cache."""

    category: str
    """The category it counts for; empty where it has none."""

    cost: float
    """USD of the target's call."""

    finish_reason: NotRequired[Union[str, None]]
    """Why the target stopped."""

    judge_cost: NotRequired[float]
    """USD of the judges' calls."""

    latency_ms: float
    """Milliseconds of the target's call."""

    ordinal: int
    """Position of the sample in its dataset version, from 0."""

    outcome: Outcome
    """Scored or errored."""

    output: str
    """The target's answer after post-processing; empty where none came."""

    sample_id: str
    """The sample's id."""

    tool_calls: NotRequired[List[ToolCall]]
    """Tools the target wanted called."""

    trial: int
    """Trial, from 0."""

    usage: Usage
    """Tokens of the target's call."""


class SampleSelection(TypedDict):
    """A choice of samples. What is given must hold, all of it; what is left out leaves nothing out."""

    categories: NotRequired[List[str]]
    """Samples of one of these categories."""

    failing: NotRequired[Union[str, None]]
    """Samples that did not pass in this run: failed or errored in some trial."""

    ids: NotRequired[Union[List[str], None]]
    """Samples with these ids; those that failed are kept so."""

    pattern: NotRequired[Union[str, None]]
    """Samples whose id or question (the input, or the text of a message) matches this regular expression somewhere."""


class Schedule(TypedDict):
    """A schedule."""

    created_at: str
    """When it was made."""

    cron: NotRequired[Union[str, None]]
    """A cron expression of five fields (`0 3 * * *`), or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. Either this or `every`."""

    every: NotRequired[Union[str, None]]
    """The time between two runs, such as `24h`, counted from when the schedule was made."""

    jitter: NotRequired[str]
    """Runs start later by up to this, so that schedules of the same time spread."""

    last: NotRequired[Union[Firing, None]]

    missed: NotRequired[Missed]
    """When nobody was there to run it: `skip` it, or `run_once` for all that was missed."""

    name: str
    """Its name in the project: 1 to 128 letters, digits, `_`, `-` and `.`."""

    next_at: NotRequired[Union[str, None]]
    """The next firing. Null while it is paused."""

    origin: NotRequired[Origin]
    """Who keeps it."""

    overlap: NotRequired[Overlap]
    """When the run before is not over: `skip` this one, or `queue` it."""

    paused: NotRequired[bool]
    """Whether it waits until somebody resumes it."""

    run: NotRequired[Union[CreateRun, None]]

    task: NotRequired[Union[ScheduledTask, None]]

    timezone: NotRequired[str]
    """Time zone of the cron expression, a name of the IANA database."""

    updated_at: str
    """When it was changed last."""


class ScheduleSpec(TypedDict):
    """What a schedule says: when to run what."""

    cron: NotRequired[Union[str, None]]
    """A cron expression of five fields (`0 3 * * *`), or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. Either this or `every`."""

    every: NotRequired[Union[str, None]]
    """The time between two runs, such as `24h`, counted from when the schedule was made."""

    jitter: NotRequired[str]
    """Runs start later by up to this, so that schedules of the same time spread."""

    missed: NotRequired[Missed]
    """When nobody was there to run it: `skip` it, or `run_once` for all that was missed."""

    name: str
    """Its name in the project: 1 to 128 letters, digits, `_`, `-` and `.`."""

    origin: NotRequired[Origin]
    """Who keeps it."""

    overlap: NotRequired[Overlap]
    """When the run before is not over: `skip` this one, or `queue` it."""

    paused: NotRequired[bool]
    """Whether it waits until somebody resumes it."""

    run: NotRequired[Union[CreateRun, None]]

    task: NotRequired[Union[ScheduledTask, None]]

    timezone: NotRequired[str]
    """Time zone of the cron expression, a name of the IANA database."""


class ScheduledTask1(TypedDict):
    """The report on feedback is sent to a channel."""

    days: NotRequired[Union[int, None]]
    """How many days, 1 to 366; absent: 7. They are compared with as many days before."""

    deployment: NotRequired[Union[str, None]]
    """Only answers of this deployment."""

    end_time: NotRequired[Union[str, None]]
    """The last day is that of this time; absent: today."""

    model: NotRequired[Union[str, None]]
    """The embedding model that groups complaints; absent: the one of the configuration, else words."""

    channel: str
    """The channel of the configuration."""

    kind: Literal['feedback_report']
    """Always "feedback_report": it tells this form from the others"""


class ScheduledTask2(TypedDict):
    """The manifests that were live are rehearsed; one that could not take over raises an alert."""

    deployment: str
    """The deployment."""

    environment: NotRequired[Union[str, None]]
    """Its environment; absent: `production`."""

    kind: Literal['rehearsal']
    """Always "rehearsal": it tells this form from the others"""


# Something that is done by itself, and is no evaluation.
ScheduledTask = Union["ScheduledTask1", "ScheduledTask2"]


class ScoreBin(TypedDict):
    """Trials whose composite lies in a class."""

    failed: int
    """Trials that failed."""

    high: float
    """Up to here; the last class holds its end."""

    low: float
    """From here on."""

    passed: int
    """Trials that passed."""


class ScoreDistribution(TypedDict):
    """How the composites of a run are spread, by trial."""

    bins: List[ScoreBin]
    """Classes of equal width from 0 to 1, ascending."""

    errored: int
    """Trials that errored: they have no composite."""


# Where a score comes from.
ScoreSource = Literal['user', 'run']


class ScorerSpec1(TypedDict):
    """1 when the answer equals an expected output."""

    ignore_case: NotRequired[bool]
    """Compare without regard to case."""

    keep_whitespace: NotRequired[bool]
    """Keep white space at both ends. It is removed otherwise."""

    kind: Literal['exact_match']
    """Always "exact_match": it tells this form from the others"""


ScorerSpec2 = TypedDict(
    "ScorerSpec2",
    {
        'all': "bool",
        'ignore_case': "bool",
        'kind': "Literal['contains']",
        'not': "bool",
        'values': "List[str]",
    },
    total=False,
)


ScorerSpec3 = TypedDict(
    "ScorerSpec3",
    {
        'kind': "Literal['regex']",
        'not': "bool",
        'pattern': "str",
    },
    total=False,
)


class ScorerSpec4(TypedDict):
    """1 when the answer is JSON."""

    allow_fences: NotRequired[bool]
    """Accept a Markdown code fence around it."""

    kind: Literal['json_valid']
    """Always "json_valid": it tells this form from the others"""


class ScorerSpec5(TypedDict):
    """1 when the answer is JSON that fits a schema."""

    allow_fences: NotRequired[bool]
    """Accept a Markdown code fence around it."""

    kind: Literal['json_schema']
    """Always "json_schema": it tells this form from the others"""

    schema: Any
    """The JSON Schema."""


class ScorerSpec6(TypedDict):
    """1 − edit distance ÷ length of the longer text."""

    kind: Literal['levenshtein']
    """Always "levenshtein": it tells this form from the others"""


class ScorerSpec7(TypedDict):
    """Harmonic mean of precision and recall over normalised words."""

    kind: Literal['token_f1']
    """Always "token_f1": it tells this form from the others"""


class ScorerSpec8(TypedDict):
    """ROUGE-1 F-measure."""

    kind: Literal['rouge_1']
    """Always "rouge_1": it tells this form from the others"""

    stem: NotRequired[bool]
    """Stem words with Porter's algorithm."""


class ScorerSpec9(TypedDict):
    """ROUGE-2 F-measure."""

    kind: Literal['rouge_2']
    """Always "rouge_2": it tells this form from the others"""

    stem: NotRequired[bool]
    """Stem words with Porter's algorithm."""


class ScorerSpec10(TypedDict):
    """ROUGE-L F-measure (longest common subsequence of the whole text)."""

    kind: Literal['rouge_l']
    """Always "rouge_l": it tells this form from the others"""

    stem: NotRequired[bool]
    """Stem words with Porter's algorithm."""


class ScorerSpec11(TypedDict):
    """ROUGE-Lsum F-measure (by lines)."""

    kind: Literal['rouge_lsum']
    """Always "rouge_lsum": it tells this form from the others"""

    stem: NotRequired[bool]
    """Stem words with Porter's algorithm."""


class ScorerSpec12(TypedDict):
    """BLEU of the sentence, as sacrebleu."""

    kind: Literal['bleu']
    """Always "bleu": it tells this form from the others"""


class ScorerSpec13(TypedDict):
    """chrF or chrF++ of the sentence, as sacrebleu."""

    plus_plus: NotRequired[bool]
    """Count n-grams of words, too: chrF++."""

    kind: Literal['chrf']
    """Always "chrf": it tells this form from the others"""


class ScorerSpec14(TypedDict):
    """1 when the number in the answer is close to the expected one."""

    absolute: NotRequired[float]
    """Largest difference that counts as equal."""

    position: NotRequired[NumberPosition]
    """Which number of the text counts."""

    relative: NotRequired[float]
    """Largest difference that counts as equal, as a share of the expected number. The larger of both counts."""

    kind: Literal['numeric_match']
    """Always "numeric_match": it tells this form from the others"""


class ScorerSpec15(TypedDict):
    """Share of the fields of the expected JSON that the answer has right."""

    absolute: NotRequired[float]
    """Largest difference between numbers that counts as equal."""

    allow_extra: NotRequired[bool]
    """Fields that the expected output does not have are no mistakes."""

    allow_fences: NotRequired[bool]
    """Accept a Markdown code fence around the answer."""

    ignore: NotRequired[List[str]]
    """JSON Pointers of fields that do not count, such as `/meta/created_at`."""

    lenient_strings: NotRequired[bool]
    """Texts are equal without regard to case and to the amount of white space."""

    relative: NotRequired[float]
    """The same as a share of the expected number. The larger of both counts."""

    kind: Literal['json_fields']
    """Always "json_fields": it tells this form from the others"""


class ScorerSpec16(TypedDict):
    """Agreement of two lists, whatever their order, where items need not be literally equal."""

    item_threshold: NotRequired[float]
    """Items are the same from this similarity on."""

    items: NotRequired[bool]
    """The expected outputs of a sample are the items of one list. Otherwise each of them is a list, and the best one counts."""

    model: NotRequired[Union[str, None]]
    """The embedding model of `similarity: embeddings`: a directory, or NAME, OWNER/NAME or OWNER/NAME@REVISION on the Hugging Face hub. Absent: sentence-transformers/all-MiniLM-L6-v2."""

    score: NotRequired[ListScore]
    """Which share is the score."""

    similarity: NotRequired[ItemSimilarity]
    """How two items are compared."""

    kind: Literal['list_match']
    """Always "list_match": it tells this form from the others"""


class ScorerSpec17(TypedDict):
    """1 when the answer is written in an accepted language."""

    languages: NotRequired[List[str]]
    """Accepted languages, as codes of ISO 639-1 or 639-3. Absent: the language of the sample's input."""

    kind: Literal['language']
    """Always "language": it tells this form from the others"""


class ScorerSpec18(TypedDict):
    """1 when the answer's length is within limits."""

    max: NotRequired[Union[int, None]]
    """The greatest length."""

    min: NotRequired[Union[int, None]]
    """The least length."""

    unit: NotRequired[LengthUnit]
    """What is counted."""

    kind: Literal['length']
    """Always "length": it tells this form from the others"""


class ScorerSpec19(TypedDict):
    """Agreement of the tool calls with the expected ones: names, arguments, order."""

    absolute: NotRequired[float]
    """Largest difference between numbers in arguments that counts as equal."""

    arguments: NotRequired[ArgumentMatch]
    """How arguments are compared."""

    calls: NotRequired[Union[List[ExpectedCall], None]]
    """What is expected of every answer. Absent: the sample's `expected_tool_calls`."""

    lenient_strings: NotRequired[bool]
    """Texts in arguments are equal without regard to case and to the amount of white space."""

    order: NotRequired[CallOrder]
    """What the order has to be."""

    score: NotRequired[ListScore]
    """Which share is the score."""

    kind: Literal['tool_call']
    """Always "tool_call": it tells this form from the others"""


class ScorerSpec20(TypedDict):
    """Share of the checks on the path of tool calls that hold."""

    arguments: NotRequired[ArgumentMatch]
    """How arguments are compared."""

    calls: NotRequired[Union[List[ExpectedCall], None]]
    """What is expected of every answer. Absent: the sample's `expected_tool_calls`."""

    forbidden: NotRequired[List[str]]
    """Tools that must not be called."""

    max_calls: NotRequired[Union[int, None]]
    """The most calls in all."""

    max_repeats: NotRequired[Union[int, None]]
    """How often one call may be made with the same arguments."""

    mode: NotRequired[Union[TrajectoryMode, None]]

    required: NotRequired[List[str]]
    """Tools that have to be called."""

    kind: Literal['trajectory']
    """Always "trajectory": it tells this form from the others"""


class ScorerSpec21(TypedDict):
    """Share of the checks on the conversation, with the answer as its end, that hold."""

    answered: NotRequired[bool]
    """The assistant says something after each turn of the user."""

    forbidden: NotRequired[List[str]]
    """What the assistant must not say, without regard to case."""

    max_similarity: NotRequired[Union[float, None]]
    """No answer of the assistant is as similar as this to an earlier one."""

    max_turns: NotRequired[Union[int, None]]
    """The most turns of the user."""

    mentions: NotRequired[List[str]]
    """What the assistant has to say, in this order, without regard to case."""

    min_turns: NotRequired[Union[int, None]]
    """The fewest turns of the user."""

    kind: Literal['conversation']
    """Always "conversation": it tells this form from the others"""


class ScorerSpec22(TypedDict):
    """1 when what the sample's own `metadata.assertions` want holds, else the share of them that does, by weight."""

    kind: Literal['assertions']
    """Always "assertions": it tells this form from the others"""


class ScorerSpec23(TypedDict):
    """The user's own program."""

    cwd: NotRequired[Union[str, None]]
    """Working directory, relative to the project folder."""

    max_concurrency: NotRequired[int]
    """Most programs at a time."""

    persistent: NotRequired[bool]
    """The program stays, and answers a line with a line, instead of being started for each answer."""

    run: List[str]
    """Program and arguments. It gets a JSON object on standard input and writes `{"score": 0.8, "reason": "…"}`."""

    timeout: NotRequired[str]
    """A program that takes longer for an answer is stopped, and the sample is errored."""

    kind: Literal['command']
    """Always "command": it tells this form from the others"""


class ScorerSpec24(TypedDict):
    """The user's own endpoint."""

    max_concurrency: NotRequired[int]
    """Most requests at a time."""

    retries: NotRequired[int]
    """How often a failed request is sent again (never after 400, 401, 403, 404)."""

    timeout: NotRequired[str]
    """A request that takes longer has failed."""

    url: str
    """Where a JSON object is posted to; the answer is `{"score": 0.8, "reason": "…"}`."""

    kind: Literal['http']
    """Always "http": it tells this form from the others"""


class ScorerSpec25(TypedDict):
    """BERTScore: how well the tokens of answer and expected output match by their contextual embeddings."""

    baseline: NotRequired[Union[BaselineSpec, None]]

    idf: NotRequired[bool]
    """Weigh tokens by their inverse document frequency over all expected outputs of the dataset version, so that words that are in most of them count little."""

    layer: NotRequired[Union[int, None]]
    """The layer whose outputs are compared. Absent: the one that `bert_score` recommends for the model, else the last."""

    measure: NotRequired[Measure]
    """Which of the three values is the score; the sample's details have the others."""

    model: NotRequired[Union[str, None]]
    """The embedding model: a directory, or NAME, OWNER/NAME or OWNER/NAME@REVISION on the Hugging Face hub. Absent: sentence-transformers/all-MiniLM-L6-v2."""

    kind: Literal['bertscore']
    """Always "bertscore": it tells this form from the others"""


class ScorerSpec26(TypedDict):
    """Cosine of the mean token embeddings of answer and expected output."""

    kind: Literal['embedding_similarity']
    """Always "embedding_similarity": it tells this form from the others"""

    model: NotRequired[Union[str, None]]
    """The embedding model: a directory, or NAME, OWNER/NAME or OWNER/NAME@REVISION on the Hugging Face hub. Absent: sentence-transformers/all-MiniLM-L6-v2."""


class ScorerSpec27(TypedDict):
    """Milliseconds of the call. Reported only, unless `max_ms` makes it a limit."""

    kind: Literal['latency']
    """Always "latency": it tells this form from the others"""

    max_ms: NotRequired[Union[float, None]]
    """A trial whose call took longer does not pass."""


class ScorerSpec28(TypedDict):
    """USD of the call. Reported only, unless `max` makes it a limit."""

    kind: Literal['cost']
    """Always "cost": it tells this form from the others"""

    max: NotRequired[Union[float, None]]
    """A trial that cost more does not pass."""


class ScorerSpec29(TypedDict):
    """Whether the model declined to answer."""

    expect: NotRequired[Union[RefusalExpectation, None]]

    kind: Literal['refusal']
    """Always "refusal": it tells this form from the others"""


class ScorerSpec30(TypedDict):
    """A model scores the answer against a rubric."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""

    model: str
    """The judging model, as `provider/model`."""

    rubric: NotRequired[List[str]]
    """What is scored, each from 0 to 1: names, or `name: what it means`."""

    kind: Literal['judge']
    """Always "judge": it tells this form from the others"""


class ScorerSpec31(TypedDict):
    """A model decides on each claim of the answer: the share that follows from the sample's context."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""

    model: str
    """The judging model, as `provider/model`."""

    kind: Literal['faithfulness']
    """Always "faithfulness": it tells this form from the others"""


class ScorerSpec32(TypedDict):
    """A model scores how well the answer addresses the question."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""

    model: str
    """The judging model, as `provider/model`."""

    kind: Literal['answer_relevance']
    """Always "answer_relevance": it tells this form from the others"""


class ScorerSpec33(TypedDict):
    """A model decides on each claim of the answer: the share that is not made up. 1 is an answer without hallucinations."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""

    model: str
    """The judging model, as `provider/model`."""

    kind: Literal['hallucination']
    """Always "hallucination": it tells this form from the others"""


class ScorerSpec34(TypedDict):
    """A model scores how much the answer helps the person who asked."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""

    model: str
    """The judging model, as `provider/model`."""

    kind: Literal['helpfulness']
    """Always "helpfulness": it tells this form from the others"""


class ScorerSpec35(TypedDict):
    """A model scores how far what the answer states is true."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""

    model: str
    """The judging model, as `provider/model`."""

    kind: Literal['accuracy']
    """Always "accuracy": it tells this form from the others"""


class ScorerSpec36(TypedDict):
    """A model answers a checklist with yes and no: the share of yes, by weight."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""

    items: List[ChecklistItem]
    """Questions about the answer, such as `Does it name a source?`."""

    model: str
    """The judging model, as `provider/model`."""

    kind: Literal['checklist']
    """Always "checklist": it tells this form from the others"""


class ScorerSpec37(TypedDict):
    """A model compares the answer with another, in both orders: 1 where it wins, 0 where it loses, 0.5 for a tie."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""

    against: NotRequired[str]
    """What answers are compared with: `reference` (the expected output), `baseline` (the baseline run's answer to the same sample) or the id of a run."""

    model: str
    """The judging model, as `provider/model`."""

    kind: Literal['pairwise']
    """Always "pairwise": it tells this form from the others"""


class ScorerSpec38(TypedDict):
    """Several models score the answer against a rubric, each alone."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""

    cutoff: NotRequired[float]
    """Of a majority: from this score on a judge is in favour."""

    models: List[str]
    """The judging models, as `provider/model`."""

    rubric: NotRequired[List[str]]
    """What is scored, each from 0 to 1: names, or `name: what it means`."""

    rule: NotRequired[PanelRule]
    """How their scores become one."""

    kind: Literal['panel']
    """Always "panel": it tells this form from the others"""


class ScorerSpec39(TypedDict):
    """Several models score the answer against a rubric and revise after reading each other: the median of their scores."""

    parameters: NotRequired[Parameters]
    """More sampling parameters."""

    prompt: NotRequired[Union[str, None]]
    """The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows them as `llmops/judge-…`)."""

    reference_free: NotRequired[bool]
    """Judge without showing the expected outputs, as they are not known in production."""

    retries: NotRequired[int]
    """How often an answer that breaks the format is asked for again."""

    temperature: NotRequired[float]
    """Sampling temperature."""

    debate_prompt: NotRequired[Union[str, None]]
    """The prompt of the rounds after the first, like `prompt`. Absent: the built-in `llmops/judge-debate`."""

    epsilon: NotRequired[float]
    """The debate ends when all scores lie within this."""

    models: List[str]
    """The judging models, as `provider/model`. Three or more withstand one that lies or is fooled."""

    rounds: NotRequired[int]
    """Most rounds, the first included."""

    rubric: NotRequired[List[str]]
    """What is scored, each from 0 to 1: names, or `name: what it means`."""

    kind: Literal['debate']
    """Always "debate": it tells this form from the others"""


# A scorer and its options. In files, `kind` is the metric's own name where it is left out.
ScorerSpec = Union["ScorerSpec1", "ScorerSpec2", "ScorerSpec3", "ScorerSpec4", "ScorerSpec5", "ScorerSpec6", "ScorerSpec7", "ScorerSpec8", "ScorerSpec9", "ScorerSpec10", "ScorerSpec11", "ScorerSpec12", "ScorerSpec13", "ScorerSpec14", "ScorerSpec15", "ScorerSpec16", "ScorerSpec17", "ScorerSpec18", "ScorerSpec19", "ScorerSpec20", "ScorerSpec21", "ScorerSpec22", "ScorerSpec23", "ScorerSpec24", "ScorerSpec25", "ScorerSpec26", "ScorerSpec27", "ScorerSpec28", "ScorerSpec29", "ScorerSpec30", "ScorerSpec31", "ScorerSpec32", "ScorerSpec33", "ScorerSpec34", "ScorerSpec35", "ScorerSpec36", "ScorerSpec37", "ScorerSpec38", "ScorerSpec39"]


class ScoringSpec(TypedDict):
    """The scorers of a run, as resolved from the configuration."""

    max_error_rate: NotRequired[float]
    """Share of pairs that may error; 0.02 where it is left out."""

    max_judge_cost: NotRequired[Union[float, None]]
    """USD that judges may spend in the run."""

    metrics: Dict[str, MetricSpec]
    """Metrics by name, in the order written."""

    pass_threshold: NotRequired[float]
    """A trial passes a metric at or above this, where the metric names no threshold; 0.7 where it is left out."""


class SeenAnswer(TypedDict):
    """What is seen of an answer."""

    chars: int
    """Characters of its text."""

    cost: NotRequired[Union[float, None]]
    """USD by the price table; absent where the model has no price."""

    latency_ms: float
    """Milliseconds until its end."""

    model: str
    """The model that was asked, as `provider/model`."""

    soft_failures: NotRequired[List[SoftFailureKind]]
    """What was wrong with its content."""

    usage_estimated: NotRequired[bool]
    """Whether no provider counted its tokens, so that the cost is an estimate: it is compared with no other."""


class SendReport(TypedDict):
    """A report that is sent to a channel."""

    days: NotRequired[Union[int, None]]
    """How many days, 1 to 366; absent: 7. They are compared with as many days before."""

    deployment: NotRequired[Union[str, None]]
    """Only answers of this deployment."""

    end_time: NotRequired[Union[str, None]]
    """The last day is that of this time; absent: today."""

    model: NotRequired[Union[str, None]]
    """The embedding model that groups complaints; absent: the one of the configuration, else words."""

    channel: str
    """The channel of the configuration."""


# Whether an answer was found good.
Sentiment = Literal['negative', 'neutral', 'positive']


class Session(TypedDict):
    """Who the caller is."""

    expires_at: NotRequired[Union[str, None]]
    """When the session ends; null: the caller sends a key with each request, or needs none."""

    key: NotRequired[Union[KeyId, None]]

    name: str
    """The name of the key; `local` where none is needed."""

    project: ProjectId
    """The project whose rows the caller sees."""

    role: KeyRole
    """What the caller may do."""


class SetModelScore(TypedDict):
    """Sets a model's score by hand, in place of what runs measure."""

    model: str
    """The model, as `provider/model`."""

    score: NotRequired[Union[float, None]]
    """The score. Absent or null: forget the one that was set."""


# How urgent it is.
Severity = Literal['info', 'warning', 'critical']


class ShadowPair(TypedDict):
    """A request that production answered and the candidate answers too."""

    at: str
    """When the request came."""

    candidate: NotRequired[Union[SeenAnswer, None]]

    candidate_score: NotRequired[Union[float, None]]
    """Score of the candidate's answer, from 0 to 1."""

    cluster: str
    """What pairs of the same user, or else of the same session, have in common: a hash. Others stand alone."""

    error: NotRequired[Union[str, None]]
    """Why there is no answer of the candidate, or no verdict."""

    flipped: NotRequired[bool]
    """Whether the judge changed its mind with the order, which makes a tie."""

    id: str
    """The id of the request's record: a request makes one pair at most."""

    judge_cost: NotRequired[float]
    """USD that the judge cost."""

    number: NotRequired[Union[int, None]]
    """Its place in the order in which pairs were settled, from 1."""

    production: SeenAnswer
    """What production answered."""

    production_score: NotRequired[Union[float, None]]
    """Score of production's answer, from 0 to 1."""

    prompt_hash: int
    """The first 64 bits of the SHA-256 of what was asked, as a signed number."""

    reasons: NotRequired[List[str]]
    """The judge's reasons, where texts are kept."""

    status: PairStatus
    """How far it is."""

    texts: NotRequired[Union[ShadowTexts, None]]

    verdict: NotRequired[Union[PairVerdict, None]]


class ShadowTexts(TypedDict):
    """What was asked and answered. The conversation is the caller's own: each manifest puts its prompt around it."""

    candidate_answer: NotRequired[Union[str, None]]
    """What the candidate answered."""

    messages: List[Message]
    """The caller's messages."""

    parameters: NotRequired[Parameters]
    """The caller's sampling parameters."""

    production_answer: str
    """What production answered."""

    response_format: NotRequired[Union[Dict[str, Any], None]]
    """The form of answer that the caller asks for."""

    tools: NotRequired[List[Dict[str, Any]]]
    """The tools that the caller offers."""

    variables: NotRequired[Dict[str, Any]]
    """The caller's values of the prompt's variables."""


class SignIn(TypedDict):
    """Signs in: exchanges a key for a session cookie."""

    key: str
    """The key."""


class Silence(TypedDict):
    """Alerts that fit are kept, and no channel is told, until it ends: of those that are still open then, channels are told."""

    comment: str
    """Why."""

    created_at: str
    """When it was made."""

    ends_at: str
    """Until when."""

    id: str
    """The id."""

    matcher: Matcher
    """Which alerts."""

    starts_at: str
    """From when."""


# Everything that a decision is made from.
Situation = Dict[str, Any]


class Slice(TypedDict):
    """The comparisons within one segment or up to one day."""

    comparisons: List[Comparison]
    """Corrected over all segments, variants and metrics together; days are not corrected."""

    name: str
    """`country=DE`, or the day `2026-11-26`."""

    variant_results: Dict[str, Dict[str, MetricSummary]]
    """Means by variant and metric."""


class SoftFailure(TypedDict):
    """What is wrong with the content of an answer."""

    detail: str
    """What was seen, in a few words."""

    kind: SoftFailureKind
    """Which check found it."""


# The checks.
SoftFailureKind = Literal['empty', 'too_short', 'too_long', 'truncated', 'not_json', 'required_missing', 'forbidden', 'repetition', 'unknown_tool', 'refusal', 'off_schema', 'wrong_language', 'http_check', 'judge']


class SoftFailureRate(TypedDict):
    """How many answers of a deployment failed softly."""

    calls: int
    """Calls that were answered."""

    interval: NotRequired[Union[List[float], None]]
    """Its 95 % interval."""

    rate: NotRequired[Union[float, None]]
    """Their share, from 0 to 1; null without calls."""

    soft_failed: int
    """Those that failed softly."""

    window: str
    """In the last so long."""


class Spend(TypedDict):
    """Money and tokens of a run."""

    cached: int
    """Answers taken from the response cache."""

    completion_tokens: int
    """Tokens the target wrote."""

    judge_cost: float
    """USD for the judges' calls."""

    judges_unpriced: NotRequired[bool]
    """Whether nobody knows what all of them cost: a judge has no price, and is not free."""

    prompt_tokens: int
    """Tokens the target read."""

    target_cost: float
    """USD for the target's calls. Models without a price count 0."""

    target_unpriced: NotRequired[bool]
    """Whether nobody knows what the target's calls cost: its model has no price, and is not free."""


class StageEvidence(TypedDict):
    """What users saw at one stage of an exposure, in both arms."""

    candidate: Arm
    """Those whom the candidate answered."""

    production: Arm
    """Those whom production answered."""


class StageRule(TypedDict):
    """How long users are exposed at each stage."""

    min: NotRequired[str]
    """Least time at a stage."""

    min_samples: NotRequired[int]
    """Fewest requests that the candidate answers at a stage."""


class StartCanary(TypedDict):
    """Puts a candidate beside what a deployment answers with: a manifest that is given, one that is stored, or one resolved from prompt and model. Where only one of these two is named, the rest is as it is live."""

    deployment: str
    """The deployment."""

    draft: NotRequired[bool]
    """Whether it is only made, to be started later."""

    dry_run: NotRequired[bool]
    """Whether decisions are only written down."""

    environment: NotRequired[Union[str, None]]
    """Its environment; absent: `production`."""

    manifest: NotRequired[Union[Manifest, None]]

    manifest_hash: NotRequired[Union[str, None]]
    """The beginning of a stored manifest's hash."""

    model: NotRequired[Union[str, None]]
    """The candidate's model, as `provider/model`; absent: the live one."""

    parameters: NotRequired[Parameters]
    """Laid over the parameters: those that are live, or the prompt's where prompt and model are named."""

    policy: CanaryPolicy
    """What decides."""

    prompt: NotRequired[Union[str, None]]
    """The candidate's prompt, as `NAME`, `NAME@VERSION` or `NAME@HASH`; absent: the live one, where a model is named."""


class StartRelease(TypedDict):
    """What is released: a manifest, or one resolved from prompt and model."""

    manifest: NotRequired[Union[Manifest, None]]

    manifest_hash: NotRequired[Union[str, None]]
    """The beginning of a stored manifest's hash."""

    model: NotRequired[Union[str, None]]
    """The model, as `provider/model`; absent: the prompt's own, else the one that is live."""

    policy: NotRequired[Union[CanaryPolicy, None]]

    prompt: NotRequired[Union[str, None]]
    """The prompt, as `NAME`, `NAME@VERSION` or `NAME@HASH`."""


class StartedCanary(TypedDict):
    """A canary with what a person should know about it."""

    canary: Canary
    """As it is now."""

    notices: NotRequired[List[str]]
    """Such as: the candidate's model has no price."""


# An event with its place in the order of a project's events.
StoredEvent = Dict[str, Any]


# One piece of feedback, or many.
SubmitFeedback = Union[List[Any], "FeedbackBody"]


# What feedback is summed up by.
SummaryBy = Literal['all', 'day', 'prompt', 'manifest', 'variant', 'deployment', 'model', 'tag']


class SwitchSafeMode(TypedDict):
    """Switches the safe mode."""

    answer: NotRequired[Union[str, None]]
    """A fixed answer to use from now on, where none is prepared."""

    environment: NotRequired[Union[str, None]]
    """The environment; absent: `production`."""

    on: bool
    """On or off."""

    reason: NotRequired[Union[str, None]]
    """Why."""


# What becomes of a system message that the caller sends to a deployment.
SystemMerge = Literal['keep', 'replace', 'refuse']


class TargetSpec(TypedDict):
    """What is evaluated: a manifest, or what is resolved to one when the run is created."""

    candidates: NotRequired[List[str]]
    """Models of which the verifier takes the healthy one with the best score when the run is created, instead of `model`."""

    manifest: NotRequired[Union[Manifest, None]]

    manifest_hash: NotRequired[Union[str, None]]
    """Exactly the stored manifest whose hash begins so."""

    model: NotRequired[Union[str, None]]
    """`provider/model`; absent: the prompt's."""

    model_version: NotRequired[Union[str, None]]
    """The provider's version or date of the model, where it is pinned."""

    name: str
    """The target's name."""

    parameters: NotRequired[Parameters]
    """Laid over the prompt's parameters."""

    prompt: NotRequired[Union[str, None]]
    """`NAME`, `NAME@VERSION` or `NAME@HASH`; absent: the input is sent as it is."""

    retriever_index_version: NotRequired[Union[str, None]]
    """The retriever's index the answers rest on."""

    system: NotRequired[Union[str, None]]
    """System message instead of the prompt's."""


# Whether channels are told, and why not.
Telling = Literal['told', 'silenced', 'acknowledged', 'cooldown']


class TestChannels(TypedDict):
    """Tests channels."""

    channel: NotRequired[Union[str, None]]
    """Only this one."""


# A test that is asked for instead of the one that the kind of the metric chooses. It is for one look at the data; what is valid at every look stays as it is.
TestChoice = Literal['z-test', 'z-test-unpooled', 'fisher', 'chi-squared', 'chi-squared-yates', 'welch', 'student', 'mann-whitney', 'quantile', 'delta']


class TestedChannel(TypedDict):
    """How a test message fared."""

    channel: str
    """The channel."""

    error: NotRequired[Union[str, None]]
    """Why not."""

    kind: str
    """Its kind."""

    ok: bool
    """Whether the channel took the message."""


# Up or down.
Thumb = Literal['up', 'down']


Timeline = TypedDict(
    "Timeline",
    {
        'entries': "List[TimelineEntry]",
        'from': "str",
        'impact': "Impact",
        'incident': "Incident",
    },
    total=False,
)


class TimelineEntry(TypedDict):
    """One thing that happened."""

    at: str
    """When."""

    by: NotRequired[Union[str, None]]
    """Who did it."""

    kind: TimelineKind
    """What it is."""

    text: str
    """What happened."""


# What an entry of the timeline is.
TimelineKind = Literal['change', 'alert', 'calls', 'feedback', 'note']


class ToolCall(TypedDict):
    """A call of a tool, as the model asked for it."""

    function: FunctionCall
    """What is called."""

    id: NotRequired[str]
    """The call's id."""

    type: NotRequired[str]
    """Always `function` today."""


class ToolCallSpec(TypedDict):
    """Options of `tool_call`."""

    absolute: NotRequired[float]
    """Largest difference between numbers in arguments that counts as equal."""

    arguments: NotRequired[ArgumentMatch]
    """How arguments are compared."""

    calls: NotRequired[Union[List[ExpectedCall], None]]
    """What is expected of every answer. Absent: the sample's `expected_tool_calls`."""

    lenient_strings: NotRequired[bool]
    """Texts in arguments are equal without regard to case and to the amount of white space."""

    order: NotRequired[CallOrder]
    """What the order has to be."""

    score: NotRequired[ListScore]
    """Which share is the score."""


class Topic(TypedDict):
    """A group of texts."""

    count: int
    """Texts in it."""

    examples: List[str]
    """Some of them, the most typical first."""

    label: str
    """The words that set it apart."""


class Topics(TypedDict):
    """Groups of texts, and what stands alone."""

    alone: int
    """Texts that belong to no group."""

    method: str
    """How similarity was measured: `embeddings (MODEL)` or `words (TF-IDF)`, and why."""

    texts: int
    """Texts that were looked at."""

    topics: List[Topic]
    """The groups, the largest first."""


Traffic = TypedDict(
    "Traffic",
    {
        'failure_rate': "Union[Estimate, None]",
        'from': "str",
        'hours': "List[TrafficHour]",
        'p50_ms': "Union[float, None]",
        'p95_ms': "Union[float, None]",
        'soft_failure_rate': "Union[Estimate, None]",
        'sums': "TrafficSums",
        'to': "str",
    },
    total=False,
)


class TrafficHour(TypedDict):
    """What the calls of one hour add up to."""

    answered: NotRequired[int]
    """Calls with a whole answer of a model: without those of the cache. Soft failures are a share of these."""

    calls: int
    """Calls, whatever came of them."""

    cancelled: NotRequired[int]
    """Calls whose callers left before the end. They are in no share."""

    completion_tokens: int
    """Tokens written."""

    cost: float
    """USD of these."""

    failed: int
    """Calls whose caller got no whole answer, by no doing of its own."""

    priced: int
    """Calls with a price."""

    prompt_tokens: int
    """Tokens read."""

    refused: NotRequired[int]
    """Calls that the gateway refused: wrong, or over a limit. They are in no share."""

    soft_failed: int
    """Answers that failed by content."""

    at: str
    """When the hour begins."""

    p50_ms: NotRequired[Union[float, None]]
    """Median latency in ms, to 2 %."""

    p95_ms: NotRequired[Union[float, None]]
    """95 % of calls were faster, in ms, to 2 %."""


class TrafficSums(TypedDict):
    """What calls add up to."""

    answered: NotRequired[int]
    """Calls with a whole answer of a model: without those of the cache. Soft failures are a share of these."""

    calls: int
    """Calls, whatever came of them."""

    cancelled: NotRequired[int]
    """Calls whose callers left before the end. They are in no share."""

    completion_tokens: int
    """Tokens written."""

    cost: float
    """USD of these."""

    failed: int
    """Calls whose caller got no whole answer, by no doing of its own."""

    priced: int
    """Calls with a price."""

    prompt_tokens: int
    """Tokens read."""

    refused: NotRequired[int]
    """Calls that the gateway refused: wrong, or over a limit. They are in no share."""

    soft_failed: int
    """Answers that failed by content."""


# What the calls of an answer have to be, compared with the expected ones.
TrajectoryMode = Literal['strict', 'unordered', 'subset', 'superset']


class TrajectorySpec(TypedDict):
    """Options of `trajectory`."""

    arguments: NotRequired[ArgumentMatch]
    """How arguments are compared."""

    calls: NotRequired[Union[List[ExpectedCall], None]]
    """What is expected of every answer. Absent: the sample's `expected_tool_calls`."""

    forbidden: NotRequired[List[str]]
    """Tools that must not be called."""

    max_calls: NotRequired[Union[int, None]]
    """The most calls in all."""

    max_repeats: NotRequired[Union[int, None]]
    """How often one call may be made with the same arguments."""

    mode: NotRequired[Union[TrajectoryMode, None]]

    required: NotRequired[List[str]]
    """Tools that have to be called."""


class Unit3(TypedDict):
    """Any attribute of the context: `{attribute: organisation}`."""

    attribute: str
    """Any attribute of the context: `{attribute: organisation}`."""


# Who is assigned: the same unit always sees the same variant.
Unit = Union[Literal['user'], Literal['session'], "Unit3"]


class Unscored(TypedDict):
    """Why a metric that is reported only has no score."""

    message: str
    """The whole story."""

    reason: str
    """A short stable reason to count by."""


class Usage(TypedDict):
    """Token counts of one call."""

    cache_write_tokens: NotRequired[int]
    """Of the tokens read, those that the provider put into its cache."""

    cached_tokens: NotRequired[int]
    """Of the tokens read, those that the provider had in its cache."""

    completion_tokens: NotRequired[int]
    """Tokens written."""

    prompt_tokens: NotRequired[int]
    """Tokens read."""


# What values a variable may take.
Validation = Union[str, List[Any]]


class Variable(TypedDict):
    """A typed variable of a prompt."""

    default: NotRequired[Any]
    """The value when none is given."""

    description: NotRequired[Union[str, None]]
    """What it is for."""

    name: str
    """The name used in the template."""

    required: NotRequired[bool]
    """Whether rendering fails without it. A default satisfies it."""

    type: NotRequired[VariableType]
    """The type of its values."""

    validation: NotRequired[Union[Validation, None]]


class VariableDiff(TypedDict):
    """A variable that differs."""

    after: NotRequired[Union[Variable, None]]

    before: NotRequired[Union[Variable, None]]

    name: str
    """Its name."""


# Type of a template variable.
VariableType = Literal['string', 'int', 'float', 'bool', 'array', 'object']


class Variant(TypedDict):
    """One of the things that are compared: a prompt and version, a model, or a whole manifest, plus parameters."""

    description: NotRequired[Union[str, None]]
    """What it is."""

    id: NotRequired[str]
    """Unique in its experiment. Absent: made from the name, else `control`, `treatment`, `variant-3` …"""

    is_control: NotRequired[bool]
    """Whether it is what the others are compared with. Exactly one is; absent everywhere: the first."""

    manifest: NotRequired[Union[str, None]]
    """Id of a whole manifest, instead of prompt and model."""

    model_name: NotRequired[Union[str, None]]
    """The model, as `provider/model`."""

    name: NotRequired[str]
    """A name for people; the id when absent."""

    parameters: NotRequired[Dict[str, Any]]
    """Sampling parameters, or whatever the application reads."""

    prompt_name: NotRequired[Union[str, None]]
    """The prompt it uses."""

    prompt_version: NotRequired[Union[str, None]]
    """The prompt's version or hash. Absent: the version that is active when the experiment starts."""

    value: NotRequired[Any]
    """The value of the feature flag in this variant (OpenFeature): a boolean, text, number or object. Absent: an object of prompt, model, manifest and parameters."""


class VariantResult(TypedDict):
    """What is known of a variant."""

    conversion_rate: NotRequired[Union[float, None]]
    """The rate of the target metric, where it is binary."""

    improvement: NotRequired[Union[float, None]]
    """Relative difference of the target metric from the control's, 0.05 being 5 % more; null for the control."""

    is_control: bool
    """Whether it is the control."""

    metric_values: Dict[str, float]
    """The mean of each metric."""

    metrics: Dict[str, MetricSummary]
    """Everything about each metric."""

    sample_count: int
    """Units observed on the target metric."""

    units: int
    """Units that the sample-ratio check counts: exposed ones, or observed ones where exposures are not known, or not of all of them."""


# The gate's answer.
Verdict = Literal['pass', 'fail', 'inconclusive']


class WaiveStep(TypedDict):
    """Lets a step pass without its evidence."""

    reason: str
    """Why."""

    step: ReleaseStep
    """The step that the release is at: gate, staging or experiment."""


class WarnRule(TypedDict):
    """When a warning is raised."""

    loss_rate: NotRequired[float]
    """Once the lower bound of the share of lost pairs passes it."""


class Window(TypedDict):
    """The length of a canary."""

    max: NotRequired[str]
    """What has not proved itself by then is aborted."""

    min: NotRequired[str]
    """Nothing is promoted before; a week shows every day of the week."""
