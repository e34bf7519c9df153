import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { PATIENCE, RENDERERS, comfyForThisFile, load, openComfy, settle } from "./comfy_page.js";

const TRY_SETTINGS = JSON.parse(readFileSync(new URL("../../demo/workflows/Demo - try settings (Wan2.2 + LightX2V).json", import.meta.url), "utf8"));

const comfy = comfyForThisFile();

/**
 * A widget's value of the first node of a class.
 * @param {import("playwright-core").Page} page
 * @param {string} type
 * @param {string} name
 */
function value(page, type, name) {
  return page.evaluate(({ type, name }) => {
    const node = window.app.graph.nodes.find((/** @type {any} */ each) => each.comfyClass === type);
    return node.widgets.find((/** @type {any} */ widget) => widget.name === name).value;
  }, { type, name });
}

/**
 * Brings the sweep into view, whole.
 * @param {import("playwright-core").Page} page
 */
async function lookAtSweep(page) {
  await page.evaluate(() => {
    const { canvas } = window.app;
    const node = canvas.graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaSweep");
    canvas.ds.scale = 0.8;
    canvas.ds.offset[0] = -node.pos[0] + 300;
    canvas.ds.offset[1] = -node.pos[1] - Math.max(0, node.size[1] - 700) + 150;
    canvas.setDirty(true, true);
  });
  await settle(page);
}

for (const vue of RENDERERS) {
  describe(vue ? "in Nodes 2.0" : "in the classic renderer", () => {
    /** @type {import("playwright-core").Page} */
    let page;
    /** @type {string[]} */
    let errors;
    before(async () => {
      ({ page, errors } = await openComfy(comfy.browser.context, comfy.server.url, { "Comfy.VueNodes.Enabled": vue }));
      await load(page, TRY_SETTINGS);
    });
    after(async () => {
      assert.deepEqual(errors, []);
      await page.close();
    });

    test("a run shows its sheet, and a click on a tile gives its values to injector and sampler", async () => {
      await page.evaluate(() => {
        const { graph } = window.app;
        const sweep = graph.nodes.find((/** @type {any} */ node) => node.comfyClass === "PusaSweep");
        const changes = { multipliers: "0, 0.4", steps: "2", seeds: "5, 6", length: 9 };
        for (const [name, value] of Object.entries(changes)) sweep.widgets.find((/** @type {any} */ widget) => widget.name === name).value = value;
        for (const node of graph.nodes) if (node.comfyClass === "SaveVideo") node.mode = 2;
      });
      assert.equal(await value(page, "PusaConditionFrames", "noise_multipliers"), "0.2");
      await page.evaluate(() => window.app.queuePrompt(0));
      await page.waitForFunction(() => document.querySelectorAll(".pusa-tile").length === 4, null, { timeout: PATIENCE });
      await page.waitForFunction(() => /** @type {HTMLImageElement} */ (document.querySelector(".pusa-sweep img")).naturalWidth > 0, null, { timeout: PATIENCE });
      await lookAtSweep(page);
      const tiles = page.locator(".pusa-tile");
      assert.deepEqual(await tiles.evaluateAll((all) => all.map((one) => one.getAttribute("aria-label"))), [
        "Take over multiplier 0, 2 steps, seed 5",
        "Take over multiplier 0.4, 2 steps, seed 5",
        "Take over multiplier 0, 2 steps, seed 6",
        "Take over multiplier 0.4, 2 steps, seed 6",
      ]);
      await tiles.nth(3).click();
      await settle(page);
      assert.equal(await value(page, "PusaConditionFrames", "noise_multipliers"), "0.4");
      assert.deepEqual([await value(page, "PusaSampler", "steps"), await value(page, "PusaSampler", "seed")], [2, 6]);
      if (process.env.PUSA_SHOTS) await page.screenshot({ path: `${process.env.PUSA_SHOTS}/sweep-${vue ? "vue" : "classic"}.png` });
    });

    test("nothing of the sheet is saved with the graph", async () => {
      const saved = await page.evaluate(() => {
        const node = window.app.graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaSweep");
        return node.serialize().widgets_values;
      });
      assert.equal(saved.length, TRY_SETTINGS.nodes.find((/** @type {any} */ node) => node.type === "PusaSweep").widgets_values.length);
    });
  });
}
