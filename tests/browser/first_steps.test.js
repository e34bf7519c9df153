import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PATIENCE, RUN, comfyForThisFile, openComfy } from "./comfy_page.js";

/** @typedef {import("playwright-core").Locator} Locator */

const TEMPLATE = "Demo - image-to-video (Wan2.2)";
/** Templates, the pack, the card, Run: README.md counts the downloads, the list of files and your picture on top. */
const CLICKS = 4;

const comfy = comfyForThisFile();

/** What the history says of the first run, once it has ended. */
async function firstRun() {
  for (const end = Date.now() + PATIENCE; Date.now() < end; ) {
    const [run] = Object.values(await (await fetch(`${comfy.server.url}/history`)).json());
    if (run) return run;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  return assert.fail("no run has ended");
}

describe("the first steps of README.md on the demo's models", () => {
  test(`from Templates to a finished video in ${CLICKS} clicks`, async () => {
    const { page, errors } = await openComfy(comfy.browser.context, comfy.server.url);
    let clicks = 0;
    /** @param {Locator} target */
    async function click(target) {
      await target.first().click({ timeout: PATIENCE });
      clicks += 1;
    }
    await click(page.locator(".templates-tab-button, [data-testid=templates-button], .side-bar-button:has-text('Templates')"));
    await click(page.getByText("ComfyUI-Pusa-Demo", { exact: true }));
    const card = page.locator(`[data-testid="template-workflow-${TEMPLATE}"]`);
    const cards = page.locator("[data-testid^=template-workflow-]");
    await cards.first().waitFor();
    for (const end = Date.now() + PATIENCE; (await card.count()) === 0 && Date.now() < end; ) {
      await cards.last().scrollIntoViewIfNeeded(); // further cards come when one scrolls down
      await page.waitForTimeout(300);
    }
    await click(card);
    await page.waitForFunction(() => window.app.graph.nodes.some((/** @type {any} */ { subgraph }) => subgraph), null, { timeout: PATIENCE });
    await click(page.locator(RUN).locator("visible=true"));
    const { outputs, status } = await firstRun();
    assert.equal(status.status_str, "success", JSON.stringify(status.messages));
    const videos = Object.values(outputs).flatMap((/** @type {any} */ shown) => shown.images ?? []);
    assert.equal(videos.length, 1);
    assert.match(videos[0].filename, /\.mp4$/);
    const file = await fetch(`${comfy.server.url}/view?${new URLSearchParams(videos[0])}`);
    assert.equal(file.status, 200);
    await page.locator("video").first().waitFor({ timeout: PATIENCE });
    assert.equal(clicks, CLICKS);
    assert.deepEqual(errors, []);
    await page.close();
  });
});
