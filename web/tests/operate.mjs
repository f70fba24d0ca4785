// The pages of Operate and Organise: the main task of each.
import assert from "node:assert/strict";
import { test } from "node:test";
import { api, click, go, ids, lines, page, see } from "./browser.mjs";

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

test("another version is deployed with the parameters that are live, and the dialog shows what changes", async () => {
  const live = (await api("GET", "/api/v1/deployments/support-bot?environment=production")).manifest;
  const { parameters, prompt_version } = await api("GET", `/api/v1/manifests/${live}`);
  const other = (await api("GET", "/api/v1/prompts/support-bot/versions")).items.find((one) => one.version !== prompt_version);
  await go("/deployments/support-bot?environment=production");
  await click("Deploy");
  const dialog = page.locator("dialog[open]");
  await dialog.getByLabel("Prompt").selectOption(`support-bot@${other.version}`);
  await dialog.getByText(`support-bot@${other.version}`, { exact: true }).last().waitFor();
  const asked = page.waitForRequest(/\/deploy$/);
  await page.route(/\/deploy$/, (route) => route.abort());
  await dialog.getByRole("button", { name: "Deploy" }).click();
  const { manifest } = (await asked).postDataJSON();
  await page.unroute(/\/deploy$/);
  assert.equal(manifest.prompt_version, other.version);
  assert.deepEqual(manifest.parameters, parameters);
});

test("a canary: wins and losses with their bounds, conditions, pairs with their texts, the decision log", async () => {
  await go("/deployments");
  await page.getByRole("table", { name: "Canaries" }).getByRole("row", { name: /Shadowing/ }).getByRole("link", { name: "plant-care" }).click();
  await page.waitForURL(/\/canaries\/canary_/);
  const { situation } = await api("GET", `/api/v1/canaries/${ids.shadowing}`);
  assert.ok(situation.wins > 0 && situation.ties > 0 && situation.losses > 0, JSON.stringify(situation));
  await page.getByRole("img", { name: `${situation.wins} wins, ${situation.ties} ties, ${situation.losses} losses` }).waitFor();
  await page.getByRole("table", { name: "Conditions" }).getByRole("row", { name: /Net wins/ }).waitFor();
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

test("a release: its steps, what it waits for, what differs; another one is begun and cancelled", async () => {
  await go("/deployments?tab=releases");
  const releases = page.getByRole("table", { name: "Releases" });
  await releases.getByText("Cancelled").waitFor();
  await releases.getByRole("row", { name: /order-desk/ }).getByRole("link").click();
  await page.waitForURL(/\/releases\/rel_/);
  await see("A person has to allow it.");
  await page.getByRole("list", { name: "Steps" }).getByText("Skipped", { exact: true }).waitFor();
  await page.getByRole("list", { name: "What happened" }).getByText(/calls failed in staging/).first().waitFor();
  await click("What differs", "link");
  await page.locator("dialog[open] ins").first().waitFor();
  await page.keyboard.press("Escape");
  await go("/deployments/support-bot?environment=production");
  await click("More");
  await page.getByRole("menuitem", { name: "Release step by step…" }).click();
  const dialog = page.locator("dialog[open]");
  assert.ok(await dialog.getByRole("button", { name: "Begin the release" }).isDisabled(), "what is live already is not released");
  await dialog.getByRole("combobox", { name: "Prompt" }).selectOption("support-bot@1.0.0");
  await dialog.getByRole("button", { name: "Begin the release" }).click();
  await see("It waits at the step staging.");
  await click("Check again");
  await see("It still waits at the step staging.");
  await click("Cancel the release");
  await page.locator("dialog[open]").getByLabel("Reason").fill("Only a rehearsal");
  await page.locator("dialog[open]").getByRole("button", { name: "Cancel the release" }).click();
  await see("It was cancelled at the step staging.");
});

test("a release that lacks a run is evaluated on its page, exactly as it is", async () => {
  const begun = await api("POST", "/api/v1/releases/support-bot", { manifest: { model: "sim/support-small", prompt: "support-bot", prompt_version: "1.0.0", parameters: { max_tokens: 99 } } });
  await go(`/releases/${begun.id}`);
  await see("has no completed run that passed its gate", { exact: false });
  assert.equal(await page.locator("main").getByText(/llmops (eval|gate|release)/).count(), 0);
  await click("Evaluate it");
  await page.waitForURL(/\/runs\/run_/);
  const run = await api("GET", `/api/v1/runs/${page.url().match(/run_[0-9a-z]+/)[0]}`);
  assert.equal(run.spec.manifest_id, begun.manifest);
  await api("POST", "/api/v1/releases/support-bot/cancel", { reason: "Only a rehearsal" });
});

test("an incident: opened from the deployment, noted, closed with a post-mortem", async () => {
  await go("/deployments/order-desk?environment=staging");
  await click("More");
  await page.getByRole("menuitem", { name: "Open an incident…" }).click();
  const dialog = page.locator("dialog[open]");
  await dialog.getByLabel("What is wrong").fill("Wrong order numbers");
  await dialog.getByLabel("Safe mode").check();
  await dialog.getByRole("textbox", { name: "Answer" }).fill("Please call us.");
  await dialog.getByRole("button", { name: "Open the incident" }).click();
  await page.waitForURL(/\/incidents\/inc_/);
  await see("Safe mode is on: no model is called.");
  await page.getByLabel("Note").fill("The numbers come from the old list");
  await click("Add note");
  await page.getByRole("list", { name: "Timeline" }).getByText("The numbers come from the old list").waitFor();
  await click("Close the incident");
  await page.locator("dialog[open]").getByLabel("How it was resolved").fill("The list is new");
  await page.locator("dialog[open]").getByRole("button", { name: "Close it" }).click();
  await page.getByRole("heading", { name: /^Post-mortem: order-desk: Wrong order numbers/ }).waitFor();
  await see("Safe mode is still on.");
  await go("/deployments?tab=incidents");
  await page.getByRole("table", { name: "Incidents" }).getByRole("row", { name: /Wrong order numbers/ }).getByText("Closed").waitFor();
});

test("feedback: thumbs by version, what complaints are about, a dataset of hard examples", async () => {
  await go("/traffic?tab=feedback");
  await page.getByRole("table", { name: "Feedback by part" }).getByRole("link", { name: "support-bot@1.0.0" }).waitFor();
  await see("What complaints are about");
  await click("Hard examples");
  await page.locator("dialog[open]").getByRole("button", { name: "Make it" }).click();
  await page.locator("dialog[open]").getByText(/^hard-examples has the version/).waitFor();
  await page.locator("dialog[open]").getByRole("button", { name: "Done" }).click();
  await click("Bad");
  await page.getByRole("table", { name: "Feedback", exact: true }).locator(".cover").first().click();
  await page.locator("dialog[open]").getByRole("heading", { name: "Waterfall" }).waitFor();
  await page.keyboard.press("Escape");
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

test("what a user voted down is not made right by one key, and an answer that the dataset has is replaced", async () => {
  const open = (await api("GET", "/api/v1/reviews?status=open&reason=low_rating")).items.find((item) => item.input && !item.suggestion);
  await lines("known", JSON.stringify({ id: "k1", input: open.input, expected_output: "The old one." }) + "\n");
  await go(`/review?item=${open.id}`);
  const answer = page.getByLabel("The right answer");
  await answer.waitFor();
  assert.equal(await answer.inputValue(), "", "nobody has said yet what is right");
  await page.locator("h1").click();
  await page.keyboard.press("a");
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), "TEXTAREA");
  assert.equal((await api("GET", `/api/v1/reviews/${open.id}`)).status, "open");
  await answer.fill("The new one.");
  await page.getByLabel("Dataset").fill("known");
  await click("Save the correction");
  await see("known asks this already", { exact: false });
  await page.locator("del", { hasText: "old" }).first().waitFor();
  assert.equal(await page.getByText("--replace").count(), 0);
  await click("Replace k1");
  await see(/It is a sample of known now/);
  const { items } = await api("GET", "/api/v1/datasets/known/versions/latest/samples");
  assert.deepEqual(items.map((sample) => [sample.id, sample.expected_output]), [["k1", ["The new one."]]]);
});

test("a decision that is pressed twice is sent once", async () => {
  await go("/review");
  const held = [];
  await page.route("**/api/v1/reviews/*/decision", (route) => void held.push(route));
  const answer = page.getByLabel("The right answer");
  await answer.fill("");
  await page.keyboard.press("Control+Enter");
  await answer.fill("As it should be.");
  await page.keyboard.press("Control+Enter");
  await page.keyboard.press("Control+Enter");
  // By its answer, what was asked before has arrived as well.
  await page.evaluate(() => fetch("/healthz").then((answer) => answer.status));
  assert.deepEqual(held.map((route) => route.request().postDataJSON().answer), ["As it should be."]);
  await held[0].fulfill({ status: 503, contentType: "application/json", body: '{"error":{"code":"unavailable","message":"not now"}}' });
  await see("not now");
  await page.unroute("**/api/v1/reviews/*/decision");
});

test("a silence takes hours that are some", async () => {
  await go("/alerts?tab=silences");
  await click("New silence");
  const dialog = page.locator("dialog[open]");
  for (const [hours, wrong] of [["1,5", "Not a number: decimals have a point, as in 0.5"], ["-4", "More than 0"], ["1e9", "8760 at most"], ["", "A number is needed"]]) {
    await dialog.getByLabel("Hours").fill(hours);
    await dialog.getByText(wrong, { exact: true }).waitFor();
    assert.ok(await dialog.getByRole("button", { name: "Silence", exact: true }).isDisabled(), hours);
  }
  await dialog.getByLabel("Hours").fill("1.5");
  assert.ok(await dialog.getByRole("button", { name: "Silence", exact: true }).isEnabled());
  await dialog.getByRole("button", { name: "Cancel" }).click();
});

test("a link to a review item that was decided leads to it and says so", async () => {
  const open = (await api("GET", "/api/v1/reviews?status=open")).items[0];
  await api("POST", `/api/v1/reviews/${open.id}/decision`, { action: "dismiss" });
  await go(`/review?item=${open.id}`);
  await see(/This item is dismissed by/);
  await click("To the queue");
  await page.waitForURL((url) => !url.search.includes("item="));
  await go("/review?item=rev_nobody");
  await see(/There is no/);
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

test("a schedule is made from an earlier run, and removed", async () => {
  await go("/schedules");
  await click("New schedule");
  const dialog = page.locator("dialog[open]");
  await dialog.getByLabel("Name").fill("weekly-again");
  await dialog.getByLabel("Like this run").waitFor();
  await dialog.getByLabel("When").selectOption({ label: "Mondays at 8" });
  await dialog.getByRole("button", { name: "Create" }).click();
  await see("weekly-again is scheduled.");
  await page.getByRole("link", { name: "weekly-again" }).click();
  await page.locator("dialog[open]").getByText("0 8 * * 1").waitFor();
  await page.locator("dialog[open]").getByRole("button", { name: "Remove" }).click();
  await page.locator("dialog[open]").last().getByRole("button", { name: "Remove" }).click();
  await see("weekly-again is removed. Its runs stay.");
});

test("providers are checked", async () => {
  await go("/providers");
  await page.getByRole("row", { name: /sim\/support-small/ }).getByRole("button", { name: "Check" }).click();
  await see("sim/support-small answered.");
});

test("a key whose days cannot be read is not made", async () => {
  await go("/access");
  await click("New key");
  const dialog = page.locator("dialog[open]");
  await dialog.getByLabel("Name").fill("without-an-end");
  for (const days of ["30 days", "30,5", "", "-1"]) {
    await dialog.getByLabel("Days until it ends").fill(days);
    await dialog.locator(".error").waitFor();
    assert.ok(await dialog.getByRole("button", { name: "Create" }).isDisabled(), days);
  }
});

test("Enter in a dialog does what its main button does", async () => {
  await go("/access");
  await click("New key");
  const dialog = page.locator("dialog[open]");
  await dialog.getByLabel("Name").press("Enter");
  assert.equal(await dialog.getByText("This is the only time", { exact: false }).count(), 0, "a name is needed");
  await dialog.getByLabel("Name").fill("by-enter");
  await dialog.getByLabel("Name").press("Enter");
  await dialog.getByText("This is the only time", { exact: false }).waitFor();
  await dialog.getByRole("button", { name: "Done" }).click();
});

test("a key is made and shown once, and revoked; the record of changes knows it", async () => {
  await go("/access");
  await click("New key");
  const dialog = page.locator("dialog[open]");
  await dialog.getByLabel("Name").fill("from-the-test");
  await dialog.getByRole("button", { name: "Create" }).click();
  await dialog.getByText("This is the only time that it is shown.").waitFor();
  await dialog.getByRole("button", { name: "Done" }).click();
  await click("Limits of from-the-test");
  await page.locator("dialog[open]").getByLabel("USD in a day").fill("2.5");
  await page.locator("dialog[open]").getByRole("button", { name: "Save" }).click();
  await page.getByRole("row", { name: /from-the-test/ }).getByText("$2.50 a day").waitFor();
  await page.getByRole("row", { name: /from-the-test/ }).getByRole("button", { name: "Revoke" }).click();
  await page.locator("dialog[open]").getByRole("button", { name: "Revoke" }).click();
  await see("The key is revoked, on every replica.");
  await go("/access?tab=audit&action=key");
  await page.getByRole("link", { name: "key.revoked" }).first().click();
  await page.locator("dialog[open]").waitFor();
});
