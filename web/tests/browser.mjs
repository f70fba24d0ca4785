// The browser, the server and what the tests know of it: shared by the files of tests.
//
// LLMOPS_URL and LLMOPS_API_KEY name the server; screenshots are kept in web/artefacts.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { chromium } from "playwright-core";

export const base = process.env.LLMOPS_URL;
export const key = process.env.LLMOPS_API_KEY;
assert.ok(base && key, "LLMOPS_URL and LLMOPS_API_KEY name the server to test");
export const shots = join(import.meta.dirname, "../artefacts");
export const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export let browser;
export let page;
let profile;
export const complaints = [];
export const ids = {};

const ask = async (method, path, type, body) => {
  const answer = await fetch(base + path, { method, headers: { authorization: `Bearer ${key}`, "content-type": type }, ...(body === undefined ? {} : { body }) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${answer.ok ? "" : await answer.text()}`);
  return answer.status === 204 ? undefined : answer.json();
};
export const api = (method, path, body) => ask(method, path, "application/json", body === undefined ? undefined : JSON.stringify(body));
/** The samples of a dataset's next version, a line of JSON each. */
export const lines = (dataset, text) => ask("POST", `/api/v1/datasets/${dataset}/versions`, "application/x-ndjson", text);

before(async () => {
  mkdirSync(shots, { recursive: true });
  profile = mkdtempSync(join(tmpdir(), "llmops-web-"));
  browser = await chromium.launchPersistentContext(profile, { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: FLAGS, viewport: { width: 1280, height: 860 }, reducedMotion: "reduce", bypassCSP: false });
  page = await browser.newPage();
  page.setDefaultTimeout(10_000);
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
  page.on("console", (message) => {
    // What the tests provoke (a refusal, a missing page) is logged by the browser as well.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) complaints.push(`${page.url()}: ${message.text()}`);
  });
  const runs = (await api("GET", "/api/v1/runs?limit=10")).items;
  ids.worse = runs.find((run) => run.prompt_version === "1.1.0").id;
  ids.experiment = (await api("GET", "/api/v1/experiments?status=running")).items.find((experiment) => experiment.name === "Shorter answers").id;
  ids.plan = (await api("GET", "/api/v1/experiments?status=draft")).items[0].id;
  const canaries = (await api("GET", "/api/v1/canaries")).items;
  for (const status of ["shadowing", "aborted", "draft"]) ids[status] = canaries.find((canary) => canary.state.status === status)?.id;
  assert.ok(ids.shadowing && ids.aborted, `canaries: ${canaries.map((canary) => canary.state.status)}`);
  ids.release = (await api("GET", "/api/v1/releases")).items.find((release) => release.status === "open").id;
  const incidents = (await api("GET", "/api/v1/incidents")).items;
  ids.incident = incidents.find((incident) => !incident.closed_at).id;
  ids.postMortem = incidents.find((incident) => incident.closed_at).id;
  ids.calibration = (await api("GET", "/api/v1/judges/calibrations")).items[0].id;
  ids.soft = (await api("GET", "/api/v1/records?soft_failed=true&limit=1")).items[0].id;
});

after(async () => {
  await browser?.close();
  rmSync(profile, { recursive: true, force: true });
});

export const go = async (path) => {
  await page.goto(base + path);
  await page.locator("main h1, dialog[open]").first().waitFor();
};
export const see = (text, options) => page.getByText(text, options).first().waitFor();
export const click = (name, role = "button") => page.getByRole(role, { name, exact: true }).first().click();

