// picture.mjs FILE [PAGE]: takes a picture of the dashboard of the server that LLMOPS_URL names; LLMOPS_API_KEY where it needs one.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [file, path = "/"] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), "llmops-picture-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"],
  viewport: { width: 1280, height: 800 },
  reducedMotion: "reduce",
});
try {
  const page = await browser.newPage();
  if (process.env.LLMOPS_API_KEY) {
    await page.goto(process.env.LLMOPS_URL + "/");
    await page.getByLabel("Key").fill(process.env.LLMOPS_API_KEY);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.locator("main h1").first().waitFor();
  }
  await page.goto(process.env.LLMOPS_URL + path);
  await page.locator("main h1").first().waitFor();
  await page.waitForTimeout(1500);
  await page.screenshot({ path: file });
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
