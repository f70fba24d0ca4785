// The pages of Evaluate, and the overview: the main task of each.
import assert from "node:assert/strict";
import { test } from "node:test";
import { api, base, click, go, ids, key, page, see } from "./browser.mjs";

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
  await page.getByRole("link", { name: "Canary of plant-care" }).waitFor();
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

test("run: what the gate said stands there with its checks, and making it the baseline all the same is asked twice", async () => {
  const { gate } = await api("GET", `/api/v1/runs/${ids.worse}`);
  assert.equal(gate.verdict, "fail");
  await go(`/runs/${ids.worse}?tab=gate`);
  await see("The gate said no.");
  await page.getByRole("table", { name: "Checks of the gate" }).getByText("Max drop · Refusal behavior").waitFor();
  const button = page.getByRole("button", { name: "Make baseline" });
  assert.doesNotMatch(await button.getAttribute("class"), /primary/);
  await button.click();
  const dialog = page.locator("dialog[open]");
  await dialog.getByText("The gate said no to this run.").waitFor();
  await dialog.getByText("The baseline now").waitFor();
  await dialog.getByRole("button", { name: "Cancel" }).click();
});

test("run: in a sample the expected text is green, and the legend says so", async () => {
  await go(`/runs/${ids.worse}?tab=samples&sample=r001`);
  const drawer = page.locator("dialog[open]");
  await drawer.locator("header ins", { hasText: "only in what was expected" }).waitFor();
  const { items } = await api("GET", `/api/v1/runs/${ids.worse}/results/r001`);
  const part = drawer.locator(".pre ins").first();
  await part.waitFor();
  assert.ok(!items[0].output.includes(await part.textContent()), "what is green is no part of the answer");
  await page.getByRole("columnheader", { name: "Question" }).waitFor();
});

test("runs: one is started from the page, by its keyboard, and lists name costs alike", async () => {
  await go("/runs");
  await page.locator("tbody td.right:nth-child(8)").first().waitFor();
  const costs = (await page.locator("tbody td.right:nth-child(8)").allTextContents()).filter((cost) => cost !== "$0");
  assert.equal(new Set(costs.map((cost) => cost.split(".")[1]?.length)).size, 1, `as many decimals each: ${costs}`);
  await click("New run");
  const dialog = page.locator("dialog[open]");
  await dialog.getByLabel("Prompt").selectOption("support-bot");
  await dialog.getByLabel("Version").selectOption("1.0.0");
  await dialog.getByLabel("Dataset").selectOption("golden");
  await dialog.getByLabel("Model").fill("sim/support-small");
  await dialog.getByLabel("Model").press("Enter");
  await page.waitForURL(/\/runs\/run_/);
  await see("The run has begun.");
});

test("run: a limit of the gate that is empty is no 0", async () => {
  await go(`/runs/${ids.worse}?tab=gate`);
  await page.getByLabel("Least overall").fill("");
  await see("A number is needed");
  assert.ok(await page.getByRole("button", { name: "Decide", exact: true }).isDisabled());
  await page.getByLabel("Least overall").fill("0,8");
  await see(/decimals have a point/);
});

test("runs are compared, flips first", async () => {
  await go(`/compare?a=baseline&b=${ids.worse}`);
  await see("now fails");
  await page.getByRole("table", { name: "Metrics, what changed" }).getByText(/\$0\.0\d+ to [+−]\$/).waitFor();
  const cut = await page.locator("main .table-wrap").evaluateAll((places) => places.map((place) => place.scrollWidth - place.clientWidth));
  assert.ok(cut.every((rest) => rest <= 1), `tables fit: ${cut}`);
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

test("prompts: one that can never be rendered says so; built-in ones stand by themselves", async () => {
  await api("POST", "/api/v1/prompts", { prompt: { name: "undeclared", version: "1.0.0", content: "Be brief, {{ customer }}. {{ input }}" } });
  for (const tab of ["content", "try"]) {
    await go(`/prompts/undeclared?tab=${tab}`);
    await see("This version cannot be rendered.");
    await page.getByRole("note").or(page.getByRole("alert")).getByText("customer", { exact: true }).first().waitFor();
  }
  await go("/prompts");
  await page.getByRole("table", { name: "Built-in prompts" }).getByRole("link", { name: "llmops/judge-rubric" }).waitFor();
  assert.equal(await page.getByRole("table", { name: "Prompts", exact: true }).getByRole("link", { name: /^llmops\// }).count(), 0);
});

test("prompts: every changed line that is alike has its words marked", async () => {
  await go("/prompts/support-bot?version=1.1.0&tab=diff&from=1.0.0");
  const first = page.locator(".diff tr:has(.removed):has(.added)").first();
  await first.locator(".removed mark").first().waitFor();
  await first.locator(".added mark").first().waitFor();
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

test("datasets: a sample is added, and left out of the next version", async () => {
  await go("/datasets/golden");
  await click("Add a sample");
  const dialog = page.locator("dialog[open]");
  await dialog.getByLabel("Id").fill("added-1");
  await dialog.getByLabel("Input").fill("Do you sell seeds?");
  await dialog.getByLabel("Expected").fill("No, living plants only.");
  await dialog.getByRole("button", { name: "Save as a new version" }).click();
  await see(/golden has the new version/);
  await page.getByLabel("Search samples").fill("seeds");
  await page.getByRole("link", { name: "added-1" }).click();
  await page.locator("dialog[open]").getByRole("button", { name: "Remove" }).click();
  await page.locator("dialog[open]").last().getByRole("button", { name: "Save without it" }).click();
  await see(/^golden is at the version .*, which there was before/);
  await see("No sample fits");
});

test("datasets: an edit does not undo what somebody else added meanwhile; samples of messages are edited as well", async () => {
  const lines = [
    { id: "asks", input: "Is it shared?", expected_output: "Yes." },
    { id: "talks", messages: [{ role: "user", content: "Hello?" }], expected_output: "Hello." },
  ];
  const write = async (samples) => {
    const body = samples.map((sample) => JSON.stringify(sample)).join("\n");
    const answer = await fetch(`${base}/api/v1/datasets/shared/versions`, { method: "POST", headers: { authorization: `Bearer ${key}`, "content-type": "application/x-ndjson" }, body });
    assert.ok(answer.ok, await answer.text());
  };
  await write(lines);
  await go("/datasets/shared?sample=asks");
  const dialog = page.locator("dialog[open]");
  await dialog.getByRole("button", { name: "Edit as a new version" }).click();
  await dialog.getByLabel("Expected").fill("Yes, by two people.");
  await write([...lines, { id: "meanwhile", input: "Who was first?", expected_output: "The other one." }]);
  await dialog.getByRole("button", { name: "Save as a new version" }).click();
  await see("shared was changed meanwhile: nothing was written.");
  assert.equal(await dialog.getByLabel("Expected").inputValue(), "Yes, by two people.", "what was written stays");
  assert.equal((await api("GET", "/api/v1/datasets/shared")).sample_count, 3);

  // What is added goes to what is current, also where the page has not seen that yet.
  await go("/datasets/shared");
  await click("Add a sample");
  await write([...lines, { id: "again", input: "Who was second?", expected_output: "Nobody." }]);
  await dialog.getByLabel("Id").fill("added");
  await dialog.getByLabel("Input").fill("Is it kept?");
  await dialog.getByRole("button", { name: "Save as a new version" }).click();
  await see(/shared has the new version/);
  for (const id of ["again", "added"]) await api("GET", `/api/v1/datasets/shared/versions/latest/samples/${id}`);

  await go("/datasets/shared?sample=talks");
  await dialog.getByRole("button", { name: "Edit as a new version" }).click();
  await dialog.getByLabel("Expected").fill("Good day.");
  await dialog.getByRole("button", { name: "Save as a new version" }).click();
  await see(/shared has the new version/);
  await go("/datasets/shared?version=00000000");
  await see("shared has no version 00000000.");
});

test("prompts: one with a system message only gets a new version; a link to a version that is gone says so", async () => {
  await api("POST", "/api/v1/prompts", { prompt: { name: "system-only", version: "1.0.0", system: "You are X." } });
  await go("/prompts/system-only");
  await click("New version");
  const dialog = page.locator("dialog[open]");
  await dialog.getByLabel("System message").fill("You are Y. {% for name in names %}{{ loop.index }}. {{ name }}{% endfor %}");
  await dialog.getByRole("button", { name: "Save as a new version" }).click();
  await page.waitForURL(/version=/);
  const newest = (await api("GET", "/api/v1/prompts/system-only/versions")).items.find((one) => one.version !== "1.0.0");
  assert.deepEqual(newest.variables.map(({ name, type }) => [name, type]), [["names", "array"]]);
  await go("/prompts/system-only?version=9.9.9");
  await see("system-only has no version 9.9.9.");
});

test("a run is made again, and what its judges are unsure of comes into the queue", async () => {
  await go(`/runs/${ids.worse}`);
  await click("More");
  await page.getByRole("menuitem", { name: "Queue what judges are unsure of" }).click();
  await see(/came into the review queue|are sure of every answer|is in the queue already/);
  await click("More");
  await page.getByRole("menuitem", { name: "Run it again, on the newest samples" }).click();
  await see("The run has begun.");
  await page.waitForURL((url) => !url.pathname.endsWith(ids.worse));
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

test("an experiment is asked for a quantile, and answers from its observations", async () => {
  await go(`/experiments/${ids.experiment}?tab=questions`);
  await click("Ask");
  const dialog = page.locator("dialog[open]");
  await dialog.getByLabel("Metric").selectOption("handled_seconds");
  await dialog.getByLabel("Quantile, %").fill("95");
  await dialog.getByRole("button", { name: "Ask" }).click();
  await page.getByRole("heading", { name: "Handled seconds, the 95 % quantile" }).waitFor();
  await page.getByText("Answered", { exact: true }).waitFor({ timeout: 30_000 });
  await page.getByRole("table", { name: "Differences and intervals" }).waitFor();
});

test("an experiment is planned with its size and created", async () => {
  await go("/experiments/new");
  await page.locator("#content").getByLabel("Name", { exact: true }).first().fill("Politer refusals");
  await click("Next");
  await click("Next");
  await see("Say the rate of today and the smallest change worth finding", { exact: false });
  await page.getByLabel("Rate of today").fill("0.6");
  await page.getByLabel("Smallest change worth finding").fill("0.1");
  // statsmodels: NormalIndPower with the arcsine effect size of 0.6 and 0.7 gives 355.4.
  await page.locator(".stat .value", { hasText: "356" }).waitFor();
  await click("Next");
  await see("the same prompt, version and model", { exact: false });
  await click("Create as a draft");
  await page.waitForURL(/\/experiments\/exp_/);
  await see("Nobody is assigned yet");
});

test("an experiment is not planned with numbers that cannot be read", async () => {
  await go("/experiments/new");
  await page.locator("#content").getByLabel("Name", { exact: true }).first().fill("Unread");
  await click("Next");
  await click("Next");
  await page.getByLabel("Share of users that take part").fill("0,1");
  await see(/decimals have a point/);
  assert.ok(await page.getByRole("button", { name: "Next", exact: true }).isDisabled());
  await click("Review");
  assert.ok(await page.getByRole("button", { name: "Create as a draft" }).isDisabled());
});

test("a judge is compared with people: labels by keyboard, agreement with its interval", async () => {
  await go("/quality?tab=judges");
  await page.getByRole("table", { name: "Calibrations" }).getByRole("link", { name: "sim/judge" }).first().click();
  await page.locator("dialog[open]").getByRole("table", { name: "Who passes what" }).waitFor();
  await page.locator("dialog[open]").getByText("Bias by category").waitFor();
  await page.keyboard.press("Escape");
  await click("Compare with people", "link");
  await see("Answer 1 of 20");
  for (let i = 0; i < 8; i++) {
    await page.keyboard.press(i % 4 === 3 ? "0" : "1");
    await see(`${i + 1} of 20 labelled.`, { exact: false });
  }
  await click("Compare 8 labels");
  await see("It is kept with the judge and with the run.");
  await page.getByRole("table", { name: "Agreement" }).getByText("Same verdict").waitFor();
  await go("/judges/new?by=file");
  await page.getByLabel("Lines").fill("sample_id,label\nf001,perhaps");
  await see(/is no label: good, bad or a number/);
});
