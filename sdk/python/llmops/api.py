"""Every operation of the llmops API, blocking and asynchronous. Written by generate.py from the OpenAPI
document: do not edit."""

from __future__ import annotations

from typing import Any, Dict, List, Literal, Union
from urllib.parse import quote

from . import types as t
from ._http import AsyncTransport, Content, Transport


def _segment(text: str) -> str:
    """One segment of a path."""
    return quote(text, safe="")


class Api:
    """The operations."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def abort_canary(self, canary: str, body: t.ChangeCanary) -> t.Canary:
        """Ends a canary at once: the candidate answers nobody any more."""
        return self._transport.call("POST", f"/api/v1/canaries/{_segment(canary)}/abort", body=body)

    def acknowledge_alert(self, alert: str) -> t.Alert:
        """Marks an alert as seen: channels hear no more of it unless it becomes more severe."""
        return self._transport.call("POST", f"/api/v1/alerts/{_segment(alert)}/acknowledge")

    def activate_prompt(self, name: str, version: str) -> t.PromptVersion:
        """Makes a version the active one."""
        return self._transport.call("POST", f"/api/v1/prompts/{_segment(name)}/versions/{_segment(version)}/activate")

    def advance_release(self, deployment: str) -> t.Release:
        """Goes on as far as it can."""
        return self._transport.call("POST", f"/api/v1/releases/{_segment(deployment)}/advance")

    def approve_canary(self, canary: str, body: t.ChangeCanary) -> t.Canary:
        """Lets a candidate go on that has proved itself and waits for an approval. Not by the key that started the canary."""
        return self._transport.call("POST", f"/api/v1/canaries/{_segment(canary)}/approve", body=body)

    def approve_promotion(self, approval: str) -> t.Deployed:
        """Allows a promotion that another key asked for, and carries it out."""
        return self._transport.call("POST", f"/api/v1/approvals/{_segment(approval)}/approve")

    def approve_release(self, deployment: str) -> t.Release:
        """Allows a release, and goes on. Where the deployment asks for a second key, who began it may not."""
        return self._transport.call("POST", f"/api/v1/releases/{_segment(deployment)}/approve")

    def ask_experiment(self, experiment: str, body: t.Question) -> t.AskedQuestion:
        """Asks what the results cannot tell: another kind or quantile of a metric, a part of the units, a stretch of time. It is answered from the observations in the background; the answer is fetched by the id of the question."""
        return self._transport.call("POST", f"/api/v1/experiments/{_segment(experiment)}/questions", body=body)

    def assign_variant(self, experiment: str, body: t.AssignUnit) -> t.Assignment:
        """The variant of a unit. A unit's first exposure is stored before the answer; asking again writes nothing."""
        return self._transport.call("POST", f"/api/v1/experiments/{_segment(experiment)}/assign", body=body)

    def begin_canary(self, canary: str, body: t.ChangeCanary) -> t.Canary:
        """Starts a draft."""
        return self._transport.call("POST", f"/api/v1/canaries/{_segment(canary)}/begin", body=body)

    def calibrate_judge(self, body: t.CalibrateJudge) -> t.JudgeCalibration:
        """Compares the judge of a run with what people said about its answers, and keeps what came out."""
        return self._transport.call("POST", "/api/v1/judges/calibrations", body=body)

    def cancel_experiment(self, experiment: str) -> t.Experiment:
        """Gives it up."""
        return self._transport.call("POST", f"/api/v1/experiments/{_segment(experiment)}/cancel")

    def cancel_release(self, deployment: str, body: t.CancelRelease) -> t.Release:
        """Gives a release up. What is live stays live."""
        return self._transport.call("POST", f"/api/v1/releases/{_segment(deployment)}/cancel", body=body)

    def cancel_run(self, run: str) -> t.EvaluationRun:
        """Stops a run. It can be resumed."""
        return self._transport.call("POST", f"/api/v1/runs/{_segment(run)}/cancel")

    def check_providers(self, body: t.CheckModels) -> t.PageModelStatus:
        """Asks each model for a word, to see that it answers."""
        return self._transport.call("POST", "/api/v1/providers/check", body=body)

    def close_incident(self, incident: str, body: t.CloseIncident) -> t.ClosedIncident:
        """Closes an incident: with the draft of a post-mortem, and a regression dataset of the inputs that failed."""
        return self._transport.call("POST", f"/api/v1/incidents/{_segment(incident)}/close", body=body)

    def collect_reviews(self, body: t.CollectReviews) -> t.CollectedReviews:
        """Adds the answers of a run that its judges are uncertain of."""
        return self._transport.call("POST", "/api/v1/reviews/collect", body=body)

    def compare_prompts(self, name: str, *, from_: Union[str, None], to: Union[str, None] = None) -> t.PromptDiff:
        """What differs between two versions."""
        return self._transport.call(
            "GET",
            f"/api/v1/prompts/{_segment(name)}/compare",
            query={"from": from_, "to": to},
        )

    def compare_runs(self, run: str, other: str) -> t.RunComparison:
        """What changed from one run to another."""
        return self._transport.call("GET", f"/api/v1/runs/{_segment(run)}/compare/{_segment(other)}")

    def complete_experiment(
        self,
        experiment: str,
        body: Union[Union[t.CompleteExperiment, None], None] = None,
    ) -> t.Experiment:
        """Ends it, with a winner or without; no body is without."""
        return self._transport.call("POST", f"/api/v1/experiments/{_segment(experiment)}/complete", body=body)

    def create_alert(self, body: t.CreateAlert) -> t.RaisedAlert:
        """Raises an alert, or counts it on the open alert of its cause."""
        return self._transport.call("POST", "/api/v1/alerts", body=body)

    def create_experiment(self, body: t.ExperimentSpec) -> t.Experiment:
        """Makes a draft. What is left out is filled in: ids of variants, control, equal shares."""
        return self._transport.call("POST", "/api/v1/experiments", body=body)

    def create_key(self, body: t.CreateKey) -> t.CreatedKey:
        """Makes a key. The answer holds its secret, this once."""
        return self._transport.call("POST", "/api/v1/keys", body=body)

    def create_model_experiment(self, body: t.CreateModelExperiment) -> t.Experiment:
        """Makes a draft of two or more models with the same parameters."""
        return self._transport.call("POST", "/api/v1/experiments/model", body=body)

    def create_project(self, body: t.CreateProject) -> t.Project:
        """Makes a project. Only admins of the project `default` can."""
        return self._transport.call("POST", "/api/v1/projects", body=body)

    def create_prompt_experiment(self, body: t.CreatePromptExperiment) -> t.Experiment:
        """Makes a draft of two prompts, and registers prompts that are not there yet."""
        return self._transport.call("POST", "/api/v1/experiments/prompt", body=body)

    def create_run(self, body: t.CreateRun) -> t.EvaluationRun:
        """Creates a run, and starts it unless `start` is false."""
        return self._transport.call("POST", "/api/v1/runs", body=body)

    def create_silence(self, body: t.CreateSilence) -> t.Silence:
        """Silences alerts for a time: they are kept, and no channel is told."""
        return self._transport.call("POST", "/api/v1/silences", body=body)

    def decide_review(self, id: str, body: t.Decide) -> t.Decided:
        """Decides on an item, once: accept, correct, label or dismiss. An answer that is good by it becomes a sample of a dataset, which says where it came from."""
        return self._transport.call("POST", f"/api/v1/reviews/{_segment(id)}/decision", body=body)

    def delete_experiment(self, experiment: str) -> None:
        """Deletes a draft. What was started is kept: it can be cancelled."""
        self._transport.call("DELETE", f"/api/v1/experiments/{_segment(experiment)}")

    def delete_prompt(self, name: str, version: str) -> None:
        """Deletes a version. The active one cannot be deleted."""
        self._transport.call("DELETE", f"/api/v1/prompts/{_segment(name)}/versions/{_segment(version)}")

    def delete_schedule(self, schedule: str) -> None:
        """Removes a schedule and the list of its firings; its runs stay."""
        self._transport.call("DELETE", f"/api/v1/schedules/{_segment(schedule)}")

    def deploy(self, name: str, body: t.Deploy) -> t.Deployed:
        """Points a deployment to a manifest, and makes the deployment where there is none."""
        return self._transport.call("POST", f"/api/v1/deployments/{_segment(name)}/deploy", body=body)

    def deployment_history(self, name: str, *, environment: Union[str, None] = None) -> t.PageDeploymentChange:
        """Every change of a deployment, newest first."""
        return self._transport.call(
            "GET",
            f"/api/v1/deployments/{_segment(name)}/history",
            query={"environment": environment},
        )

    def diff_datasets(self, name: str, *, from_: Union[str, None], to: Union[str, None] = None) -> t.DatasetDiff:
        """What differs between two versions: ids added, removed, changed."""
        return self._transport.call("GET", f"/api/v1/datasets/{_segment(name)}/diff", query={"from": from_, "to": to})

    def end_silence(self, silence: str) -> None:
        """Ends a silence."""
        self._transport.call("DELETE", f"/api/v1/silences/{_segment(silence)}")

    def erase_records(self, body: t.ErasureQuery) -> t.Erased:
        """Deletes everything that is kept of a user's calls: records, feedback, items of the review queue. Samples that people made of them stay."""
        return self._transport.call("POST", "/api/v1/records/erase", body=body)

    def evaluate_flag(self, key: str, body: t.EvaluationRequest) -> t.FlagValue:
        """One flag."""
        return self._transport.call("POST", f"/ofrep/v1/evaluate/flags/{_segment(key)}", body=body)

    def evaluate_flags(self, body: Union[Union[t.EvaluationRequest, None], None] = None) -> t.BulkAnswer:
        """All flags."""
        return self._transport.call("POST", "/ofrep/v1/evaluate/flags", body=body)

    def export_canary(self, canary: str, *, environment: Union[str, None] = None) -> str:
        """All settled pairs as NDJSON, one row each: `ts`, `prompt_hash`, `prod_model`, `shadow_model`, `prod_score`, `shadow_score`, `delta`, and what else was seen."""
        return self._transport.call(
            "GET",
            f"/api/v1/canaries/{_segment(canary)}/export",
            query={"environment": environment},
            as_text=True,
        )

    def export_dataset(self, name: str, version: str) -> str:
        """All samples of a version as NDJSON."""
        return self._transport.call(
            "GET",
            f"/api/v1/datasets/{_segment(name)}/versions/{_segment(version)}/export",
            as_text=True,
        )

    def export_feedback(
        self,
        *,
        format: Union[Literal['jsonl', 'openai-ft', 'preference'], None] = None,
        deployment: Union[str, None] = None,
        start_time: Union[str, None] = None,
        end_time: Union[str, None] = None,
        limit: Union[int, None] = None,
        redacted: Union[bool, None] = None,
    ) -> str:
        """Feedback as training data, a JSON object a line. The header `x-llmops-export` says how many examples there are and what was left out: near-duplicates, secrets, what lacks a text."""
        return self._transport.call(
            "GET",
            "/api/v1/feedback/export",
            query={"format": format, "deployment": deployment, "start_time": start_time, "end_time": end_time, "limit": limit, "redacted": redacted},
            as_text=True,
        )

    def export_traces(self, body: Any) -> Any:
        """Takes spans by OpenTelemetry's protocol, as protobuf or JSON, packed with gzip or not. Spans of model calls (`gen_ai.*`) become request records; one that is sent twice is stored once."""
        return self._transport.call("POST", "/v1/traces", body=body)

    def feedback_report(
        self,
        *,
        deployment: Union[str, None] = None,
        days: Union[int, None] = None,
        end_time: Union[str, None] = None,
        model: Union[str, None] = None,
    ) -> t.FeedbackReport:
        """The last days by prompt version, beside as many days before, and what complaints are about."""
        return self._transport.call(
            "GET",
            "/api/v1/feedback/report",
            query={"deployment": deployment, "days": days, "end_time": end_time, "model": model},
        )

    def feedback_summary(
        self,
        *,
        by: Union[Literal['all', 'day', 'prompt', 'manifest', 'variant', 'deployment', 'model', 'tag'], None] = None,
        deployment: Union[str, None] = None,
        start_time: Union[str, None] = None,
        end_time: Union[str, None] = None,
    ) -> t.FeedbackSummary:
        """What was said, summed up by prompt version, manifest, variant, day, segment …, with numbers of answers and intervals."""
        return self._transport.call(
            "GET",
            "/api/v1/feedback/summary",
            query={"by": by, "deployment": deployment, "start_time": start_time, "end_time": end_time},
        )

    def gate_run(self, run: str, body: t.GateRequest) -> t.GateReport:
        """The verdict on a run, with its evidence. Asked for by an editor, it is kept: as the run's tag `gate`, which deployments with `require_gate` go by, and with its rules in the record of changes. A viewer reads it only, and so does everybody where the store may only be read: a notice says so."""
        return self._transport.call("POST", f"/api/v1/runs/{_segment(run)}/gate", body=body)

    def get_alert(self, alert: str) -> t.Alert:
        """One alert: an id, or the beginning of one."""
        return self._transport.call("GET", f"/api/v1/alerts/{_segment(alert)}")

    def get_calibration(self, id: str) -> t.JudgeCalibration:
        """One calibration."""
        return self._transport.call("GET", f"/api/v1/judges/calibrations/{_segment(id)}")

    def get_canary(self, canary: str, *, environment: Union[str, None] = None) -> t.CanaryReport:
        """How a canary stands: its sums, its bounds against the policy's limits, and what would be decided now. It is named by its id, the beginning of it, or its deployment."""
        return self._transport.call("GET", f"/api/v1/canaries/{_segment(canary)}", query={"environment": environment})

    def get_dataset(self, name: str) -> t.Dataset:
        """One dataset."""
        return self._transport.call("GET", f"/api/v1/datasets/{_segment(name)}")

    def get_dataset_version(self, name: str, version: str) -> t.DatasetVersion:
        """One version: `latest`, a hash, or at least 4 hex digits of one."""
        return self._transport.call("GET", f"/api/v1/datasets/{_segment(name)}/versions/{_segment(version)}")

    def get_deployment(self, name: str, *, environment: Union[str, None] = None) -> t.Deployment:
        """One deployment."""
        return self._transport.call("GET", f"/api/v1/deployments/{_segment(name)}", query={"environment": environment})

    def get_distribution(self, run: str) -> t.ScoreDistribution:
        """How the composites of a run's trials are spread."""
        return self._transport.call("GET", f"/api/v1/runs/{_segment(run)}/distribution")

    def get_experiment(self, experiment: str) -> t.Experiment:
        """One experiment: an id, the beginning of one, or a key. Of several with one key it is the one that is running or paused, else the newest."""
        return self._transport.call("GET", f"/api/v1/experiments/{_segment(experiment)}")

    def get_experiment_question(self, experiment: str, question: str) -> t.AskedQuestion:
        """A question, with its answer once there is one."""
        return self._transport.call(
            "GET",
            f"/api/v1/experiments/{_segment(experiment)}/questions/{_segment(question)}",
        )

    def get_experiment_results(
        self,
        experiment: str,
        *,
        by_segment: Union[bool, None] = None,
        by_day: Union[bool, None] = None,
    ) -> t.ExperimentResult:
        """What the experiment found so far."""
        return self._transport.call(
            "GET",
            f"/api/v1/experiments/{_segment(experiment)}/results",
            query={"by_segment": by_segment, "by_day": by_day},
        )

    def get_feedback(self, id: str) -> t.Feedback:
        """One piece of feedback."""
        return self._transport.call("GET", f"/api/v1/feedback/{_segment(id)}")

    def get_gate_rules(self) -> t.GateConfig:
        """The rules of the gate that the configuration sets: what to ask with for its verdict. Those of a suite may be others."""
        return self._transport.call("GET", "/api/v1/gate")

    def get_incident(self, incident: str) -> t.Incident:
        """One incident: by its id, a beginning of it, or the name of the deployment (`NAME`, `NAME@ENVIRONMENT`) whose incident is open."""
        return self._transport.call("GET", f"/api/v1/incidents/{_segment(incident)}")

    def get_key(self, key: str, *, project: Union[str, None] = None) -> t.ApiKey:
        """One key."""
        return self._transport.call("GET", f"/api/v1/keys/{_segment(key)}", query={"project": project})

    def get_manifest(self, hash: str) -> t.Manifest:
        """A manifest by the beginning of its hash."""
        return self._transport.call("GET", f"/api/v1/manifests/{_segment(hash)}")

    def get_metrics(self) -> str:
        """Metrics of the process in Prometheus' text format: of all projects, and so for the keys of the project `default`."""
        return self._transport.call("GET", "/metrics", as_text=True)

    def get_overview(self) -> t.Overview:
        """The state of the project at a glance, and what changed since yesterday."""
        return self._transport.call("GET", "/api/v1/overview")

    def get_project(self, project: str) -> t.Project:
        """One project."""
        return self._transport.call("GET", f"/api/v1/projects/{_segment(project)}")

    def get_prompt(self, name: str) -> t.PromptVersion:
        """The active version of a prompt."""
        return self._transport.call("GET", f"/api/v1/prompts/{_segment(name)}")

    def get_prompt_version(self, name: str, version: str) -> t.PromptVersion:
        """One version: a number, 12 or more hex digits of its hash, or `active`."""
        return self._transport.call("GET", f"/api/v1/prompts/{_segment(name)}/versions/{_segment(version)}")

    def get_quality(
        self,
        *,
        dataset: Union[str, None] = None,
        suite: Union[str, None] = None,
        prompt: Union[str, None] = None,
        model: Union[str, None] = None,
        days: Union[int, None] = None,
    ) -> t.QualitySeries:
        """Scores of completed runs over time, with what they are the scores of."""
        return self._transport.call(
            "GET",
            "/api/v1/quality",
            query={"dataset": dataset, "suite": suite, "prompt": prompt, "model": model, "days": days},
        )

    def get_record(self, id: str) -> t.RequestRecord:
        """One request record."""
        return self._transport.call("GET", f"/api/v1/records/{_segment(id)}")

    def get_release(self, deployment: str) -> t.Release:
        """The release of a deployment that is on its way; or any, by its id."""
        return self._transport.call("GET", f"/api/v1/releases/{_segment(deployment)}")

    def get_review(self, id: str) -> t.ReviewItem:
        """One item, by its id, by a beginning of it that fits no other, or `latest`: the newest open one."""
        return self._transport.call("GET", f"/api/v1/reviews/{_segment(id)}")

    def get_run(
        self,
        run: str,
        *,
        wait_ms: Union[int, None] = None,
        dataset: Union[str, None] = None,
    ) -> t.EvaluationRun:
        """One run: an id, the beginning of one, `latest` or `baseline`."""
        return self._transport.call(
            "GET",
            f"/api/v1/runs/{_segment(run)}",
            query={"wait_ms": wait_ms, "dataset": dataset},
        )

    def get_sample(self, name: str, version: str, sample: str) -> t.SampleAt:
        """One sample of a version."""
        return self._transport.call(
            "GET",
            f"/api/v1/datasets/{_segment(name)}/versions/{_segment(version)}/samples/{_segment(sample)}",
        )

    def get_sample_results(self, run: str, sample: str) -> t.PageSampleResult:
        """Every trial of one sample."""
        return self._transport.call("GET", f"/api/v1/runs/{_segment(run)}/results/{_segment(sample)}")

    def get_schedule(self, schedule: str) -> t.Schedule:
        """One schedule."""
        return self._transport.call("GET", f"/api/v1/schedules/{_segment(schedule)}")

    def get_session(self) -> t.Session:
        """Who the caller is, by key or by cookie."""
        return self._transport.call("GET", "/api/v1/session")

    def get_traffic(
        self,
        *,
        deployment: Union[str, None] = None,
        environment: Union[str, None] = None,
        hours: Union[int, None] = None,
    ) -> t.Traffic:
        """Live traffic in sums, hour by hour."""
        return self._transport.call(
            "GET",
            "/api/v1/traffic",
            query={"deployment": deployment, "environment": environment, "hours": hours},
        )

    def import_dataset(
        self,
        name: str,
        content: Content,
        content_type: str = "application/x-ndjson",
        *,
        type: Union[Literal['golden', 'regression', 'benchmark', 'user'], None] = None,
        description: Union[str, None] = None,
        replaces: Union[str, None] = None,
    ) -> t.ImportedDataset:
        """Adds a version, and the dataset if it is new. The body is NDJSON, one sample a line, of any length. Everything that is wrong is told with its line, and then nothing is written. The same samples again are the version that exists."""
        return self._transport.call(
            "POST",
            f"/api/v1/datasets/{_segment(name)}/versions",
            query={"type": type, "description": description, "replaces": replaces},
            content=content, content_type=content_type,
        )

    def import_observations(
        self,
        experiment: str,
        content: Content,
        content_type: str = "application/octet-stream",
        *,
        source: Union[str, None] = None,
        no_units: Union[bool, None] = None,
    ) -> t.RecordedObservations:
        """Records many: CSV with the header `unit,variant,metric,value[,at][,idempotency_key]`, or a JSON object a line, of any length. A table without the column `unit` is refused, unless `no_units` says so. Lines that are wrong are refused and told; all others are on disk when it is answered."""
        return self._transport.call(
            "POST",
            f"/api/v1/experiments/{_segment(experiment)}/observations/import",
            query={"source": source, "no_units": no_units},
            content=content, content_type=content_type,
        )

    def incident_timeline(self, incident: str) -> t.Timeline:
        """What happened around an incident, from a day before it on."""
        return self._transport.call("GET", f"/api/v1/incidents/{_segment(incident)}/timeline")

    def limit_key(self, key: str, body: t.Limits, *, project: Union[str, None] = None) -> t.ApiKey:
        """Sets what may be spent with a key at the gateway, in place of what was set before: every replica keeps to it within a second."""
        return self._transport.call(
            "PUT",
            f"/api/v1/keys/{_segment(key)}/limits",
            query={"project": project},
            body=body,
        )

    def list_added_samples(
        self,
        name: str,
        *,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageSample:
        """Samples that llmops added to a dataset by itself, by id: what a canary lost, inputs of an incident, hard questions. A version that is built from a file may lack them; `llmops dataset pull` brings them into it. None where there is no such dataset."""
        return self._transport.call(
            "GET",
            f"/api/v1/datasets/{_segment(name)}/added",
            query={"cursor": cursor, "limit": limit},
        )

    def list_alerts(
        self,
        *,
        types: Union[str, None] = None,
        severities: Union[str, None] = None,
        source: Union[str, None] = None,
        unacked: Union[bool, None] = None,
        status: Union[Literal['open', 'resolved'], None] = None,
        start_time: Union[str, None] = None,
        end_time: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageAlert:
        """Alerts, newest first."""
        return self._transport.call(
            "GET",
            "/api/v1/alerts",
            query={"types": types, "severities": severities, "source": source, "unacked": unacked, "status": status, "start_time": start_time, "end_time": end_time, "cursor": cursor, "limit": limit},
        )

    def list_applied(self, *, cursor: Union[str, None] = None, limit: Union[int, None] = None) -> t.PageAppliedPiece:
        """What `llmops apply` brought here last, piece by piece: whoever applies again sees by it what was edited elsewhere."""
        return self._transport.call("GET", "/api/v1/applied", query={"cursor": cursor, "limit": limit})

    def list_approvals(self, *, cursor: Union[str, None] = None, limit: Union[int, None] = None) -> t.PageApproval:
        """Promotions that waited for a second key or still do, the newest first."""
        return self._transport.call("GET", "/api/v1/approvals", query={"cursor": cursor, "limit": limit})

    def list_audit(
        self,
        *,
        project: Union[str, None] = None,
        actor: Union[str, None] = None,
        action: Union[str, None] = None,
        target: Union[str, None] = None,
        start_time: Union[str, None] = None,
        end_time: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageAuditRecord:
        """Changes of configuration, the newest first: who, what, before and after."""
        return self._transport.call(
            "GET",
            "/api/v1/audit",
            query={"project": project, "actor": actor, "action": action, "target": target, "start_time": start_time, "end_time": end_time, "cursor": cursor, "limit": limit},
        )

    def list_baselines(self) -> t.PageBaseline:
        """The baseline of every dataset that has one."""
        return self._transport.call("GET", "/api/v1/baselines")

    def list_calibrations(
        self,
        *,
        judge: Union[str, None] = None,
        run: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageJudgeCalibration:
        """Calibrations of judges against people, newest first."""
        return self._transport.call(
            "GET",
            "/api/v1/judges/calibrations",
            query={"judge": judge, "run": run, "cursor": cursor, "limit": limit},
        )

    def list_canaries(
        self,
        *,
        status: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageCanary:
        """Canaries, newest first."""
        return self._transport.call(
            "GET",
            "/api/v1/canaries",
            query={"status": status, "cursor": cursor, "limit": limit},
        )

    def list_canary_decisions(
        self,
        canary: str,
        *,
        environment: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageLoggedDecision:
        """The log of a canary's decisions, oldest first, each with everything that it was made from."""
        return self._transport.call(
            "GET",
            f"/api/v1/canaries/{_segment(canary)}/decisions",
            query={"environment": environment, "cursor": cursor, "limit": limit},
        )

    def list_canary_pairs(
        self,
        canary: str,
        *,
        environment: Union[str, None] = None,
        verdict: Union[Literal['win', 'loss', 'tie'], None] = None,
        status: Union[Literal['waiting', 'judged', 'candidate_failed', 'unjudged'], None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageShadowPair:
        """Pairs of a canary, in the order in which their requests came."""
        return self._transport.call(
            "GET",
            f"/api/v1/canaries/{_segment(canary)}/pairs",
            query={"environment": environment, "verdict": verdict, "status": status, "cursor": cursor, "limit": limit},
        )

    def list_channels(self) -> t.PageChannel:
        """Who is told of alerts. Addresses and secrets are not shown."""
        return self._transport.call("GET", "/api/v1/channels")

    def list_dataset_versions(self, name: str) -> t.PageDatasetVersion:
        """Versions of a dataset, newest first."""
        return self._transport.call("GET", f"/api/v1/datasets/{_segment(name)}/versions")

    def list_datasets(self, *, cursor: Union[str, None] = None, limit: Union[int, None] = None) -> t.PageDataset:
        """All datasets, by name."""
        return self._transport.call("GET", "/api/v1/datasets", query={"cursor": cursor, "limit": limit})

    def list_deliveries(
        self,
        *,
        status: Union[Literal['pending', 'delivered', 'dead'], None] = None,
        channel: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageDelivery:
        """Messages to channels, newest first: `dead` ones could not be delivered for a day."""
        return self._transport.call(
            "GET",
            "/api/v1/deliveries",
            query={"status": status, "channel": channel, "cursor": cursor, "limit": limit},
        )

    def list_deployments(self, *, cursor: Union[str, None] = None, limit: Union[int, None] = None) -> t.PageDeployment:
        """Deployments by name and environment."""
        return self._transport.call("GET", "/api/v1/deployments", query={"cursor": cursor, "limit": limit})

    def list_experiment_questions(
        self,
        experiment: str,
        *,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageAskedQuestion:
        """What was asked about an experiment, newest first."""
        return self._transport.call(
            "GET",
            f"/api/v1/experiments/{_segment(experiment)}/questions",
            query={"cursor": cursor, "limit": limit},
        )

    def list_experiments(
        self,
        *,
        status: Union[Literal['draft', 'running', 'paused', 'completed', 'cancelled'], None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageExperiment:
        """Experiments, newest first."""
        return self._transport.call(
            "GET",
            "/api/v1/experiments",
            query={"status": status, "cursor": cursor, "limit": limit},
        )

    def list_feedback(
        self,
        *,
        deployment: Union[str, None] = None,
        request_id: Union[str, None] = None,
        sentiment: Union[Literal['negative', 'neutral', 'positive'], None] = None,
        corrected: Union[bool, None] = None,
        start_time: Union[str, None] = None,
        end_time: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageFeedback:
        """Feedback, newest first."""
        return self._transport.call(
            "GET",
            "/api/v1/feedback",
            query={"deployment": deployment, "request_id": request_id, "sentiment": sentiment, "corrected": corrected, "start_time": start_time, "end_time": end_time, "cursor": cursor, "limit": limit},
        )

    def list_firings(
        self,
        schedule: str,
        *,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageFiring:
        """Firings of a schedule, newest first."""
        return self._transport.call(
            "GET",
            f"/api/v1/schedules/{_segment(schedule)}/firings",
            query={"cursor": cursor, "limit": limit},
        )

    def list_incidents(
        self,
        *,
        deployment: Union[str, None] = None,
        environment: Union[str, None] = None,
        open: Union[bool, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageIncident:
        """Incidents, the newest first."""
        return self._transport.call(
            "GET",
            "/api/v1/incidents",
            query={"deployment": deployment, "environment": environment, "open": open, "cursor": cursor, "limit": limit},
        )

    def list_keys(
        self,
        *,
        project: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageApiKey:
        """The keys of a project, the oldest first, revoked ones too. Secrets are not among what is known of them."""
        return self._transport.call(
            "GET",
            "/api/v1/keys",
            query={"project": project, "cursor": cursor, "limit": limit},
        )

    def list_projects(self, *, cursor: Union[str, None] = None, limit: Union[int, None] = None) -> t.PageProject:
        """The projects that the caller may know of, by id: all of them for keys of the project `default`, else its own."""
        return self._transport.call("GET", "/api/v1/projects", query={"cursor": cursor, "limit": limit})

    def list_prompt_versions(self, name: str) -> t.PagePromptVersion:
        """All versions of a prompt, newest first."""
        return self._transport.call("GET", f"/api/v1/prompts/{_segment(name)}/versions")

    def list_prompts(self, *, cursor: Union[str, None] = None, limit: Union[int, None] = None) -> t.PagePromptVersion:
        """The active version of every prompt, by name."""
        return self._transport.call("GET", "/api/v1/prompts", query={"cursor": cursor, "limit": limit})

    def list_providers(self) -> t.PageModelStatus:
        """The models that runs, scores and prices know: health, score, price. Health is that of the process that answers."""
        return self._transport.call("GET", "/api/v1/providers")

    def list_records(
        self,
        *,
        deployment: Union[str, None] = None,
        environment: Union[str, None] = None,
        manifest: Union[str, None] = None,
        model: Union[str, None] = None,
        outcome: Union[Literal['ok', 'upstream_error', 'unavailable', 'cut', 'cancelled', 'refused'], None] = None,
        user: Union[str, None] = None,
        session: Union[str, None] = None,
        soft_failed: Union[bool, None] = None,
        start_time: Union[str, None] = None,
        end_time: Union[str, None] = None,
        cursor: Union[str, None] = None,
        after: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageRequestRecord:
        """Request records, newest first."""
        return self._transport.call(
            "GET",
            "/api/v1/records",
            query={"deployment": deployment, "environment": environment, "manifest": manifest, "model": model, "outcome": outcome, "user": user, "session": session, "soft_failed": soft_failed, "start_time": start_time, "end_time": end_time, "cursor": cursor, "after": after, "limit": limit},
        )

    def list_releases(
        self,
        *,
        deployment: Union[str, None] = None,
        open: Union[bool, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageRelease:
        """Releases, the newest first."""
        return self._transport.call(
            "GET",
            "/api/v1/releases",
            query={"deployment": deployment, "open": open, "cursor": cursor, "limit": limit},
        )

    def list_results(
        self,
        run: str,
        *,
        category: Union[str, None] = None,
        status: Union[Literal['passed', 'failed', 'errored'], None] = None,
        order: Union[Literal['ordinal', 'worst', 'best'], None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageSampleResult:
        """Sample results, worst first, or in the order that is asked for."""
        return self._transport.call(
            "GET",
            f"/api/v1/runs/{_segment(run)}/results",
            query={"category": category, "status": status, "order": order, "cursor": cursor, "limit": limit},
        )

    def list_reviews(
        self,
        *,
        status: Union[Literal['open', 'accepted', 'corrected', 'labelled', 'dismissed'], None] = None,
        reason: Union[Literal['low_rating', 'correction', 'soft_failure', 'shadow_loss', 'uncertain_judge'], None] = None,
        deployment: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageReviewItem:
        """Items of the review queue, newest first."""
        return self._transport.call(
            "GET",
            "/api/v1/reviews",
            query={"status": status, "reason": reason, "deployment": deployment, "cursor": cursor, "limit": limit},
        )

    def list_runs(
        self,
        *,
        prompt: Union[str, None] = None,
        prompt_name: Union[str, None] = None,
        prompt_version: Union[str, None] = None,
        model_name: Union[str, None] = None,
        model: Union[str, None] = None,
        dataset: Union[str, None] = None,
        suite: Union[str, None] = None,
        status: Union[Literal['pending', 'running', 'completed', 'failed', 'cancelled'], None] = None,
        tag: Union[str, None] = None,
        start_time: Union[str, None] = None,
        end_time: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageEvaluationRun:
        """Runs, newest first."""
        return self._transport.call(
            "GET",
            "/api/v1/runs",
            query={"prompt": prompt, "prompt_name": prompt_name, "prompt_version": prompt_version, "model_name": model_name, "model": model, "dataset": dataset, "suite": suite, "status": status, "tag": tag, "start_time": start_time, "end_time": end_time, "cursor": cursor, "limit": limit},
        )

    def list_samples(
        self,
        name: str,
        version: str,
        *,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageSampleAt:
        """Samples of a version, in order."""
        return self._transport.call(
            "GET",
            f"/api/v1/datasets/{_segment(name)}/versions/{_segment(version)}/samples",
            query={"cursor": cursor, "limit": limit},
        )

    def list_schedules(self, *, cursor: Union[str, None] = None, limit: Union[int, None] = None) -> t.PageSchedule:
        """Schedules, by name."""
        return self._transport.call("GET", "/api/v1/schedules", query={"cursor": cursor, "limit": limit})

    def list_silences(self) -> t.PageSilence:
        """The silences that have not ended."""
        return self._transport.call("GET", "/api/v1/silences")

    def live(self) -> t.ProcessHealth:
        """The process runs. It says so while it starts, stops, or waits for its store, too."""
        return self._transport.call("GET", "/healthz")

    def make_hard_examples(self, body: t.HardExamples) -> t.HardExamplesMade:
        """Adds the questions of negative feedback to a dataset, with the right answers where somebody gave them."""
        return self._transport.call("POST", "/api/v1/feedback/hard-examples", body=body)

    def note_incident(self, incident: str, body: t.AddNote) -> t.Incident:
        """Writes something down."""
        return self._transport.call("POST", f"/api/v1/incidents/{_segment(incident)}/notes", body=body)

    def open_incident(self, body: t.OpenIncident) -> t.OpenedIncident:
        """Opens an incident: from now on nothing is promoted to the deployment. Switches the safe mode on or rolls back, where told so."""
        return self._transport.call("POST", "/api/v1/incidents", body=body)

    def pause_canary(self, canary: str, body: t.ChangeCanary) -> t.Canary:
        """Takes the candidate out of traffic until it is resumed: it answers nothing, seen or unseen."""
        return self._transport.call("POST", f"/api/v1/canaries/{_segment(canary)}/pause", body=body)

    def pause_experiment(self, experiment: str) -> t.Experiment:
        """Pauses: no unit is added, and those that are in keep their variant."""
        return self._transport.call("POST", f"/api/v1/experiments/{_segment(experiment)}/pause")

    def pause_schedule(self, schedule: str) -> t.Schedule:
        """Keeps a schedule from firing until it is resumed."""
        return self._transport.call("POST", f"/api/v1/schedules/{_segment(schedule)}/pause")

    def plan_experiment(self, body: t.PlanExperiment) -> t.PlannedExperiment:
        """How large an experiment must be, of two variants or more."""
        return self._transport.call("POST", "/api/v1/experiments/power", body=body)

    def play_prompt(self, body: t.PlayPrompt) -> t.PlayedPrompt:
        """Asks a model once with a prompt version, as a run would. Nothing is kept of it."""
        return self._transport.call("POST", "/api/v1/playground", body=body)

    def preview_schedule(self, schedule: str, *, count: Union[int, None] = None) -> t.Preview:
        """The next firings of a schedule, paused or not."""
        return self._transport.call("GET", f"/api/v1/schedules/{_segment(schedule)}/preview", query={"count": count})

    def promote_baseline(self, body: t.PromoteBaseline) -> t.Baseline:
        """Makes a run the baseline of its dataset: tags it `env=production`."""
        return self._transport.call("POST", "/api/v1/baselines", body=body)

    def promote_canary(self, canary: str, body: t.ChangeCanary) -> t.Canary:
        """Points the deployment to the candidate now, whatever the numbers say. Where the policy asks for an approval, not by the key that started the canary."""
        return self._transport.call("POST", f"/api/v1/canaries/{_segment(canary)}/promote", body=body)

    def push_prompt(self, body: t.PushPrompt) -> t.PushedPrompt:
        """Pushes a version. Identical content is the version that exists (200); new content is a new version (201); the same number with other content is a conflict."""
        return self._transport.call("POST", "/api/v1/prompts", body=body)

    def put_applied(self, body: t.PutApplied) -> None:
        """Says what was applied of a piece, after it was."""
        self._transport.call("PUT", "/api/v1/applied", body=body)

    def put_schedule(self, body: t.ScheduleSpec) -> t.Schedule:
        """Makes a schedule, or replaces the one of its name. What it runs must be possible now."""
        return self._transport.call("POST", "/api/v1/schedules", body=body)

    def ready(self, *, part: Union[Literal['all', 'gateway'], None] = None) -> t.ProcessHealth:
        """The process can do its work: it neither starts nor stops, its store answers and has the tables that this version knows, its queue can be reached, and its gateway hears of changes. Else `problems` lists all that is wrong."""
        return self._transport.call("GET", "/readyz", query={"part": part})

    def record_metric(self, experiment: str, body: t.Observation) -> t.RecordedObservations:
        """Records one value of one metric. When it is answered, it is on disk. The same idempotency key, unit and metric again is the same observation; without a key, the same unit, metric, `at` and value is."""
        return self._transport.call("POST", f"/api/v1/experiments/{_segment(experiment)}/observations", body=body)

    def rehearse(self, name: str, body: t.EnvironmentQuery) -> t.Rehearsal:
        """Checks whether the manifests that were live could take over. Live traffic is not touched."""
        return self._transport.call("POST", f"/api/v1/deployments/{_segment(name)}/rehearse", body=body)

    def reject_promotion(self, approval: str) -> t.Approval:
        """Refuses a promotion."""
        return self._transport.call("POST", f"/api/v1/approvals/{_segment(approval)}/reject")

    def reload_config(self) -> t.Reloaded:
        """Reads the configuration file of this process again, as SIGHUP does. It is checked first: what is wrong comes all at once (422), and the old configuration stays. For keys of the project `default`. Other replicas read their own."""
        return self._transport.call("POST", "/api/v1/config/reload")

    def render_prompt(self, name: str, version: str, body: t.RenderPrompt) -> t.RenderedPrompt:
        """Renders a version with values for its variables."""
        return self._transport.call(
            "POST",
            f"/api/v1/prompts/{_segment(name)}/versions/{_segment(version)}/render",
            body=body,
        )

    def replay_delivery(self, delivery: str) -> t.Delivery:
        """Sends a message anew: one that was given up, or that is delivered already."""
        return self._transport.call("POST", f"/api/v1/deliveries/{_segment(delivery)}/replay")

    def resolve_alert(self, alert: str) -> t.Alert:
        """Resolves an alert, and tells the channels that were told of it."""
        return self._transport.call("POST", f"/api/v1/alerts/{_segment(alert)}/resolve")

    def resume_canary(self, canary: str, body: t.ChangeCanary) -> t.Canary:
        """Goes on after a pause, at the stage that it was paused at."""
        return self._transport.call("POST", f"/api/v1/canaries/{_segment(canary)}/resume", body=body)

    def resume_experiment(self, experiment: str) -> t.Experiment:
        """Goes on after a pause."""
        return self._transport.call("POST", f"/api/v1/experiments/{_segment(experiment)}/resume")

    def resume_schedule(self, schedule: str) -> t.Schedule:
        """Lets a paused schedule fire again, from its next time on."""
        return self._transport.call("POST", f"/api/v1/schedules/{_segment(schedule)}/resume")

    def revoke_key(self, key: str, *, project: Union[str, None] = None) -> t.ApiKey:
        """Revokes a key: every replica refuses it within a second. It stays in the list. A key cannot revoke itself."""
        return self._transport.call("DELETE", f"/api/v1/keys/{_segment(key)}", query={"project": project})

    def rollback(self, name: str, body: t.Rollback) -> t.Deployed:
        """Points a deployment to a manifest that was live before."""
        return self._transport.call("POST", f"/api/v1/deployments/{_segment(name)}/rollback", body=body)

    def run_schedule(self, schedule: str) -> t.Firing:
        """Fires a schedule now, paused or not. A worker makes the run."""
        return self._transport.call("POST", f"/api/v1/schedules/{_segment(schedule)}/run")

    def send_feedback_report(self, body: t.SendReport) -> t.FeedbackReport:
        """Sends the report to a channel."""
        return self._transport.call("POST", "/api/v1/feedback/report", body=body)

    def set_provider_score(self, body: t.SetModelScore) -> t.ModelStatus:
        """Sets a model's score by hand, in place of what runs measure, or forgets it."""
        return self._transport.call("PUT", "/api/v1/providers/score", body=body)

    def sign_in(self, body: t.SignIn) -> t.Session:
        """Signs in: a key for a cookie that lasts twelve hours at most. Attempts are limited."""
        return self._transport.call("POST", "/api/v1/session", body=body)

    def sign_out(self) -> None:
        """Signs out: the session ends on every replica, and the cookie goes."""
        self._transport.call("DELETE", "/api/v1/session")

    def soft_failure_rate(
        self,
        name: str,
        *,
        environment: Union[str, None] = None,
        window: Union[str, None] = None,
    ) -> t.SoftFailureRate:
        """How many answers of a deployment failed softly, with the interval of their share."""
        return self._transport.call(
            "GET",
            f"/api/v1/deployments/{_segment(name)}/soft-failures",
            query={"environment": environment, "window": window},
        )

    def start_canary(self, body: t.StartCanary) -> t.StartedCanary:
        """Puts a candidate beside what a deployment answers with, and starts."""
        return self._transport.call("POST", "/api/v1/canaries", body=body)

    def start_experiment(self, experiment: str) -> t.Experiment:
        """Starts a draft, or resumes what is paused."""
        return self._transport.call("POST", f"/api/v1/experiments/{_segment(experiment)}/start")

    def start_release(self, deployment: str, body: t.StartRelease) -> t.Release:
        """Begins a release: gate, staging, an experiment on a tenth of the users, approval, production. It walks as far as it can, and says what it waits for."""
        return self._transport.call("POST", f"/api/v1/releases/{_segment(deployment)}", body=body)

    def start_run(self, run: str) -> t.EvaluationRun:
        """Starts a pending run, or resumes one that stopped: what has a result is not asked again."""
        return self._transport.call("POST", f"/api/v1/runs/{_segment(run)}/start")

    def submit_feedback(self, body: t.SubmitFeedback) -> t.ReceivedFeedback:
        """Takes in feedback on answers: one piece, or a list of at most 1,000. It may come before the answer's record is written. The same `idempotency_key` again is the same feedback. Of a list, what is wrong is refused with its position, and the rest is taken. Whoever may call the gateway may say how the answer was."""
        return self._transport.call("POST", "/api/v1/feedback", body=body)

    def switch_safe_mode(self, name: str, body: t.SwitchSafeMode) -> t.SafeModeSwitched:
        """Switches the safe mode on or off."""
        return self._transport.call("POST", f"/api/v1/deployments/{_segment(name)}/safe-mode", body=body)

    def test_channels(self, body: t.TestChannels) -> t.PageTestedChannel:
        """Sends a test message through every channel, or one, and tells how each fared."""
        return self._transport.call("POST", "/api/v1/channels/test", body=body)

    def update_experiment(self, experiment: str, body: Dict[str, Any]) -> t.Experiment:
        """Changes the fields that are given; null takes a field back to its default. A draft may become anything. While it is running or paused, name, description, metadata and split may change, and the coverage may rise; afterwards name, description and metadata. With `If-Match`, only if nobody changed it since. Editors do that; the split and coverage of what is running or paused move live traffic, and need an operator."""
        return self._transport.call("PATCH", f"/api/v1/experiments/{_segment(experiment)}", body=body)

    def waive_release_step(self, deployment: str, body: t.WaiveStep) -> t.Release:
        """Lets the present step pass without its evidence, for a reason, and goes on."""
        return self._transport.call("POST", f"/api/v1/releases/{_segment(deployment)}/waive", body=body)


class AsyncApi:
    """The operations, to be awaited."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def abort_canary(self, canary: str, body: t.ChangeCanary) -> t.Canary:
        """Ends a canary at once: the candidate answers nobody any more."""
        return await self._transport.call("POST", f"/api/v1/canaries/{_segment(canary)}/abort", body=body)

    async def acknowledge_alert(self, alert: str) -> t.Alert:
        """Marks an alert as seen: channels hear no more of it unless it becomes more severe."""
        return await self._transport.call("POST", f"/api/v1/alerts/{_segment(alert)}/acknowledge")

    async def activate_prompt(self, name: str, version: str) -> t.PromptVersion:
        """Makes a version the active one."""
        return await self._transport.call(
            "POST",
            f"/api/v1/prompts/{_segment(name)}/versions/{_segment(version)}/activate",
        )

    async def advance_release(self, deployment: str) -> t.Release:
        """Goes on as far as it can."""
        return await self._transport.call("POST", f"/api/v1/releases/{_segment(deployment)}/advance")

    async def approve_canary(self, canary: str, body: t.ChangeCanary) -> t.Canary:
        """Lets a candidate go on that has proved itself and waits for an approval. Not by the key that started the canary."""
        return await self._transport.call("POST", f"/api/v1/canaries/{_segment(canary)}/approve", body=body)

    async def approve_promotion(self, approval: str) -> t.Deployed:
        """Allows a promotion that another key asked for, and carries it out."""
        return await self._transport.call("POST", f"/api/v1/approvals/{_segment(approval)}/approve")

    async def approve_release(self, deployment: str) -> t.Release:
        """Allows a release, and goes on. Where the deployment asks for a second key, who began it may not."""
        return await self._transport.call("POST", f"/api/v1/releases/{_segment(deployment)}/approve")

    async def ask_experiment(self, experiment: str, body: t.Question) -> t.AskedQuestion:
        """Asks what the results cannot tell: another kind or quantile of a metric, a part of the units, a stretch of time. It is answered from the observations in the background; the answer is fetched by the id of the question."""
        return await self._transport.call("POST", f"/api/v1/experiments/{_segment(experiment)}/questions", body=body)

    async def assign_variant(self, experiment: str, body: t.AssignUnit) -> t.Assignment:
        """The variant of a unit. A unit's first exposure is stored before the answer; asking again writes nothing."""
        return await self._transport.call("POST", f"/api/v1/experiments/{_segment(experiment)}/assign", body=body)

    async def begin_canary(self, canary: str, body: t.ChangeCanary) -> t.Canary:
        """Starts a draft."""
        return await self._transport.call("POST", f"/api/v1/canaries/{_segment(canary)}/begin", body=body)

    async def calibrate_judge(self, body: t.CalibrateJudge) -> t.JudgeCalibration:
        """Compares the judge of a run with what people said about its answers, and keeps what came out."""
        return await self._transport.call("POST", "/api/v1/judges/calibrations", body=body)

    async def cancel_experiment(self, experiment: str) -> t.Experiment:
        """Gives it up."""
        return await self._transport.call("POST", f"/api/v1/experiments/{_segment(experiment)}/cancel")

    async def cancel_release(self, deployment: str, body: t.CancelRelease) -> t.Release:
        """Gives a release up. What is live stays live."""
        return await self._transport.call("POST", f"/api/v1/releases/{_segment(deployment)}/cancel", body=body)

    async def cancel_run(self, run: str) -> t.EvaluationRun:
        """Stops a run. It can be resumed."""
        return await self._transport.call("POST", f"/api/v1/runs/{_segment(run)}/cancel")

    async def check_providers(self, body: t.CheckModels) -> t.PageModelStatus:
        """Asks each model for a word, to see that it answers."""
        return await self._transport.call("POST", "/api/v1/providers/check", body=body)

    async def close_incident(self, incident: str, body: t.CloseIncident) -> t.ClosedIncident:
        """Closes an incident: with the draft of a post-mortem, and a regression dataset of the inputs that failed."""
        return await self._transport.call("POST", f"/api/v1/incidents/{_segment(incident)}/close", body=body)

    async def collect_reviews(self, body: t.CollectReviews) -> t.CollectedReviews:
        """Adds the answers of a run that its judges are uncertain of."""
        return await self._transport.call("POST", "/api/v1/reviews/collect", body=body)

    async def compare_prompts(
        self,
        name: str,
        *,
        from_: Union[str, None],
        to: Union[str, None] = None,
    ) -> t.PromptDiff:
        """What differs between two versions."""
        return await self._transport.call(
            "GET",
            f"/api/v1/prompts/{_segment(name)}/compare",
            query={"from": from_, "to": to},
        )

    async def compare_runs(self, run: str, other: str) -> t.RunComparison:
        """What changed from one run to another."""
        return await self._transport.call("GET", f"/api/v1/runs/{_segment(run)}/compare/{_segment(other)}")

    async def complete_experiment(
        self,
        experiment: str,
        body: Union[Union[t.CompleteExperiment, None], None] = None,
    ) -> t.Experiment:
        """Ends it, with a winner or without; no body is without."""
        return await self._transport.call("POST", f"/api/v1/experiments/{_segment(experiment)}/complete", body=body)

    async def create_alert(self, body: t.CreateAlert) -> t.RaisedAlert:
        """Raises an alert, or counts it on the open alert of its cause."""
        return await self._transport.call("POST", "/api/v1/alerts", body=body)

    async def create_experiment(self, body: t.ExperimentSpec) -> t.Experiment:
        """Makes a draft. What is left out is filled in: ids of variants, control, equal shares."""
        return await self._transport.call("POST", "/api/v1/experiments", body=body)

    async def create_key(self, body: t.CreateKey) -> t.CreatedKey:
        """Makes a key. The answer holds its secret, this once."""
        return await self._transport.call("POST", "/api/v1/keys", body=body)

    async def create_model_experiment(self, body: t.CreateModelExperiment) -> t.Experiment:
        """Makes a draft of two or more models with the same parameters."""
        return await self._transport.call("POST", "/api/v1/experiments/model", body=body)

    async def create_project(self, body: t.CreateProject) -> t.Project:
        """Makes a project. Only admins of the project `default` can."""
        return await self._transport.call("POST", "/api/v1/projects", body=body)

    async def create_prompt_experiment(self, body: t.CreatePromptExperiment) -> t.Experiment:
        """Makes a draft of two prompts, and registers prompts that are not there yet."""
        return await self._transport.call("POST", "/api/v1/experiments/prompt", body=body)

    async def create_run(self, body: t.CreateRun) -> t.EvaluationRun:
        """Creates a run, and starts it unless `start` is false."""
        return await self._transport.call("POST", "/api/v1/runs", body=body)

    async def create_silence(self, body: t.CreateSilence) -> t.Silence:
        """Silences alerts for a time: they are kept, and no channel is told."""
        return await self._transport.call("POST", "/api/v1/silences", body=body)

    async def decide_review(self, id: str, body: t.Decide) -> t.Decided:
        """Decides on an item, once: accept, correct, label or dismiss. An answer that is good by it becomes a sample of a dataset, which says where it came from."""
        return await self._transport.call("POST", f"/api/v1/reviews/{_segment(id)}/decision", body=body)

    async def delete_experiment(self, experiment: str) -> None:
        """Deletes a draft. What was started is kept: it can be cancelled."""
        await self._transport.call("DELETE", f"/api/v1/experiments/{_segment(experiment)}")

    async def delete_prompt(self, name: str, version: str) -> None:
        """Deletes a version. The active one cannot be deleted."""
        await self._transport.call("DELETE", f"/api/v1/prompts/{_segment(name)}/versions/{_segment(version)}")

    async def delete_schedule(self, schedule: str) -> None:
        """Removes a schedule and the list of its firings; its runs stay."""
        await self._transport.call("DELETE", f"/api/v1/schedules/{_segment(schedule)}")

    async def deploy(self, name: str, body: t.Deploy) -> t.Deployed:
        """Points a deployment to a manifest, and makes the deployment where there is none."""
        return await self._transport.call("POST", f"/api/v1/deployments/{_segment(name)}/deploy", body=body)

    async def deployment_history(self, name: str, *, environment: Union[str, None] = None) -> t.PageDeploymentChange:
        """Every change of a deployment, newest first."""
        return await self._transport.call(
            "GET",
            f"/api/v1/deployments/{_segment(name)}/history",
            query={"environment": environment},
        )

    async def diff_datasets(self, name: str, *, from_: Union[str, None], to: Union[str, None] = None) -> t.DatasetDiff:
        """What differs between two versions: ids added, removed, changed."""
        return await self._transport.call(
            "GET",
            f"/api/v1/datasets/{_segment(name)}/diff",
            query={"from": from_, "to": to},
        )

    async def end_silence(self, silence: str) -> None:
        """Ends a silence."""
        await self._transport.call("DELETE", f"/api/v1/silences/{_segment(silence)}")

    async def erase_records(self, body: t.ErasureQuery) -> t.Erased:
        """Deletes everything that is kept of a user's calls: records, feedback, items of the review queue. Samples that people made of them stay."""
        return await self._transport.call("POST", "/api/v1/records/erase", body=body)

    async def evaluate_flag(self, key: str, body: t.EvaluationRequest) -> t.FlagValue:
        """One flag."""
        return await self._transport.call("POST", f"/ofrep/v1/evaluate/flags/{_segment(key)}", body=body)

    async def evaluate_flags(self, body: Union[Union[t.EvaluationRequest, None], None] = None) -> t.BulkAnswer:
        """All flags."""
        return await self._transport.call("POST", "/ofrep/v1/evaluate/flags", body=body)

    async def export_canary(self, canary: str, *, environment: Union[str, None] = None) -> str:
        """All settled pairs as NDJSON, one row each: `ts`, `prompt_hash`, `prod_model`, `shadow_model`, `prod_score`, `shadow_score`, `delta`, and what else was seen."""
        return await self._transport.call(
            "GET",
            f"/api/v1/canaries/{_segment(canary)}/export",
            query={"environment": environment},
            as_text=True,
        )

    async def export_dataset(self, name: str, version: str) -> str:
        """All samples of a version as NDJSON."""
        return await self._transport.call(
            "GET",
            f"/api/v1/datasets/{_segment(name)}/versions/{_segment(version)}/export",
            as_text=True,
        )

    async def export_feedback(
        self,
        *,
        format: Union[Literal['jsonl', 'openai-ft', 'preference'], None] = None,
        deployment: Union[str, None] = None,
        start_time: Union[str, None] = None,
        end_time: Union[str, None] = None,
        limit: Union[int, None] = None,
        redacted: Union[bool, None] = None,
    ) -> str:
        """Feedback as training data, a JSON object a line. The header `x-llmops-export` says how many examples there are and what was left out: near-duplicates, secrets, what lacks a text."""
        return await self._transport.call(
            "GET",
            "/api/v1/feedback/export",
            query={"format": format, "deployment": deployment, "start_time": start_time, "end_time": end_time, "limit": limit, "redacted": redacted},
            as_text=True,
        )

    async def export_traces(self, body: Any) -> Any:
        """Takes spans by OpenTelemetry's protocol, as protobuf or JSON, packed with gzip or not. Spans of model calls (`gen_ai.*`) become request records; one that is sent twice is stored once."""
        return await self._transport.call("POST", "/v1/traces", body=body)

    async def feedback_report(
        self,
        *,
        deployment: Union[str, None] = None,
        days: Union[int, None] = None,
        end_time: Union[str, None] = None,
        model: Union[str, None] = None,
    ) -> t.FeedbackReport:
        """The last days by prompt version, beside as many days before, and what complaints are about."""
        return await self._transport.call(
            "GET",
            "/api/v1/feedback/report",
            query={"deployment": deployment, "days": days, "end_time": end_time, "model": model},
        )

    async def feedback_summary(
        self,
        *,
        by: Union[Literal['all', 'day', 'prompt', 'manifest', 'variant', 'deployment', 'model', 'tag'], None] = None,
        deployment: Union[str, None] = None,
        start_time: Union[str, None] = None,
        end_time: Union[str, None] = None,
    ) -> t.FeedbackSummary:
        """What was said, summed up by prompt version, manifest, variant, day, segment …, with numbers of answers and intervals."""
        return await self._transport.call(
            "GET",
            "/api/v1/feedback/summary",
            query={"by": by, "deployment": deployment, "start_time": start_time, "end_time": end_time},
        )

    async def gate_run(self, run: str, body: t.GateRequest) -> t.GateReport:
        """The verdict on a run, with its evidence. Asked for by an editor, it is kept: as the run's tag `gate`, which deployments with `require_gate` go by, and with its rules in the record of changes. A viewer reads it only, and so does everybody where the store may only be read: a notice says so."""
        return await self._transport.call("POST", f"/api/v1/runs/{_segment(run)}/gate", body=body)

    async def get_alert(self, alert: str) -> t.Alert:
        """One alert: an id, or the beginning of one."""
        return await self._transport.call("GET", f"/api/v1/alerts/{_segment(alert)}")

    async def get_calibration(self, id: str) -> t.JudgeCalibration:
        """One calibration."""
        return await self._transport.call("GET", f"/api/v1/judges/calibrations/{_segment(id)}")

    async def get_canary(self, canary: str, *, environment: Union[str, None] = None) -> t.CanaryReport:
        """How a canary stands: its sums, its bounds against the policy's limits, and what would be decided now. It is named by its id, the beginning of it, or its deployment."""
        return await self._transport.call(
            "GET",
            f"/api/v1/canaries/{_segment(canary)}",
            query={"environment": environment},
        )

    async def get_dataset(self, name: str) -> t.Dataset:
        """One dataset."""
        return await self._transport.call("GET", f"/api/v1/datasets/{_segment(name)}")

    async def get_dataset_version(self, name: str, version: str) -> t.DatasetVersion:
        """One version: `latest`, a hash, or at least 4 hex digits of one."""
        return await self._transport.call("GET", f"/api/v1/datasets/{_segment(name)}/versions/{_segment(version)}")

    async def get_deployment(self, name: str, *, environment: Union[str, None] = None) -> t.Deployment:
        """One deployment."""
        return await self._transport.call(
            "GET",
            f"/api/v1/deployments/{_segment(name)}",
            query={"environment": environment},
        )

    async def get_distribution(self, run: str) -> t.ScoreDistribution:
        """How the composites of a run's trials are spread."""
        return await self._transport.call("GET", f"/api/v1/runs/{_segment(run)}/distribution")

    async def get_experiment(self, experiment: str) -> t.Experiment:
        """One experiment: an id, the beginning of one, or a key. Of several with one key it is the one that is running or paused, else the newest."""
        return await self._transport.call("GET", f"/api/v1/experiments/{_segment(experiment)}")

    async def get_experiment_question(self, experiment: str, question: str) -> t.AskedQuestion:
        """A question, with its answer once there is one."""
        return await self._transport.call(
            "GET",
            f"/api/v1/experiments/{_segment(experiment)}/questions/{_segment(question)}",
        )

    async def get_experiment_results(
        self,
        experiment: str,
        *,
        by_segment: Union[bool, None] = None,
        by_day: Union[bool, None] = None,
    ) -> t.ExperimentResult:
        """What the experiment found so far."""
        return await self._transport.call(
            "GET",
            f"/api/v1/experiments/{_segment(experiment)}/results",
            query={"by_segment": by_segment, "by_day": by_day},
        )

    async def get_feedback(self, id: str) -> t.Feedback:
        """One piece of feedback."""
        return await self._transport.call("GET", f"/api/v1/feedback/{_segment(id)}")

    async def get_gate_rules(self) -> t.GateConfig:
        """The rules of the gate that the configuration sets: what to ask with for its verdict. Those of a suite may be others."""
        return await self._transport.call("GET", "/api/v1/gate")

    async def get_incident(self, incident: str) -> t.Incident:
        """One incident: by its id, a beginning of it, or the name of the deployment (`NAME`, `NAME@ENVIRONMENT`) whose incident is open."""
        return await self._transport.call("GET", f"/api/v1/incidents/{_segment(incident)}")

    async def get_key(self, key: str, *, project: Union[str, None] = None) -> t.ApiKey:
        """One key."""
        return await self._transport.call("GET", f"/api/v1/keys/{_segment(key)}", query={"project": project})

    async def get_manifest(self, hash: str) -> t.Manifest:
        """A manifest by the beginning of its hash."""
        return await self._transport.call("GET", f"/api/v1/manifests/{_segment(hash)}")

    async def get_metrics(self) -> str:
        """Metrics of the process in Prometheus' text format: of all projects, and so for the keys of the project `default`."""
        return await self._transport.call("GET", "/metrics", as_text=True)

    async def get_overview(self) -> t.Overview:
        """The state of the project at a glance, and what changed since yesterday."""
        return await self._transport.call("GET", "/api/v1/overview")

    async def get_project(self, project: str) -> t.Project:
        """One project."""
        return await self._transport.call("GET", f"/api/v1/projects/{_segment(project)}")

    async def get_prompt(self, name: str) -> t.PromptVersion:
        """The active version of a prompt."""
        return await self._transport.call("GET", f"/api/v1/prompts/{_segment(name)}")

    async def get_prompt_version(self, name: str, version: str) -> t.PromptVersion:
        """One version: a number, 12 or more hex digits of its hash, or `active`."""
        return await self._transport.call("GET", f"/api/v1/prompts/{_segment(name)}/versions/{_segment(version)}")

    async def get_quality(
        self,
        *,
        dataset: Union[str, None] = None,
        suite: Union[str, None] = None,
        prompt: Union[str, None] = None,
        model: Union[str, None] = None,
        days: Union[int, None] = None,
    ) -> t.QualitySeries:
        """Scores of completed runs over time, with what they are the scores of."""
        return await self._transport.call(
            "GET",
            "/api/v1/quality",
            query={"dataset": dataset, "suite": suite, "prompt": prompt, "model": model, "days": days},
        )

    async def get_record(self, id: str) -> t.RequestRecord:
        """One request record."""
        return await self._transport.call("GET", f"/api/v1/records/{_segment(id)}")

    async def get_release(self, deployment: str) -> t.Release:
        """The release of a deployment that is on its way; or any, by its id."""
        return await self._transport.call("GET", f"/api/v1/releases/{_segment(deployment)}")

    async def get_review(self, id: str) -> t.ReviewItem:
        """One item, by its id, by a beginning of it that fits no other, or `latest`: the newest open one."""
        return await self._transport.call("GET", f"/api/v1/reviews/{_segment(id)}")

    async def get_run(
        self,
        run: str,
        *,
        wait_ms: Union[int, None] = None,
        dataset: Union[str, None] = None,
    ) -> t.EvaluationRun:
        """One run: an id, the beginning of one, `latest` or `baseline`."""
        return await self._transport.call(
            "GET",
            f"/api/v1/runs/{_segment(run)}",
            query={"wait_ms": wait_ms, "dataset": dataset},
        )

    async def get_sample(self, name: str, version: str, sample: str) -> t.SampleAt:
        """One sample of a version."""
        return await self._transport.call(
            "GET",
            f"/api/v1/datasets/{_segment(name)}/versions/{_segment(version)}/samples/{_segment(sample)}",
        )

    async def get_sample_results(self, run: str, sample: str) -> t.PageSampleResult:
        """Every trial of one sample."""
        return await self._transport.call("GET", f"/api/v1/runs/{_segment(run)}/results/{_segment(sample)}")

    async def get_schedule(self, schedule: str) -> t.Schedule:
        """One schedule."""
        return await self._transport.call("GET", f"/api/v1/schedules/{_segment(schedule)}")

    async def get_session(self) -> t.Session:
        """Who the caller is, by key or by cookie."""
        return await self._transport.call("GET", "/api/v1/session")

    async def get_traffic(
        self,
        *,
        deployment: Union[str, None] = None,
        environment: Union[str, None] = None,
        hours: Union[int, None] = None,
    ) -> t.Traffic:
        """Live traffic in sums, hour by hour."""
        return await self._transport.call(
            "GET",
            "/api/v1/traffic",
            query={"deployment": deployment, "environment": environment, "hours": hours},
        )

    async def import_dataset(
        self,
        name: str,
        content: Content,
        content_type: str = "application/x-ndjson",
        *,
        type: Union[Literal['golden', 'regression', 'benchmark', 'user'], None] = None,
        description: Union[str, None] = None,
        replaces: Union[str, None] = None,
    ) -> t.ImportedDataset:
        """Adds a version, and the dataset if it is new. The body is NDJSON, one sample a line, of any length. Everything that is wrong is told with its line, and then nothing is written. The same samples again are the version that exists."""
        return await self._transport.call(
            "POST",
            f"/api/v1/datasets/{_segment(name)}/versions",
            query={"type": type, "description": description, "replaces": replaces},
            content=content, content_type=content_type,
        )

    async def import_observations(
        self,
        experiment: str,
        content: Content,
        content_type: str = "application/octet-stream",
        *,
        source: Union[str, None] = None,
        no_units: Union[bool, None] = None,
    ) -> t.RecordedObservations:
        """Records many: CSV with the header `unit,variant,metric,value[,at][,idempotency_key]`, or a JSON object a line, of any length. A table without the column `unit` is refused, unless `no_units` says so. Lines that are wrong are refused and told; all others are on disk when it is answered."""
        return await self._transport.call(
            "POST",
            f"/api/v1/experiments/{_segment(experiment)}/observations/import",
            query={"source": source, "no_units": no_units},
            content=content, content_type=content_type,
        )

    async def incident_timeline(self, incident: str) -> t.Timeline:
        """What happened around an incident, from a day before it on."""
        return await self._transport.call("GET", f"/api/v1/incidents/{_segment(incident)}/timeline")

    async def limit_key(self, key: str, body: t.Limits, *, project: Union[str, None] = None) -> t.ApiKey:
        """Sets what may be spent with a key at the gateway, in place of what was set before: every replica keeps to it within a second."""
        return await self._transport.call(
            "PUT",
            f"/api/v1/keys/{_segment(key)}/limits",
            query={"project": project},
            body=body,
        )

    async def list_added_samples(
        self,
        name: str,
        *,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageSample:
        """Samples that llmops added to a dataset by itself, by id: what a canary lost, inputs of an incident, hard questions. A version that is built from a file may lack them; `llmops dataset pull` brings them into it. None where there is no such dataset."""
        return await self._transport.call(
            "GET",
            f"/api/v1/datasets/{_segment(name)}/added",
            query={"cursor": cursor, "limit": limit},
        )

    async def list_alerts(
        self,
        *,
        types: Union[str, None] = None,
        severities: Union[str, None] = None,
        source: Union[str, None] = None,
        unacked: Union[bool, None] = None,
        status: Union[Literal['open', 'resolved'], None] = None,
        start_time: Union[str, None] = None,
        end_time: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageAlert:
        """Alerts, newest first."""
        return await self._transport.call(
            "GET",
            "/api/v1/alerts",
            query={"types": types, "severities": severities, "source": source, "unacked": unacked, "status": status, "start_time": start_time, "end_time": end_time, "cursor": cursor, "limit": limit},
        )

    async def list_applied(
        self,
        *,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageAppliedPiece:
        """What `llmops apply` brought here last, piece by piece: whoever applies again sees by it what was edited elsewhere."""
        return await self._transport.call("GET", "/api/v1/applied", query={"cursor": cursor, "limit": limit})

    async def list_approvals(
        self,
        *,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageApproval:
        """Promotions that waited for a second key or still do, the newest first."""
        return await self._transport.call("GET", "/api/v1/approvals", query={"cursor": cursor, "limit": limit})

    async def list_audit(
        self,
        *,
        project: Union[str, None] = None,
        actor: Union[str, None] = None,
        action: Union[str, None] = None,
        target: Union[str, None] = None,
        start_time: Union[str, None] = None,
        end_time: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageAuditRecord:
        """Changes of configuration, the newest first: who, what, before and after."""
        return await self._transport.call(
            "GET",
            "/api/v1/audit",
            query={"project": project, "actor": actor, "action": action, "target": target, "start_time": start_time, "end_time": end_time, "cursor": cursor, "limit": limit},
        )

    async def list_baselines(self) -> t.PageBaseline:
        """The baseline of every dataset that has one."""
        return await self._transport.call("GET", "/api/v1/baselines")

    async def list_calibrations(
        self,
        *,
        judge: Union[str, None] = None,
        run: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageJudgeCalibration:
        """Calibrations of judges against people, newest first."""
        return await self._transport.call(
            "GET",
            "/api/v1/judges/calibrations",
            query={"judge": judge, "run": run, "cursor": cursor, "limit": limit},
        )

    async def list_canaries(
        self,
        *,
        status: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageCanary:
        """Canaries, newest first."""
        return await self._transport.call(
            "GET",
            "/api/v1/canaries",
            query={"status": status, "cursor": cursor, "limit": limit},
        )

    async def list_canary_decisions(
        self,
        canary: str,
        *,
        environment: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageLoggedDecision:
        """The log of a canary's decisions, oldest first, each with everything that it was made from."""
        return await self._transport.call(
            "GET",
            f"/api/v1/canaries/{_segment(canary)}/decisions",
            query={"environment": environment, "cursor": cursor, "limit": limit},
        )

    async def list_canary_pairs(
        self,
        canary: str,
        *,
        environment: Union[str, None] = None,
        verdict: Union[Literal['win', 'loss', 'tie'], None] = None,
        status: Union[Literal['waiting', 'judged', 'candidate_failed', 'unjudged'], None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageShadowPair:
        """Pairs of a canary, in the order in which their requests came."""
        return await self._transport.call(
            "GET",
            f"/api/v1/canaries/{_segment(canary)}/pairs",
            query={"environment": environment, "verdict": verdict, "status": status, "cursor": cursor, "limit": limit},
        )

    async def list_channels(self) -> t.PageChannel:
        """Who is told of alerts. Addresses and secrets are not shown."""
        return await self._transport.call("GET", "/api/v1/channels")

    async def list_dataset_versions(self, name: str) -> t.PageDatasetVersion:
        """Versions of a dataset, newest first."""
        return await self._transport.call("GET", f"/api/v1/datasets/{_segment(name)}/versions")

    async def list_datasets(self, *, cursor: Union[str, None] = None, limit: Union[int, None] = None) -> t.PageDataset:
        """All datasets, by name."""
        return await self._transport.call("GET", "/api/v1/datasets", query={"cursor": cursor, "limit": limit})

    async def list_deliveries(
        self,
        *,
        status: Union[Literal['pending', 'delivered', 'dead'], None] = None,
        channel: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageDelivery:
        """Messages to channels, newest first: `dead` ones could not be delivered for a day."""
        return await self._transport.call(
            "GET",
            "/api/v1/deliveries",
            query={"status": status, "channel": channel, "cursor": cursor, "limit": limit},
        )

    async def list_deployments(
        self,
        *,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageDeployment:
        """Deployments by name and environment."""
        return await self._transport.call("GET", "/api/v1/deployments", query={"cursor": cursor, "limit": limit})

    async def list_experiment_questions(
        self,
        experiment: str,
        *,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageAskedQuestion:
        """What was asked about an experiment, newest first."""
        return await self._transport.call(
            "GET",
            f"/api/v1/experiments/{_segment(experiment)}/questions",
            query={"cursor": cursor, "limit": limit},
        )

    async def list_experiments(
        self,
        *,
        status: Union[Literal['draft', 'running', 'paused', 'completed', 'cancelled'], None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageExperiment:
        """Experiments, newest first."""
        return await self._transport.call(
            "GET",
            "/api/v1/experiments",
            query={"status": status, "cursor": cursor, "limit": limit},
        )

    async def list_feedback(
        self,
        *,
        deployment: Union[str, None] = None,
        request_id: Union[str, None] = None,
        sentiment: Union[Literal['negative', 'neutral', 'positive'], None] = None,
        corrected: Union[bool, None] = None,
        start_time: Union[str, None] = None,
        end_time: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageFeedback:
        """Feedback, newest first."""
        return await self._transport.call(
            "GET",
            "/api/v1/feedback",
            query={"deployment": deployment, "request_id": request_id, "sentiment": sentiment, "corrected": corrected, "start_time": start_time, "end_time": end_time, "cursor": cursor, "limit": limit},
        )

    async def list_firings(
        self,
        schedule: str,
        *,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageFiring:
        """Firings of a schedule, newest first."""
        return await self._transport.call(
            "GET",
            f"/api/v1/schedules/{_segment(schedule)}/firings",
            query={"cursor": cursor, "limit": limit},
        )

    async def list_incidents(
        self,
        *,
        deployment: Union[str, None] = None,
        environment: Union[str, None] = None,
        open: Union[bool, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageIncident:
        """Incidents, the newest first."""
        return await self._transport.call(
            "GET",
            "/api/v1/incidents",
            query={"deployment": deployment, "environment": environment, "open": open, "cursor": cursor, "limit": limit},
        )

    async def list_keys(
        self,
        *,
        project: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageApiKey:
        """The keys of a project, the oldest first, revoked ones too. Secrets are not among what is known of them."""
        return await self._transport.call(
            "GET",
            "/api/v1/keys",
            query={"project": project, "cursor": cursor, "limit": limit},
        )

    async def list_projects(self, *, cursor: Union[str, None] = None, limit: Union[int, None] = None) -> t.PageProject:
        """The projects that the caller may know of, by id: all of them for keys of the project `default`, else its own."""
        return await self._transport.call("GET", "/api/v1/projects", query={"cursor": cursor, "limit": limit})

    async def list_prompt_versions(self, name: str) -> t.PagePromptVersion:
        """All versions of a prompt, newest first."""
        return await self._transport.call("GET", f"/api/v1/prompts/{_segment(name)}/versions")

    async def list_prompts(
        self,
        *,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PagePromptVersion:
        """The active version of every prompt, by name."""
        return await self._transport.call("GET", "/api/v1/prompts", query={"cursor": cursor, "limit": limit})

    async def list_providers(self) -> t.PageModelStatus:
        """The models that runs, scores and prices know: health, score, price. Health is that of the process that answers."""
        return await self._transport.call("GET", "/api/v1/providers")

    async def list_records(
        self,
        *,
        deployment: Union[str, None] = None,
        environment: Union[str, None] = None,
        manifest: Union[str, None] = None,
        model: Union[str, None] = None,
        outcome: Union[Literal['ok', 'upstream_error', 'unavailable', 'cut', 'cancelled', 'refused'], None] = None,
        user: Union[str, None] = None,
        session: Union[str, None] = None,
        soft_failed: Union[bool, None] = None,
        start_time: Union[str, None] = None,
        end_time: Union[str, None] = None,
        cursor: Union[str, None] = None,
        after: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageRequestRecord:
        """Request records, newest first."""
        return await self._transport.call(
            "GET",
            "/api/v1/records",
            query={"deployment": deployment, "environment": environment, "manifest": manifest, "model": model, "outcome": outcome, "user": user, "session": session, "soft_failed": soft_failed, "start_time": start_time, "end_time": end_time, "cursor": cursor, "after": after, "limit": limit},
        )

    async def list_releases(
        self,
        *,
        deployment: Union[str, None] = None,
        open: Union[bool, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageRelease:
        """Releases, the newest first."""
        return await self._transport.call(
            "GET",
            "/api/v1/releases",
            query={"deployment": deployment, "open": open, "cursor": cursor, "limit": limit},
        )

    async def list_results(
        self,
        run: str,
        *,
        category: Union[str, None] = None,
        status: Union[Literal['passed', 'failed', 'errored'], None] = None,
        order: Union[Literal['ordinal', 'worst', 'best'], None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageSampleResult:
        """Sample results, worst first, or in the order that is asked for."""
        return await self._transport.call(
            "GET",
            f"/api/v1/runs/{_segment(run)}/results",
            query={"category": category, "status": status, "order": order, "cursor": cursor, "limit": limit},
        )

    async def list_reviews(
        self,
        *,
        status: Union[Literal['open', 'accepted', 'corrected', 'labelled', 'dismissed'], None] = None,
        reason: Union[Literal['low_rating', 'correction', 'soft_failure', 'shadow_loss', 'uncertain_judge'], None] = None,
        deployment: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageReviewItem:
        """Items of the review queue, newest first."""
        return await self._transport.call(
            "GET",
            "/api/v1/reviews",
            query={"status": status, "reason": reason, "deployment": deployment, "cursor": cursor, "limit": limit},
        )

    async def list_runs(
        self,
        *,
        prompt: Union[str, None] = None,
        prompt_name: Union[str, None] = None,
        prompt_version: Union[str, None] = None,
        model_name: Union[str, None] = None,
        model: Union[str, None] = None,
        dataset: Union[str, None] = None,
        suite: Union[str, None] = None,
        status: Union[Literal['pending', 'running', 'completed', 'failed', 'cancelled'], None] = None,
        tag: Union[str, None] = None,
        start_time: Union[str, None] = None,
        end_time: Union[str, None] = None,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageEvaluationRun:
        """Runs, newest first."""
        return await self._transport.call(
            "GET",
            "/api/v1/runs",
            query={"prompt": prompt, "prompt_name": prompt_name, "prompt_version": prompt_version, "model_name": model_name, "model": model, "dataset": dataset, "suite": suite, "status": status, "tag": tag, "start_time": start_time, "end_time": end_time, "cursor": cursor, "limit": limit},
        )

    async def list_samples(
        self,
        name: str,
        version: str,
        *,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageSampleAt:
        """Samples of a version, in order."""
        return await self._transport.call(
            "GET",
            f"/api/v1/datasets/{_segment(name)}/versions/{_segment(version)}/samples",
            query={"cursor": cursor, "limit": limit},
        )

    async def list_schedules(
        self,
        *,
        cursor: Union[str, None] = None,
        limit: Union[int, None] = None,
    ) -> t.PageSchedule:
        """Schedules, by name."""
        return await self._transport.call("GET", "/api/v1/schedules", query={"cursor": cursor, "limit": limit})

    async def list_silences(self) -> t.PageSilence:
        """The silences that have not ended."""
        return await self._transport.call("GET", "/api/v1/silences")

    async def live(self) -> t.ProcessHealth:
        """The process runs. It says so while it starts, stops, or waits for its store, too."""
        return await self._transport.call("GET", "/healthz")

    async def make_hard_examples(self, body: t.HardExamples) -> t.HardExamplesMade:
        """Adds the questions of negative feedback to a dataset, with the right answers where somebody gave them."""
        return await self._transport.call("POST", "/api/v1/feedback/hard-examples", body=body)

    async def note_incident(self, incident: str, body: t.AddNote) -> t.Incident:
        """Writes something down."""
        return await self._transport.call("POST", f"/api/v1/incidents/{_segment(incident)}/notes", body=body)

    async def open_incident(self, body: t.OpenIncident) -> t.OpenedIncident:
        """Opens an incident: from now on nothing is promoted to the deployment. Switches the safe mode on or rolls back, where told so."""
        return await self._transport.call("POST", "/api/v1/incidents", body=body)

    async def pause_canary(self, canary: str, body: t.ChangeCanary) -> t.Canary:
        """Takes the candidate out of traffic until it is resumed: it answers nothing, seen or unseen."""
        return await self._transport.call("POST", f"/api/v1/canaries/{_segment(canary)}/pause", body=body)

    async def pause_experiment(self, experiment: str) -> t.Experiment:
        """Pauses: no unit is added, and those that are in keep their variant."""
        return await self._transport.call("POST", f"/api/v1/experiments/{_segment(experiment)}/pause")

    async def pause_schedule(self, schedule: str) -> t.Schedule:
        """Keeps a schedule from firing until it is resumed."""
        return await self._transport.call("POST", f"/api/v1/schedules/{_segment(schedule)}/pause")

    async def plan_experiment(self, body: t.PlanExperiment) -> t.PlannedExperiment:
        """How large an experiment must be, of two variants or more."""
        return await self._transport.call("POST", "/api/v1/experiments/power", body=body)

    async def play_prompt(self, body: t.PlayPrompt) -> t.PlayedPrompt:
        """Asks a model once with a prompt version, as a run would. Nothing is kept of it."""
        return await self._transport.call("POST", "/api/v1/playground", body=body)

    async def preview_schedule(self, schedule: str, *, count: Union[int, None] = None) -> t.Preview:
        """The next firings of a schedule, paused or not."""
        return await self._transport.call(
            "GET",
            f"/api/v1/schedules/{_segment(schedule)}/preview",
            query={"count": count},
        )

    async def promote_baseline(self, body: t.PromoteBaseline) -> t.Baseline:
        """Makes a run the baseline of its dataset: tags it `env=production`."""
        return await self._transport.call("POST", "/api/v1/baselines", body=body)

    async def promote_canary(self, canary: str, body: t.ChangeCanary) -> t.Canary:
        """Points the deployment to the candidate now, whatever the numbers say. Where the policy asks for an approval, not by the key that started the canary."""
        return await self._transport.call("POST", f"/api/v1/canaries/{_segment(canary)}/promote", body=body)

    async def push_prompt(self, body: t.PushPrompt) -> t.PushedPrompt:
        """Pushes a version. Identical content is the version that exists (200); new content is a new version (201); the same number with other content is a conflict."""
        return await self._transport.call("POST", "/api/v1/prompts", body=body)

    async def put_applied(self, body: t.PutApplied) -> None:
        """Says what was applied of a piece, after it was."""
        await self._transport.call("PUT", "/api/v1/applied", body=body)

    async def put_schedule(self, body: t.ScheduleSpec) -> t.Schedule:
        """Makes a schedule, or replaces the one of its name. What it runs must be possible now."""
        return await self._transport.call("POST", "/api/v1/schedules", body=body)

    async def ready(self, *, part: Union[Literal['all', 'gateway'], None] = None) -> t.ProcessHealth:
        """The process can do its work: it neither starts nor stops, its store answers and has the tables that this version knows, its queue can be reached, and its gateway hears of changes. Else `problems` lists all that is wrong."""
        return await self._transport.call("GET", "/readyz", query={"part": part})

    async def record_metric(self, experiment: str, body: t.Observation) -> t.RecordedObservations:
        """Records one value of one metric. When it is answered, it is on disk. The same idempotency key, unit and metric again is the same observation; without a key, the same unit, metric, `at` and value is."""
        return await self._transport.call(
            "POST",
            f"/api/v1/experiments/{_segment(experiment)}/observations",
            body=body,
        )

    async def rehearse(self, name: str, body: t.EnvironmentQuery) -> t.Rehearsal:
        """Checks whether the manifests that were live could take over. Live traffic is not touched."""
        return await self._transport.call("POST", f"/api/v1/deployments/{_segment(name)}/rehearse", body=body)

    async def reject_promotion(self, approval: str) -> t.Approval:
        """Refuses a promotion."""
        return await self._transport.call("POST", f"/api/v1/approvals/{_segment(approval)}/reject")

    async def reload_config(self) -> t.Reloaded:
        """Reads the configuration file of this process again, as SIGHUP does. It is checked first: what is wrong comes all at once (422), and the old configuration stays. For keys of the project `default`. Other replicas read their own."""
        return await self._transport.call("POST", "/api/v1/config/reload")

    async def render_prompt(self, name: str, version: str, body: t.RenderPrompt) -> t.RenderedPrompt:
        """Renders a version with values for its variables."""
        return await self._transport.call(
            "POST",
            f"/api/v1/prompts/{_segment(name)}/versions/{_segment(version)}/render",
            body=body,
        )

    async def replay_delivery(self, delivery: str) -> t.Delivery:
        """Sends a message anew: one that was given up, or that is delivered already."""
        return await self._transport.call("POST", f"/api/v1/deliveries/{_segment(delivery)}/replay")

    async def resolve_alert(self, alert: str) -> t.Alert:
        """Resolves an alert, and tells the channels that were told of it."""
        return await self._transport.call("POST", f"/api/v1/alerts/{_segment(alert)}/resolve")

    async def resume_canary(self, canary: str, body: t.ChangeCanary) -> t.Canary:
        """Goes on after a pause, at the stage that it was paused at."""
        return await self._transport.call("POST", f"/api/v1/canaries/{_segment(canary)}/resume", body=body)

    async def resume_experiment(self, experiment: str) -> t.Experiment:
        """Goes on after a pause."""
        return await self._transport.call("POST", f"/api/v1/experiments/{_segment(experiment)}/resume")

    async def resume_schedule(self, schedule: str) -> t.Schedule:
        """Lets a paused schedule fire again, from its next time on."""
        return await self._transport.call("POST", f"/api/v1/schedules/{_segment(schedule)}/resume")

    async def revoke_key(self, key: str, *, project: Union[str, None] = None) -> t.ApiKey:
        """Revokes a key: every replica refuses it within a second. It stays in the list. A key cannot revoke itself."""
        return await self._transport.call("DELETE", f"/api/v1/keys/{_segment(key)}", query={"project": project})

    async def rollback(self, name: str, body: t.Rollback) -> t.Deployed:
        """Points a deployment to a manifest that was live before."""
        return await self._transport.call("POST", f"/api/v1/deployments/{_segment(name)}/rollback", body=body)

    async def run_schedule(self, schedule: str) -> t.Firing:
        """Fires a schedule now, paused or not. A worker makes the run."""
        return await self._transport.call("POST", f"/api/v1/schedules/{_segment(schedule)}/run")

    async def send_feedback_report(self, body: t.SendReport) -> t.FeedbackReport:
        """Sends the report to a channel."""
        return await self._transport.call("POST", "/api/v1/feedback/report", body=body)

    async def set_provider_score(self, body: t.SetModelScore) -> t.ModelStatus:
        """Sets a model's score by hand, in place of what runs measure, or forgets it."""
        return await self._transport.call("PUT", "/api/v1/providers/score", body=body)

    async def sign_in(self, body: t.SignIn) -> t.Session:
        """Signs in: a key for a cookie that lasts twelve hours at most. Attempts are limited."""
        return await self._transport.call("POST", "/api/v1/session", body=body)

    async def sign_out(self) -> None:
        """Signs out: the session ends on every replica, and the cookie goes."""
        await self._transport.call("DELETE", "/api/v1/session")

    async def soft_failure_rate(
        self,
        name: str,
        *,
        environment: Union[str, None] = None,
        window: Union[str, None] = None,
    ) -> t.SoftFailureRate:
        """How many answers of a deployment failed softly, with the interval of their share."""
        return await self._transport.call(
            "GET",
            f"/api/v1/deployments/{_segment(name)}/soft-failures",
            query={"environment": environment, "window": window},
        )

    async def start_canary(self, body: t.StartCanary) -> t.StartedCanary:
        """Puts a candidate beside what a deployment answers with, and starts."""
        return await self._transport.call("POST", "/api/v1/canaries", body=body)

    async def start_experiment(self, experiment: str) -> t.Experiment:
        """Starts a draft, or resumes what is paused."""
        return await self._transport.call("POST", f"/api/v1/experiments/{_segment(experiment)}/start")

    async def start_release(self, deployment: str, body: t.StartRelease) -> t.Release:
        """Begins a release: gate, staging, an experiment on a tenth of the users, approval, production. It walks as far as it can, and says what it waits for."""
        return await self._transport.call("POST", f"/api/v1/releases/{_segment(deployment)}", body=body)

    async def start_run(self, run: str) -> t.EvaluationRun:
        """Starts a pending run, or resumes one that stopped: what has a result is not asked again."""
        return await self._transport.call("POST", f"/api/v1/runs/{_segment(run)}/start")

    async def submit_feedback(self, body: t.SubmitFeedback) -> t.ReceivedFeedback:
        """Takes in feedback on answers: one piece, or a list of at most 1,000. It may come before the answer's record is written. The same `idempotency_key` again is the same feedback. Of a list, what is wrong is refused with its position, and the rest is taken. Whoever may call the gateway may say how the answer was."""
        return await self._transport.call("POST", "/api/v1/feedback", body=body)

    async def switch_safe_mode(self, name: str, body: t.SwitchSafeMode) -> t.SafeModeSwitched:
        """Switches the safe mode on or off."""
        return await self._transport.call("POST", f"/api/v1/deployments/{_segment(name)}/safe-mode", body=body)

    async def test_channels(self, body: t.TestChannels) -> t.PageTestedChannel:
        """Sends a test message through every channel, or one, and tells how each fared."""
        return await self._transport.call("POST", "/api/v1/channels/test", body=body)

    async def update_experiment(self, experiment: str, body: Dict[str, Any]) -> t.Experiment:
        """Changes the fields that are given; null takes a field back to its default. A draft may become anything. While it is running or paused, name, description, metadata and split may change, and the coverage may rise; afterwards name, description and metadata. With `If-Match`, only if nobody changed it since. Editors do that; the split and coverage of what is running or paused move live traffic, and need an operator."""
        return await self._transport.call("PATCH", f"/api/v1/experiments/{_segment(experiment)}", body=body)

    async def waive_release_step(self, deployment: str, body: t.WaiveStep) -> t.Release:
        """Lets the present step pass without its evidence, for a reason, and goes on."""
        return await self._transport.call("POST", f"/api/v1/releases/{_segment(deployment)}/waive", body=body)
