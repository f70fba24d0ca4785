// Signing in, the size of the shell, the keyboard, addresses, events.
import assert from "node:assert/strict";
import { test } from "node:test";
import { api, base, browser, click, go, ids, key, lines, page, see } from "./browser.mjs";

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

test("what the role may not do is greyed, and says why", async () => {
  const { secret } = await api("POST", "/api/v1/keys", { name: "onlooker", role: "viewer" });
  const signIn = async (path, with_) => {
    await browser.clearCookies();
    await page.goto(base + path);
    await page.getByLabel("Key").fill(with_);
    await click("Sign in");
    await page.locator("main h1").first().waitFor();
  };
  await signIn(`/releases/${ids.release}`, secret);
  const approve = page.getByRole("button", { name: "Approve" });
  await approve.hover();
  assert.equal(await approve.getAttribute("aria-disabled"), "true");
  await page.getByRole("tooltip", { name: "This needs the role operator; your key has viewer." }).first().waitFor();
  await go(`/incidents/${ids.incident}`);
  await page.getByPlaceholder("Notes need the role operator").waitFor();
  assert.equal(await page.getByRole("button", { name: "Close the incident" }).getAttribute("aria-disabled"), "true");
  await go("/judges/new");
  await see("This needs the role editor; your key has viewer.");
  await signIn("/", key);
});

test("an address that leads nowhere says so", async () => {
  await page.goto(`${base}/nothing/here`);
  await see("There is no such page");
  await page.goto(`${base}/canaries/canary_none`);
  await page.getByRole("alert").waitFor();
  for (const [path, what, list] of [["/runs/run_nope", "run", "To the runs"], ["/prompts/nope", "prompt", "To the prompts"], ["/datasets/nope", "dataset", "To the datasets"], ["/deployments/nope", "deployment", "To the deployments"], ["/experiments/exp_nope", "experiment", "To the experiments"], ["/incidents/inc_nope", "incident", "To the deployments"], ["/releases/rel_nope", "release", "To the deployments"]]) {
    await go(path);
    await page.getByRole("heading", { name: `There is no such ${what}`, level: 1 }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Try again" }).count(), 0, path);
    assert.doesNotMatch(await page.getByRole("alert").first().textContent(), /`|llmops |--/, "what is for the command line is left out");
    await click(list, "link");
    await page.getByRole("heading", { level: 1 }).first().waitFor();
  }
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

test("a list that no event tells of is read again by itself", async () => {
  const fresh = await browser.newPage();
  await fresh.clock.install();
  await fresh.goto(`${base}/access`);
  await fresh.locator("[data-on=true]").waitFor();
  await fresh.getByText("ci", { exact: true }).first().waitFor();
  await api("POST", "/api/v1/keys", { name: "made-elsewhere", role: "viewer" });
  await fresh.clock.runFor(31_000);
  await fresh.getByText("made-elsewhere").first().waitFor();
  await fresh.close();
});

test("the pages of one prompt and of one dataset follow what others do to them", async () => {
  await api("POST", "/api/v1/prompts", { prompt: { name: "followed", version: "1.0.0", content: "{{ input }}" } });
  await api("POST", "/api/v1/prompts", { prompt: { name: "followed", version: "1.1.0", content: "Briefly: {{ input }}" } });
  await go("/prompts/followed?tab=try");
  await page.locator("[data-on=true]").waitFor();
  await page.getByLabel("input", { exact: true }).fill("half a question");
  await api("POST", "/api/v1/prompts/followed/versions/1.1.0/activate");
  await see("1.1.0 is the active version by now.");
  assert.equal(await page.getByLabel("input", { exact: true }).inputValue(), "half a question");
  await page.getByRole("link", { name: "Go to 1.1.0" }).click();
  await page.getByLabel("input", { exact: true }).waitFor();
  assert.equal(await page.getByLabel("input", { exact: true }).inputValue(), "");
  await lines("followed", '{"id": "one", "input": "1"}\n');
  await go("/datasets/followed");
  await page.getByRole("link", { name: "one", exact: true }).waitFor();
  await lines("followed", '{"id": "two", "input": "2"}\n');
  await page.getByRole("link", { name: "two", exact: true }).waitFor();
});

test("eight windows share one stream of events: each is live and loads pages", async () => {
  const streams = async () => Number((await (await fetch(`${base}/metrics`, { headers: { authorization: `Bearer ${key}` } })).text()).match(/^llmops_event_clients (\d+)/m)[1]);
  const windows = await Promise.all(Array.from({ length: 8 }, () => browser.newPage()));
  for (const each of windows) {
    await each.goto(`${base}/runs`);
    await each.locator("[data-on=true]").waitFor();
  }
  assert.equal(await streams(), 1);
  const run = await api("GET", `/api/v1/runs/${ids.worse}`);
  await api("POST", "/api/v1/runs", { name: "seen by eight", target: { name: "support-bot", prompt: "support-bot@1.0.0", model: "sim/support-small" }, dataset: "golden", scoring: { metrics: { rouge_l: { ...run.spec.scoring.metrics.rouge_l, weight: 1 } } } });
  for (const each of windows) await each.getByRole("link", { name: "seen by eight" }).waitFor();
  // The stream stays with the others when the window that came first is gone.
  await windows.shift().close();
  for (const each of windows) await each.goto(`${base}/datasets`);
  for (const each of windows) {
    await each.getByRole("link", { name: "golden", exact: true }).waitFor();
    await each.locator("[data-on=true]").waitFor();
  }
  assert.equal(await streams(), 1);
  await Promise.all(windows.map((each) => each.close()));
  await page.bringToFront();
});

test("events come again after a proxy has refused them, and a hidden page holds no connection", async () => {
  // The stream belongs to a worker, which a page's routes do not reach: without one, it is the page's own.
  const fresh = await browser.newPage();
  await fresh.addInitScript("delete globalThis.SharedWorker");
  await fresh.goto(`${base}/runs`);
  await fresh.locator("[data-on=true]").waitFor();
  let refused = 0;
  await fresh.route("**/api/v1/events", (route) => {
    refused += 1;
    return route.fulfill({ status: 503, contentType: "text/html", body: "503" });
  });
  const turn = (hidden) => fresh.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await turn(true);
  await fresh.locator("[data-on=false]").waitFor();
  assert.equal(refused, 0, "nothing is asked for while the page is hidden");
  await turn(false);
  await fresh.waitForResponse((answer) => answer.url().endsWith("/api/v1/events") && answer.status() === 503);
  await fresh.unroute("**/api/v1/events");
  await fresh.locator("[data-on=true]").waitFor();
  await fresh.close();
});

test("a dialog: its scroll bar is a part of it, what was written is not lost by a slip, and the focus goes back", async () => {
  await go("/prompts");
  const opener = page.getByRole("button", { name: "New prompt" });
  const dialog = page.locator("dialog[open]");
  await opener.focus();
  await page.keyboard.press("Enter");
  await dialog.getByLabel("Name").fill("half-written");
  await dialog.evaluate((element) => {
    const { right, top } = element.getBoundingClientRect();
    element.dispatchEvent(new MouseEvent("mousedown", { bubbles: true, clientX: right - 6, clientY: top + 60 }));
  });
  assert.equal(await dialog.getByText("What you wrote is not saved.").count(), 0);
  await page.mouse.click(8, 8);
  await dialog.getByText("What you wrote is not saved.").waitFor();
  await dialog.getByRole("button", { name: "Stay" }).click();
  assert.equal(await dialog.getByLabel("Name").inputValue(), "half-written");
  await page.keyboard.press("Escape");
  await dialog.getByRole("button", { name: "Close all the same" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.ok(await opener.evaluate((button) => button === document.activeElement), "the focus is on the button again");
  await page.keyboard.press("Enter");
  await dialog.waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
});

test("Escape in a question above a drawer closes the question alone", async () => {
  await go("/datasets/golden");
  await page.locator("tbody .cover").first().click();
  await page.locator("dialog[open]").getByRole("button", { name: "Remove", exact: true }).click();
  await page.getByRole("dialog", { name: /^A version without/ }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog", { name: /^A version without/ }).waitFor({ state: "detached" });
  assert.equal(await page.locator("dialog[open]").count(), 1);
  assert.match(page.url(), /sample=/);
  await page.keyboard.press("Escape");
  await page.locator("dialog[open]").waitFor({ state: "detached" });
});

test("a session that ends does not take what is being written with it", async () => {
  await go("/prompts");
  await click("New prompt");
  const dialog = page.getByRole("dialog", { name: "New prompt" });
  await dialog.getByLabel("Name").fill("after-the-session");
  await dialog.getByLabel("Template").fill("{{ input }}");
  await browser.clearCookies();
  await dialog.getByRole("button", { name: "Create" }).click();
  const again = page.getByRole("dialog", { name: "Sign in again" });
  await again.getByLabel("Key").fill(key);
  await page.keyboard.press("Escape");
  await again.getByRole("button", { name: "Sign in" }).click();
  await again.waitFor({ state: "detached" });
  await dialog.getByRole("button", { name: "Create" }).click();
  await page.waitForURL(/prompts\/after-the-session/);
});

test("behind the sign-in nothing is asked of the server until somebody signs in", async () => {
  const { key: made, secret } = await api("POST", "/api/v1/keys", { name: "short-lived", role: "viewer" });
  await browser.clearCookies();
  const fresh = await browser.newPage();
  await fresh.clock.install();
  await fresh.goto(`${base}/`);
  await fresh.getByLabel("Key").fill(secret);
  await fresh.getByRole("button", { name: "Sign in" }).click();
  await fresh.locator("[data-on=true]").waitFor();
  await api("DELETE", `/api/v1/keys/${made.id}`);
  await fresh.getByRole("dialog", { name: "Sign in again" }).waitFor();
  await fresh.locator("[data-on=false]").waitFor();
  const asked = [];
  fresh.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await fresh.clock.runFor(200_000);
  assert.deepEqual(asked, []);
  await fresh.getByRole("dialog").getByLabel("Key").fill(key);
  await fresh.getByRole("dialog").getByRole("button", { name: "Sign in" }).click();
  await fresh.locator("[data-on=true]").waitFor();
  assert.ok(asked.includes("/api/v1/overview"), asked.join(" "));
  await fresh.close();
});

test("on a narrow screen the tasks of lists are there as well", async () => {
  await page.setViewportSize({ width: 390, height: 844 });
  await go("/runs");
  for (const i of [0, 1]) await page.getByRole("checkbox").nth(i).check();
  await click("Compare the two", "link");
  await page.waitForURL(/\/compare\?/);
  await go("/alerts?status=open");
  const first = page.getByRole("table", { name: "Alerts" }).getByRole("row").nth(1);
  await first.getByText("Open", { exact: true }).waitFor();
  await first.getByRole("button", { name: "Acknowledge" }).waitFor();
  await go("/traffic");
  await page.getByRole("table", { name: "Calls" }).getByText(/^(user|grower)-\d+$/).first().waitFor();
  await page.getByRole("table", { name: "Calls" }).getByText(/→/).first().waitFor();
  await page.setViewportSize({ width: 1280, height: 860 });
});

test("empty pages begin things, and their commands reach this server", async () => {
  for (const [path, list, button, command] of [
    ["/runs", /\/api\/v1\/runs\?/, "Start one", "llmops eval"],
    ["/deployments", /\/api\/v1\/deployments\?/, "Deploy one", "llmops deploy support-bot --prompt support-bot --model PROVIDER/MODEL"],
    ["/datasets", /\/api\/v1\/datasets\?/, "Import one", "llmops dataset import golden.jsonl --name golden"],
    ["/schedules", /\/api\/v1\/schedules\?/, "Schedule something", "llmops schedule add nightly --suite default --cron '0 3 * * *'"],
  ]) {
    await page.route(list, (route) => route.fulfill({ json: { items: [] } }));
    await go(path);
    assert.equal(await page.locator(".command code").first().textContent(), `${command} --server ${base}`);
    await click(button);
    await page.locator("dialog[open]").waitFor();
    await page.keyboard.press("Escape");
    await page.unroute(list);
  }
});

test("ids stand as they are: no sign of multiplication between digits", async () => {
  await go("/runs");
  assert.match(await page.evaluate(() => getComputedStyle(document.body).fontFeatureSettings), /"calt" 0/);
});

test("names without end are shortened in the list of runs, which keeps its width", async () => {
  const long = "regression-set-".repeat(8);
  await page.route(/\/api\/v1\/runs\?/, async (route) => {
    const response = await route.fetch();
    const runs = await response.json();
    for (const run of runs.items) Object.assign(run, { dataset: long, name: `bot on ${long}`, prompt_name: long, model_name: `provider/${long}` });
    await route.fulfill({ response, json: runs });
  });
  await page.setViewportSize({ width: 1280, height: 860 });
  await go("/runs");
  const name = page.getByTitle(`bot on ${long}`).first();
  await name.waitFor();
  assert.ok((await name.boundingBox()).width < 360, "its title says it whole");
  const hidden = await page.locator("main .table-wrap").evaluateAll((places) => places.map((place) => place.scrollWidth - place.clientWidth));
  assert.ok(hidden.every((rest) => rest <= 1), `tables fit: ${hidden}`);
  await page.unroute(/\/api\/v1\/runs\?/);
});

test("a word without end is broken, and the page keeps its width", async () => {
  await api("POST", "/api/v1/prompts", { prompt: { name: "long-words", content: "{{ input }}", description: "w".repeat(500) } });
  const word = "w".repeat(120);
  await lines("long-words", [{ id: word, category: word, input: word, expected_output: word }, { id: "ar", category: "هذا تصنيف", input: "هذا سؤال باللغة العربية عن سياسة الإرجاع" }].map((line) => `${JSON.stringify(line)}\n`).join(""));
  const { alert } = await api("POST", "/api/v1/alerts", { type: "threshold", severity: "info", source: "evaluation", metric: word, message: `too long: ${word}`, actual_value: 1e-9, threshold: 1e12, metadata: { [word]: word } });
  for (const [width, height] of [[1280, 860], [390, 860]]) {
    await page.setViewportSize({ width, height });
    for (const [path, within] of [["/prompts/long-words", "main"], ["/datasets/long-words", "main"], ["/datasets/long-words?tab=categories", "main"], [`/alerts?alert=${alert.id}`, "dialog"]]) {
      await go(path);
      await page.locator(within).getByText("www").filter({ visible: true }).first().waitFor();
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)) <= 1, `${path} at ${width} pixels`);
      const hidden = await page.locator(`${within} .table-wrap`).evaluateAll((places) => places.map((place) => place.scrollWidth - place.clientWidth).filter((rest) => rest > 1));
      assert.deepEqual(hidden, [], `${path} at ${width} pixels: tables fit`);
    }
    const values = await page.locator("dialog dl.facts dd").evaluateAll((all) => Math.min(...all.map((one) => one.getBoundingClientRect().width)));
    assert.ok(values > width / 8, `a long key leaves its value ${values} pixels of ${width}`);
  }
  await see("1.00e−9 against 1.00e12", { exact: false });
  await page.keyboard.press("Escape");
  await api("POST", `/api/v1/alerts/${alert.id}/resolve`);
  await page.setViewportSize({ width: 1280, height: 860 });
});
