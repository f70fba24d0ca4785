// Every page in both themes at two widths: that it fits, can be used by everybody, and is photographed.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { axe, complaints, go, ids, page, shots } from "./browser.mjs";

const PAGES = () => ({
  overview: "/",
  quality: "/quality",
  judges: "/quality?tab=judges",
  calibration: `/quality?tab=judges&calibration=${ids.calibration}`,
  label: "/judges/new",
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
  questions: `/experiments/${ids.experiment}?tab=questions`,
  experimentSetup: `/experiments/${ids.experiment}?tab=setup`,
  wizard: "/experiments/new",
  deployments: "/deployments",
  deployment: "/deployments/support-bot?environment=production",
  canary: `/canaries/${ids.shadowing}`,
  canaryPairs: `/canaries/${ids.shadowing}?tab=pairs`,
  canaryDecisions: `/canaries/${ids.shadowing}?tab=decisions`,
  canaryPolicy: `/canaries/${ids.shadowing}?tab=policy`,
  canaryAborted: `/canaries/${ids.aborted}`,
  releases: "/deployments?tab=releases",
  release: `/releases/${ids.release}`,
  incidents: "/deployments?tab=incidents",
  incident: `/incidents/${ids.incident}`,
  postMortem: `/incidents/${ids.postMortem}`,
  traffic: "/traffic",
  feedback: "/traffic?tab=feedback",
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
