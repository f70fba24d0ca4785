// The dashboard in a browser, page by page, on a server that scripts/seed_dashboard.py has filled.
//
// LLMOPS_URL and LLMOPS_API_KEY name the server; screenshots are kept in web/artefacts.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const base = process.env.LLMOPS_URL;
const key = process.env.LLMOPS_API_KEY;
assert.ok(base && key, "LLMOPS_URL and LLMOPS_API_KEY name the server to test");
const shots = join(import.meta.dirname, "../artefacts");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

let browser;
let page;
let profile;
const complaints = [];
const ids = {};

const api = async (method, path, body) => {
  const answer = await fetch(base + path, { method, headers: { authorization: `Bearer ${key}`, "content-type": "application/json" }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${answer.ok ? "" : await answer.text()}`);
  return answer.json();
};

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
  ids.experiment = (await api("GET", "/api/v1/experiments?status=running")).items[0].id;
  ids.plan = (await api("GET", "/api/v1/experiments?status=draft")).items[0].id;
  const canaries = (await api("GET", "/api/v1/canaries")).items;
  for (const status of ["shadowing", "aborted", "draft"]) ids[status] = canaries.find((canary) => canary.state.status === status)?.id;
  assert.ok(ids.shadowing && ids.aborted, `canaries: ${canaries.map((canary) => canary.state.status)}`);
  ids.soft = (await api("GET", "/api/v1/records?soft_failed=true&limit=1")).items[0].id;
});

after(async () => {
  await browser?.close();
  rmSync(profile, { recursive: true, force: true });
});

const go = async (path) => {
  await page.goto(base + path);
  await page.locator("main h1, dialog[open]").first().waitFor();
};
const see = (text, options) => page.getByText(text, options).first().waitFor();
const click = (name, role = "button") => page.getByRole(role, { name, exact: true }).first().click();

test("a key signs in, and a wrong one does not", async () => {
  await page.goto(`${base}/runs?status=completed`);
  await page.getByLabel("Key").fill("llmops_not-a-key");
  await click("Sign in");
  await see("the key is unknown, expired or revoked");
  await page.getByLabel("Key").fill(key);
  await click("Sign in");
  await page.getByRole("heading", { name: "Runs" }).waitFor();
  assert.match(page.url(), /status=completed/, "the address that was asked for is kept");
});

test("the shell is small, and nothing comes from elsewhere", async () => {
  const fresh = await browser.newPage();
  const session = await fresh.context().newCDPSession(fresh);
  await session.send("Network.enable");
  await session.send("Network.setCacheDisabled", { cacheDisabled: true });
  const sizes = new Map();
  session.on("Network.responseReceived", ({ requestId, response }) => sizes.set(requestId, { url: response.url, bytes: 0 }));
  session.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    if (sizes.has(requestId)) sizes.get(requestId).bytes = encodedDataLength;
  });
  await fresh.goto(`${base}/providers`);
  await fresh.locator("main h1").waitFor();
  await fresh.waitForTimeout(300);
  const all = [...sizes.values()];
  const files = all.filter(({ url }) => !url.includes("/api/"));
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  assert.ok(bytes < 300_000, `the shell takes ${bytes} bytes`);
  assert.ok(files.length <= 24, `the shell takes ${files.length} requests: ${files.map((file) => file.url).join(" ")}`);
  assert.deepEqual(all.filter(({ url }) => !url.startsWith(base)), [], "requests to other hosts");
  assert.ok(!files.some(({ url }) => url.includes("/plot-")), "charts are loaded with the first chart");
  console.log(`    shell: ${files.length} files, ${Math.round(bytes / 1000)} kB`);
  await fresh.close();
});

test("overview: what is, and what changed since yesterday", async () => {
  await go("/");
  for (const name of ["Overall score · golden", "Gate", "Runs", "Open alerts", "Calls", "Soft failures", "Latency", "Spend on traffic"]) await see(name);
  await see("What changed since yesterday");
  await page.getByRole("list", { name: "Changes" }).getByText("was rolled back").first().waitFor();
  await see(/n 42/);
  await page.locator(".uplot canvas").first().waitFor();
});

test("quality: the score over time, also as a table; a point opens its run", async () => {
  await go("/quality");
  await page.locator(".uplot canvas").first().waitFor();
  await click("Table");
  await page.getByRole("region", { name: "Score over time, as a table" }).getByText("n 42").first().waitFor();
  await page.getByRole("link", { name: /^refusal behavior in support-bot@1\.1\.0/ }).click();
  await page.waitForURL(/\/runs\/.*category=refusal_behavior/);
});

test("runs: filters stand in the address, j walks, Enter opens", async () => {
  await go("/runs");
  await page.getByLabel("Status", { exact: true }).selectOption("completed");
  await page.waitForURL(/status=completed/);
  await page.locator("tbody .cover").first().waitFor();
  await page.locator("h1").click();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  const focused = await page.evaluate(() => document.activeElement?.className ?? "");
  assert.match(focused, /cover/);
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/runs\/run_/);
  await see("Spread of composites");
  await see("Why samples failed");
});

test("run: samples, the judges' reasons and the debate", async () => {
  await go(`/runs/${ids.worse}?tab=samples&status=failed`);
  await page.locator("tbody .cover").first().click();
  const drawer = page.locator("dialog[open]");
  await drawer.getByText("Answer, against the expected one").waitFor();
  await drawer.getByLabel("Transcript of the debate").waitFor();
  await drawer.getByText("Round 1").waitFor();
  const first = page.url();
  await page.keyboard.press("j");
  await page.waitForFunction((url) => location.href !== url, first);
  await page.keyboard.press("Escape");
  await page.waitForURL((url) => !url.search.includes("sample="));
});

test("run: the gate says no and names samples", async () => {
  await go(`/runs/${ids.worse}?tab=gate`);
  await click("Decide");
  await see("The gate says no.");
  await page.getByRole("table", { name: "Checks of the gate" }).getByText("Max drop · Refusal behavior").waitFor();
  await see("Samples that explain it");
});

test("runs are compared, flips first", async () => {
  await go(`/compare?a=baseline&b=${ids.worse}`);
  await see("now fails");
  await page.locator(".table.list .cover").first().click();
  await page.locator("dialog[open]").getByText("What changed in the answer").waitFor();
  await page.keyboard.press("Escape");
});

test("prompts: a difference by word, and a contract that changed", async () => {
  await go("/prompts");
  await page.getByLabel("Filter prompts").fill("review");
  await page.getByRole("link", { name: "code-review" }).click();
  await page.getByRole("link", { name: /^2\.0\.0/ }).click();
  await click("Difference", "link");
  await see(/Contract changed: severity is needed now/);
  await page.locator(".diff .added mark").first().waitFor();
});

test("prompts: variables render as one types, a model answers, a version is written and activated", async () => {
  await go("/prompts/code-review?version=2.0.0&tab=try");
  await see("Still needed:");
  await page.getByLabel("language *").fill("Go");
  await page.getByLabel("code *").fill("x := 1");
  await page.getByLabel("severity *").fill("major");
  await see("Review this Go code for bugs. Name what is at least major:");
  await click("Ask the model");
  await page.getByRole("heading", { name: "Answer" }).waitFor();
  await click("New version");
  const dialog = page.locator("dialog[open]");
  await dialog.getByLabel("What changed").fill("Asks for a short answer");
  await dialog.getByLabel("Template").fill("Review this {{language}} code for {{focus_area}}, briefly. Name what is at least {{severity}}:\n{{code}}");
  await dialog.getByRole("button", { name: "Save as a new version" }).click();
  await page.waitForURL(/version=2\.0\.1|version=2\.1\.0/);
  await click("Activate");
  await see("No gate has seen this version.");
  await page.locator("dialog[open]").getByRole("button", { name: "Activate" }).click();
  await see(/is active\./);
});

test("datasets: search, edit a sample into a new version, see the difference", async () => {
  await go("/datasets/golden");
  await page.getByLabel("Search samples").fill("Norway");
  await page.getByRole("link", { name: "x001" }).click();
  const dialog = page.locator("dialog[open]");
  await dialog.getByRole("button", { name: "Edit as a new version" }).click();
  await dialog.getByLabel("Expected").fill("Yes, to Norway within six working days.");
  await dialog.getByRole("button", { name: "Save as a new version" }).click();
  await see(/golden has the new version/);
  await go("/datasets/golden?tab=diff");
  await page.getByRole("list", { name: "Changed" }).getByText("x001").click();
  await page.locator("ins").first().waitFor();
});

test("an experiment: result with interval, forest, cumulative plot, guardrail", async () => {
  await go(`/experiments/${ids.experiment}`);
  await see(/valid at every look/);
  await page.getByRole("table", { name: "Differences and intervals" }).waitFor();
  await see("Guardrails");
  await page.locator(".uplot canvas").first().waitFor({ timeout: 30_000 });
  await click("Pause");
  await see("Paused: everybody gets the control.");
  await click("Resume");
  await see("The experiment goes on.");
});

test("an experiment is planned with its size and created", async () => {
  await go("/experiments/new");
  await page.locator("#content").getByLabel("Name", { exact: true }).first().fill("Politer refusals");
  await click("Next");
  await click("Next");
  await see("Users per variant");
  await page.getByLabel("Smallest change worth finding").fill("0.1");
  // statsmodels: NormalIndPower with the arcsine effect size of 0.6 and 0.7 gives 355.4.
  await page.locator(".stat .value", { hasText: "356" }).waitFor();
  await click("Next");
  await click("Create as a draft");
  await page.waitForURL(/\/experiments\/exp_/);
  await see("Nobody is assigned yet");
});

test("a deployment is rolled back, with a confirmation, and put into safe mode and back", async () => {
  await go("/deployments");
  await page.getByRole("table", { name: "Deployments" }).getByRole("row", { name: /production/ }).getByRole("link", { name: "support-bot", exact: true }).first().click();
  await page.getByRole("button", { name: "Roll back to revision 2" }).click();
  await page.locator("dialog[open]").getByRole("button", { name: "Roll back" }).click();
  await see(/points to .* again/);
  await see("revision 4");
  await click("Safe mode");
  await page.locator("dialog[open]").getByRole("button", { name: "Turn safe mode on" }).click();
  await see("Safe mode is on.");
  await click("Leave safe mode");
  await page.locator("dialog[open]").getByRole("button", { name: "Leave safe mode" }).click();
  await see("Safe mode is off.");
});

test("a canary: wins and losses with their bounds, conditions, pairs with their texts, the decision log", async () => {
  await go("/deployments");
  await page.getByRole("table", { name: "Canaries" }).getByRole("row", { name: /Shadowing/ }).getByRole("link", { name: "plant-care" }).click();
  await page.waitForURL(/\/canaries\/canary_/);
  const { situation } = await api("GET", `/api/v1/canaries/${ids.shadowing}`);
  assert.ok(situation.wins > 0 && situation.ties > 0 && situation.losses > 0, JSON.stringify(situation));
  await page.getByRole("img", { name: `${situation.wins} wins, ${situation.ties} ties, ${situation.losses} losses` }).waitFor();
  await page.getByRole("table", { name: "Conditions" }).getByRole("row", { name: /Net win/ }).waitFor();
  await page.getByRole("table", { name: "Guardrails" }).getByRole("row", { name: /Latency p95/ }).waitFor();
  await page.locator(".uplot canvas").nth(1).waitFor();
  await click("What differs", "link");
  await page.locator("dialog[open] del", { hasText: "256" }).first().waitFor();
  await page.keyboard.press("Escape");
  await click("Pairs", "link");
  await click("Losses");
  await page.waitForURL(/verdict=loss/);
  await page.locator("tbody .cover").first().click();
  const drawer = page.locator("dialog[open]");
  await drawer.getByText("From production’s answer to the candidate’s").waitFor();
  await drawer.getByText("Judged by the words that both have.").first().waitFor();
  await page.keyboard.press("Escape");
  await click("Decisions", "link");
  await page.getByRole("table", { name: "Decisions" }).getByText("Goes on").first().waitFor();
});

test("a canary that loses was aborted, and the overview tells of it", async () => {
  await go(`/canaries/${ids.aborted}`);
  await see("even its upper bound is below", { exact: false });
  await click("Decisions", "link");
  await page.getByRole("table", { name: "Decisions" }).getByText("Aborted").waitFor();
  await go("/");
  await page.getByRole("list", { name: "Changes" }).getByText("was aborted").waitFor();
});

test("a draft of a canary begins, is paused, goes on and is aborted with a reason", async () => {
  await go(`/canaries/${ids.draft}`);
  await see("nothing is asked until it begins", { exact: false });
  await click("Begin");
  await click("Pause");
  await see("Paused: the candidate answers nothing.");
  await click("Resume");
  await see("The canary goes on.");
  await click("Abort");
  await page.locator("dialog[open]").getByLabel("Reason").fill("Only a rehearsal");
  await page.locator("dialog[open]").getByRole("button", { name: "Abort" }).click();
  await see("Only a rehearsal.");
});

test("traffic: soft failures, the waterfall of one call", async () => {
  await go("/traffic");
  await page.getByLabel("Soft failures only").check();
  await page.waitForURL(/soft=true/);
  await page.locator("tbody .cover").first().click();
  await page.getByRole("table", { name: "Waterfall of the call" }).getByText("Whole call").waitFor();
  await page.keyboard.press("Escape");
});

test("a bad answer becomes a golden sample, by keyboard", async () => {
  await go("/review?reason=correction");
  await page.locator(".badge", { hasText: "Corrected by a user" }).first().waitFor();
  await page.getByLabel("Dataset").fill("golden");
  await page.getByLabel("Category").fill("factual_accuracy");
  await page.locator("h1").click();
  await page.keyboard.press("a");
  await see(/It is a sample of golden now, in version/);
  const samples = await api("GET", `/api/v1/datasets/golden/versions/${(await api("GET", "/api/v1/datasets/golden")).version}/samples?limit=200`);
  assert.ok(samples.items.some((sample) => sample.expected_output?.[0] === "Water a fern twice a week; keep the soil moist."), "the correction is the expected answer");
});

test("an alert is acknowledged and resolved", async () => {
  await go("/alerts?status=open&severity=critical");
  await page.getByRole("link", { name: "Refusal behavior fell below the baseline" }).click();
  await page.locator("dialog[open]").getByRole("button", { name: "Resolve" }).click();
  await see("Resolved.");
});

test("a schedule is paused; its next times are shown", async () => {
  await go("/schedules?schedule=nightly");
  await page.locator("dialog[open]").getByText("Europe/Berlin").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("row", { name: /nightly/ }).getByRole("button", { name: "Pause" }).click();
  await see("nightly is paused.");
});

test("providers are checked", async () => {
  await go("/providers");
  await page.getByRole("row", { name: /sim\/support-small/ }).getByRole("button", { name: "Check" }).click();
  await see("sim/support-small answered.");
});

test("a key is made and shown once, and revoked; the record of changes knows it", async () => {
  await go("/access");
  await click("New key");
  const dialog = page.locator("dialog[open]");
  await dialog.getByLabel("Name").fill("from-the-test");
  await dialog.getByRole("button", { name: "Create" }).click();
  await dialog.getByText("This is the only time that it is shown.").waitFor();
  await dialog.getByRole("button", { name: "Done" }).click();
  await page.getByRole("row", { name: /from-the-test/ }).getByRole("button", { name: "Revoke" }).click();
  await page.locator("dialog[open]").getByRole("button", { name: "Revoke" }).click();
  await see("The key is revoked, on every replica.");
  await go("/access?tab=audit&action=key");
  await page.getByRole("link", { name: "key.revoked" }).first().click();
  await page.locator("dialog[open]").waitFor();
});

test("the palette finds things by name, and g with a letter goes to pages", async () => {
  await go("/");
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox", { name: "Search" }).fill("code-rev");
  await page.getByRole("option", { name: /code-review/ }).first().waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL(/prompts\/code-review/);
  await page.locator("h1").click();
  await page.keyboard.press("g");
  await page.keyboard.press("a");
  await page.waitForURL(/\/alerts/);
});

test("the keyboard: past the navigation in one step, a ring wherever it is, and back after the palette", async () => {
  await go("/prompts");
  await page.getByRole("button", { name: "New prompt" }).hover();
  const [ink, ground] = await page.getByRole("button", { name: "New prompt" }).evaluate((button) => [getComputedStyle(button).color, getComputedStyle(button).backgroundColor]);
  assert.deepEqual([ink, ground], ["rgb(255, 255, 255)", "rgb(79, 70, 229)"], "a button can be read while the pointer is on it");
  await go("/runs");
  await page.locator("tbody .cover").first().waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  const seen = [];
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press("Tab");
    seen.push(await page.evaluate(() => {
      const focused = document.activeElement;
      const style = getComputedStyle(focused);
      return { name: focused.getAttribute("aria-label") ?? focused.textContent.trim(), inside: Boolean(focused.closest("main")), ring: (style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) > 0) || style.textDecorationLine === "underline" };
    }));
  }
  assert.deepEqual(seen.filter(({ inside, ring }) => !inside || !ring), []);
  assert.ok(seen.some(({ name }) => name === "Status") && seen.some(({ name }) => name.startsWith("support-bot on golden")), JSON.stringify(seen));
  await page.getByLabel("Status", { exact: true }).focus();
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox", { name: "Search" }).fill("plant-care");
  await page.getByRole("option", { name: /Canary of plant-care/ }).first().waitFor();
  await page.keyboard.press("Escape");
  await page.locator("dialog[open]").waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("aria-label")), "Status");
});

test("an address that leads nowhere says so", async () => {
  await page.goto(`${base}/nothing/here`);
  await see("There is no such page");
  await page.goto(`${base}/canaries/canary_none`);
  await page.getByRole("alert").waitFor();
});

test("pages are live: a run that starts elsewhere appears", async () => {
  await go("/runs");
  await page.locator("[data-on=true]").waitFor();
  const known = await page.locator("tbody .cover").count();
  const run = await api("GET", `/api/v1/runs/${ids.worse}`);
  await api("POST", "/api/v1/runs", { name: "seen at once", target: { name: "support-bot", prompt: "support-bot@1.0.0", model: "sim/support-small" }, dataset: "golden", scoring: { metrics: { rouge_l: run.spec.scoring.metrics.rouge_l, token_f1: { ...run.spec.scoring.metrics.token_f1, weight: 0.75 } } } });
  await page.getByRole("link", { name: "seen at once" }).waitFor();
  assert.ok((await page.locator("tbody .cover").count()) > known);
});

const PAGES = () => ({
  overview: "/",
  quality: "/quality",
  runs: "/runs",
  run: `/runs/${ids.worse}`,
  samples: `/runs/${ids.worse}?tab=samples`,
  gate: `/runs/${ids.worse}?tab=gate`,
  setup: `/runs/${ids.worse}?tab=setup`,
  compare: `/compare?a=baseline&b=${ids.worse}`,
  prompts: "/prompts",
  prompt: "/prompts/support-bot",
  diff: "/prompts/support-bot?version=1.1.0&tab=diff",
  try: "/prompts/code-review?tab=try",
  datasets: "/datasets",
  dataset: "/datasets/golden",
  experiments: "/experiments",
  experiment: `/experiments/${ids.experiment}`,
  plan: `/experiments/${ids.plan}`,
  experimentSetup: `/experiments/${ids.experiment}?tab=setup`,
  wizard: "/experiments/new",
  deployments: "/deployments",
  deployment: "/deployments/support-bot?environment=production",
  canary: `/canaries/${ids.shadowing}`,
  canaryPairs: `/canaries/${ids.shadowing}?tab=pairs`,
  canaryDecisions: `/canaries/${ids.shadowing}?tab=decisions`,
  canaryPolicy: `/canaries/${ids.shadowing}?tab=policy`,
  canaryAborted: `/canaries/${ids.aborted}`,
  traffic: "/traffic",
  call: `/traffic?record=${ids.soft}`,
  review: "/review",
  alerts: "/alerts",
  silences: "/alerts?tab=silences",
  channels: "/alerts?tab=channels",
  schedules: "/schedules",
  providers: "/providers",
  access: "/access",
  audit: "/access?tab=audit",
  settings: "/settings",
});

for (const theme of ["light", "dark"]) {
  for (const width of [1280, 390]) {
    test(`every page, ${theme}, at ${width} pixels: fits, is accessible, is photographed`, async () => {
      await page.setViewportSize({ width, height: width < 500 ? 844 : 860 });
      await page.emulateMedia({ colorScheme: theme });
      const found = [];
      for (const [name, path] of Object.entries(PAGES())) {
        await go(path);
        await page.locator(".skeleton").first().waitFor({ state: "detached", timeout: 15_000 }).catch(() => found.push(`${name} still loads`));
        await page.screenshot({ path: join(shots, `${name}-${theme}-${width}.png`) });
        const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (over > 1) found.push(`${name} is ${over} pixels too wide`);
        const shift = await page.evaluate(() => new Promise((done) => {
          let sum = 0;
          new PerformanceObserver((list) => list.getEntries().forEach((entry) => (sum += entry.value))).observe({ type: "layout-shift", buffered: true });
          setTimeout(() => done(sum), 20);
        }));
        // On a slow machine answers come one by one, which moves a little more.
        if (shift > 0.2) found.push(`${name} moves while it loads: ${shift.toFixed(2)}`);
        // Evaluated by the debugger, which the page's policy does not bind.
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], resultTypes: ["violations"] }));
        for (const violation of violations.filter(({ impact }) => impact === "serious" || impact === "critical")) {
          found.push(`${name}: ${violation.id}, ${violation.help}: ${violation.nodes.slice(0, 3).map((node) => `${node.target} ${node.any[0]?.message ?? ""}`).join("; ")}`);
        }
      }
      assert.deepEqual(found, []);
    });
  }
}

test("nothing was complained about in the console", () => assert.deepEqual(complaints, []));
