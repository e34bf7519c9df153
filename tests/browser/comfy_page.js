// A real ComfyUI server and its page in a real browser, for the tests of this folder.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { python } from "../js/python.js";

/** @typedef {import("playwright-core").Page} Page */

/** Whether Nodes 2.0 draws the nodes: what the tests are run with, one after the other. PUSA_RENDERERS=classic leaves it out. */
export const RENDERERS = process.env.PUSA_RENDERERS === "classic" ? [false] : [false, true];
/** Milliseconds that a page may take on a busy machine. */
export const PATIENCE = 120_000;
/** The button that queues what is on the page: of a graph, and of App Mode's form. */
export const RUN = "[data-testid=linear-run-button] button:has-text('Run'), [data-testid=queue-button] button, .queue-button-group button";
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
/** No questions, and nothing drawn that no test looks at: drawing is what takes the time without a GPU. */
const QUIET_SETTINGS = {
  "Comfy.TutorialCompleted": true,
  "Comfy.OnboardingCoachmarks.Seen": ["appMode"],
  "Comfy.Workflow.ShowMissingModelsWarning": false,
  "Comfy.VueNodes.Enabled": false,
  "Comfy.Locale": "en",
  "Comfy.Minimap.Visible": false,
  "LiteGraph.Canvas.MaximumFps": 15,
};
/** What the page of a bare ComfyUI complains about by itself: no network (searched for packs, sizes of model files), settings of unknown id, leaving a subgraph, no user.css yet, a newer frontend on an older server, a second run's moving preview shown in the player of the first run's video. */
const NOT_OURS = [/api\.comfy\.org|https:\/\/huggingface\.co|Error fetching file size/, /Attempted to cleanup event listeners for graph/, /reading 'id'\)\s+at onChange \(\S+\/assets\//, /Failed to load resource.*404/, /JobsApiError: Failed to fetch jobs: 404/, /Loading media from\s+'blob:|Connecting to 'blob:|Fetch API cannot load blob:/];

/**
 * Starts ComfyUI, or takes the one that PUSA_SERVER describes (what serve.py printed).
 * @returns {Promise<{url: string, base: string, frontend?: string | null, stop: () => Promise<void>}>} `base` is the folder that holds its input and output, `frontend` that of the pages where they are not its own
 */
export async function startServer() {
  if (process.env.PUSA_SERVER) return { ...JSON.parse(process.env.PUSA_SERVER), stop: async () => {} };
  const process_ = spawn(python, ["tests/browser/serve.py"], { cwd: ROOT, stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => process_.once("exit", resolve));
  const line = await new Promise((resolve, reject) => {
    process_.stdout.once("data", (data) => resolve(String(data)));
    void ended.then((code) => reject(new Error(`serve.py ended with ${code} before ComfyUI answered`)));
  });
  const stop = async () => {
    process_.stdin.end();
    await ended;
  };
  return { ...JSON.parse(line), stop };
}

/** Starts the browser with an empty profile. */
export async function startBrowser() {
  const executablePath = process.env.PUSA_BROWSER ?? "/usr/bin/chromium";
  const profile = mkdtempSync(join(tmpdir(), "pusa-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: QUIET,
    viewport: { width: 1400, height: 900 },
  });
  const stop = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return { context, stop };
}

/**
 * A server and a browser for all tests of a file: started before the first of them, stopped after the last.
 * @returns {{server: Awaited<ReturnType<typeof startServer>>, browser: Awaited<ReturnType<typeof startBrowser>>}} filled in when the tests begin
 */
export function comfyForThisFile() {
  const comfy = /** @type {ReturnType<typeof comfyForThisFile>} */ ({});
  before(async () => {
    [comfy.server, comfy.browser] = await Promise.all([startServer(), startBrowser()]);
  });
  after(async () => {
    await comfy.browser?.stop();
    await comfy.server?.stop();
  });
  return comfy;
}

/**
 * Opens ComfyUI and waits until its graph can be used.
 * @param {import("playwright-core").BrowserContext} context
 * @param {string} url
 * @param {Record<string, unknown>} [settings] by id
 * @returns {Promise<{page: Page, errors: string[]}>} `errors` grows with what the page's console complains about
 */
export async function openComfy(context, url, settings = {}) {
  const chosen = { ...QUIET_SETTINGS, ...settings };
  for (const [id, value] of Object.entries(chosen)) {
    const answer = await fetch(`${url}/settings/${id}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });
    if (!answer.ok) throw new Error(`setting ${id}: ${answer.status}`);
  }
  const page = await context.newPage();
  /** @type {string[]} */
  const errors = [];
  page.on("pageerror", (error) => errors.push(`${error.message}\n${error.stack}`));
  page.on("console", (message) => {
    const text = `${message.text()} (${message.location().url})`;
    if (message.type() === "error" && !NOT_OURS.some((pattern) => pattern.test(text))) errors.push(text);
  });
  page.setDefaultTimeout(PATIENCE);
  await page.goto(url, { timeout: PATIENCE });
  await ready(page);
  return { page, errors };
}

/** @param {Page} page */
export async function ready(page) {
  await page.waitForFunction(() => window.app?.extensionManager?.setting && window.app?.graph && window.LiteGraph?.registered_node_types?.PusaSampler, null, { timeout: PATIENCE });
  await page.waitForFunction(() => !document.querySelector(".p-blockui-mask"), null, { timeout: PATIENCE });
}

/**
 * Loads a workflow in UI format, as the templates do.
 * @param {Page} page
 * @param {unknown} workflow
 */
export async function load(page, workflow) {
  await page.evaluate(async (graph) => {
    await window.app.loadGraphData(graph, true, true);
  }, workflow);
  await settle(page);
}

/**
 * Waits until what was done is drawn.
 * @param {Page} page
 */
export async function frames(page) {
  await page.evaluate(() => new Promise((resolve) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(resolve)), 30)));
}

/**
 * Waits until our own clock has come round: some changes come with no event.
 * @param {Page} page
 */
export async function settle(page) {
  await page.waitForTimeout(350);
  await frames(page);
}
