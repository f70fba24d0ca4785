"""Runs in MLflow: logged to a real server and to a folder, read back with MLflow's own client, and as the gate's baseline."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Iterator

import pytest

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
from mlflow.tracking import MlflowClient  # noqa: E402

from conftest import ADMIN_KEY, Project, free_port, serve, words  # noqa: E402


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"),
    ]
    log = (folder / "log").open("w")
    server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        assert server.poll() is None, (folder / "log").read_text()
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1)
            break
        except OSError:
            time.sleep(0.2)
    else:
        raise AssertionError((folder / "log").read_text())
    yield url
    os.killpg(server.pid, 15)
    server.wait(timeout=30)


def runs(client: MlflowClient, experiment: str, filter_string: str = "") -> list:
    found = client.get_experiment_by_name(experiment)
    assert found is not None, f"there is no experiment {experiment}"
    return client.search_runs([found.experiment_id], filter_string, order_by=["attributes.start_time DESC"])


def check_run(client: MlflowClient, project: Project, experiment: str, tmp_path: Path) -> None:
    """Everything that the seeds' dashboards read is there, and equal to scores.json."""
    scores = project.scores()
    run = runs(client, experiment)[0]
    assert run.info.status == "FINISHED"
    assert run.data.tags["llmops.run_id"] == scores["run"]
    assert run.data.tags["mlflow.source.git.commit"] == "abc123"
    params = run.data.params
    assert params["model"] == "sim/support-small" and params["prompt_version"] == "1.0.0"
    assert float(params["temperature"]) == 0 and params["dataset_version"] == scores["dataset_version"]
    metrics = run.data.metrics
    assert metrics["overall_score"] == pytest.approx(scores["overall"], abs=1e-12)
    for category, score in scores["categories"].items():
        assert metrics[f"cat_{category}"] == pytest.approx(score, abs=1e-12)
    assert metrics["rouge_l"] == pytest.approx(scores["metrics"]["rouge_l"], abs=1e-12)
    assert {"pass_rate", "p50_latency_ms", "cost_per_request", "total_examples"} <= set(metrics)
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"scores.json", "manifest.json", "prompt_template.txt"} <= names
    template = client.download_artifacts(run.info.run_id, "prompt_template.txt", str(tmp_path))
    first = next(line for line in (project.folder / "prompts/support-bot.yaml").read_text().splitlines() if "You " in line)
    assert first.split("|")[-1].strip()[:20] in Path(template).read_text()


def test_a_server_takes_runs(project: Project, tracking: str, tmp_path: Path) -> None:
    said = project.run("eval", "--mlflow", tracking, "--mlflow-experiment", "takes", GITHUB_SHA="abc123")
    assert "logged to MLflow" in said.stderr
    check_run(MlflowClient(tracking), project, "takes", tmp_path)


def test_a_folder_takes_runs(project: Project, tmp_path: Path) -> None:
    project.run("eval", "--mlflow", "./mlruns", GITHUB_SHA="abc123")
    client = MlflowClient(f"file:{project.folder / 'mlruns'}")
    check_run(client, project, "support-bot", tmp_path)
    project.run("baseline", "promote", "latest", "--mlflow", "./mlruns")
    assert len(runs(client, "support-bot", "tags.env = 'production'")) == 1
    assert "which is run_" in words(project.run("gate", "--mlflow", "./mlruns").stdout)


def test_promotion_tags_the_run_and_the_gate_finds_it(project: Project, tracking: str) -> None:
    env = {"MLFLOW_TRACKING_URI": tracking, "MLFLOW_EXPERIMENT_NAME": "promoted"}
    project.run("eval", **env)
    assert "No run of MLflow" in words(project.run("gate", **env).stdout)
    project.run("baseline", "promote", "latest", **env)
    client = MlflowClient(tracking)
    [production] = runs(client, "promoted", "tags.env = 'production'")
    assert production.data.tags["llmops.run_id"] == project.scores()["run"]
    first = project.scores()["run"]

    prompt = project.folder / "prompts/support-bot.yaml"
    good = prompt.read_text()
    prompt.write_text((project.folder / "prompts-next/support-bot.yaml").read_text())
    project.run("eval", **env)
    failed = project.run("gate", code=1, **env)
    assert first in words(failed.stdout) and production.info.run_id in words(failed.stdout)
    assert any(check["name"].startswith("max_drop/") for check in project.scores()["checks"])

    # The tag moves: the newest run with it is the baseline, even when an older run is promoted again.
    project.run("baseline", "promote", "latest", "--force", **env)
    assert len(runs(client, "promoted", "tags.env = 'production'")) == 2
    project.run("baseline", "promote", first, **env)
    [again] = runs(client, "promoted", "tags.env = 'production'")
    assert again.data.tags["llmops.run_id"] == first
    prompt.write_text(good)


def test_ratings_of_live_traffic_are_logged(project: Project, tracking: str) -> None:
    env = {"MLFLOW_TRACKING_URI": tracking, "MLFLOW_EXPERIMENT_NAME": "rated"}
    project.run("eval", **env)
    client = MlflowClient(tracking)
    assert "mean_rating" not in runs(client, "rated")[0].data.metrics, "nobody rated anything yet"

    project.run("deploy", "support-bot", "--prompt", "support-bot@1.0.0", "--model", "sim/support-small")
    process, url = serve(project)
    try:
        for rating in ("4/5", "5/5"):
            ask(url)
            project.run("feedback", "add", "latest", "--rating", rating)
    finally:
        process.terminate()
        process.wait(timeout=30)
    project.run("eval", **env)
    assert runs(client, "rated")[0].data.metrics["mean_rating"] == pytest.approx(4.5)


def ask(url: str) -> None:
    """Asks the deployment, and waits until the call's record is in the store."""
    body = {"model": "support-bot", "messages": [{"role": "user", "content": "What does delivery cost?"}]}
    headers = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        record = answer.headers["x-llmops-request-id"]
    for _ in range(100):
        try:
            at = urllib.request.Request(f"{url}/api/v1/records/{record}", headers=headers)
            urllib.request.urlopen(at, timeout=30).close()
            return
        except urllib.error.HTTPError as error:
            assert error.code == 404
            time.sleep(0.05)
    raise AssertionError(f"{record} is not in the store")


def test_a_baseline_that_only_mlflow_knows_is_compared_by_its_scores(project: Project, tracking: str) -> None:
    client = MlflowClient(tracking)
    experiment = client.create_experiment("foreign")
    run = client.create_run(experiment, tags={"env": "production"})
    client.log_metric(run.info.run_id, "overall_score", 0.95)
    for category in ("factual_accuracy", "refusal_behavior", "instruction_following"):
        client.log_metric(run.info.run_id, f"cat_{category}", 0.999)
    client.set_terminated(run.info.run_id)
    env = {"MLFLOW_TRACKING_URI": tracking, "MLFLOW_EXPERIMENT_NAME": "foreign"}
    project.run("eval", "--output", "scores.json")
    said = project.run("gate", code=None, **env)
    assert f"The baseline is the MLflow run {run.info.run_id}" in words(said.stdout), said.stdout
    checks = {check["name"]: check for check in project.scores()["checks"]}
    assert checks["max_drop/factual_accuracy"]["baseline"] == 0.999
    assert checks["category_min/tone_consistency"]["status"] in ("pass", "fail"), "a category without baseline has a limit"

    # A run whose numbers are no scores is no baseline.
    worse = client.create_run(experiment, tags={"env": "production"})
    client.log_metric(worse.info.run_id, "mean_rating", 4.2)
    assert "neither overall_score nor cat_" in words(project.run("gate", code=None, **env).stdout)


@pytest.mark.parametrize("category", ["退货", "tone & style", "खाता", "a/b:c", "🍰", "é" * 60])
def test_categories_of_any_script_keep_their_baseline(project: Project, tracking: str, category: str) -> None:
    for file in sorted((project.folder / "datasets").glob("*.jsonl")):
        file.write_text(file.read_text().replace('"tone_consistency"', json.dumps(category, ensure_ascii=False)))
    project.replace("llmops.yaml", "tone_consistency:", f"{json.dumps(category, ensure_ascii=False)}:")
    env = {"MLFLOW_TRACKING_URI": tracking, "MLFLOW_EXPERIMENT_NAME": f"category {category.encode().hex()}"}
    project.run("eval", **env)
    score = project.scores()["categories"][category]
    project.run("baseline", "promote", "latest", **env)
    # Only MLflow still knows the run.
    shutil.rmtree(project.folder / ".llmops")
    project.run("eval")
    project.run("gate", code=None, **env)
    checks = {check["name"]: check for check in project.scores()["checks"]}
    assert checks[f"max_drop/{category}"]["baseline"] == pytest.approx(score, abs=1e-12)


def test_what_was_promoted_is_the_baseline(project: Project, tracking: str) -> None:
    client = MlflowClient(tracking)
    env = {"MLFLOW_TRACKING_URI": tracking, "MLFLOW_EXPERIMENT_NAME": "mixed"}
    project.run("eval", **env)
    foreign = client.create_run(client.get_experiment_by_name("mixed").experiment_id, tags={"env": "production"})
    client.log_metric(foreign.info.run_id, "overall_score", 0.5)
    assert foreign.info.run_id in words(project.run("gate", **env).stdout)
    said = project.run("baseline", "promote", "latest", **env)
    assert f"took env=production in MLflow from {foreign.info.run_id}" in said.stderr
    assert "which is run_" in words(project.run("gate", **env).stdout)


def test_experiments_that_are_not_there_and_that_are_deleted(project: Project, tracking: str) -> None:
    client = MlflowClient(tracking)
    project.run("eval")
    said = project.run("gate", "--mlflow", tracking, "--mlflow-experiment", "nowhere")
    assert "No run of MLflow's experiment `nowhere`" in words(said.stdout)
    assert client.get_experiment_by_name("nowhere") is None
    client.delete_experiment(client.create_experiment("gone"))
    (project.folder / "scores.json").unlink()
    said = project.run("eval", "--mlflow", tracking, "--mlflow-experiment", "gone", code=2)
    assert "is deleted" in said.stderr and project.scores()["overall"] > 0


def test_an_mlflow_that_is_away_stops_nothing(project: Project) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    said = project.run("eval", "--mlflow", nowhere)
    assert "cannot be reached" in said.stderr and "mlruns" in said.stderr
    client = MlflowClient(f"file:{project.folder / 'mlruns'}")
    assert runs(client, "support-bot")[0].data.tags["llmops.run_id"] == project.scores()["run"]
    gated = project.run("gate", "--mlflow", nowhere)
    assert "No baseline came from MLflow" in words(gated.stdout) and "absolute limits" in words(gated.stdout)


def test_places_that_are_none_are_refused(project: Project) -> None:
    said = project.run("eval", "--mlflow", "postgresql://localhost/mlflow", code=2)
    assert "no place that runs can be logged to" in said.stderr
