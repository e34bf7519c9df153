import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { comfyForThisFile, load, openComfy } from "./comfy_page.js";
import { lookAt } from "./timeline_page.js";

const comfy = comfyForThisFile();
/** @type {import("playwright-core").Page} */
let page;
/** @type {string[]} */
let errors;

/** @param {string} name of a shipped workflow */
function shipped(name) {
  return JSON.parse(readFileSync(new URL(`../../workflows/${name}.json`, import.meta.url), "utf8"));
}

describe("timelines of other bases", () => {
  before(async () => {
    ({ page, errors } = await openComfy(comfy.browser.context, comfy.server.url, { "Comfy.VueNodes.Enabled": false }));
  });
  after(async () => {
    await page.close();
  });

  test("Mochi's timeline has six frames to a latent frame and 30 a second", async () => {
    await load(page, shipped("Pusa keyframes (Pusa V0.5, Mochi)"));
    await lookAt(page);
    const timeline = page.locator(".pusa-timeline");
    assert.equal(await timeline.locator(".pusa-column").count(), 28);
    assert.match(String(await timeline.textContent()), /163 frames, 5\.43 s/);
    assert.deepEqual(errors.splice(0), []);
  });

  test("LTX-Video's timeline has eight frames to a latent frame and 25 a second, and a folder's lengths step by its base", async () => {
    await page.evaluate(() => {
      const { graph } = window.app;
      graph.clear();
      const add = (/** @type {string} */ type) => {
        const node = window.LiteGraph.createNode(type);
        graph.add(node);
        return node;
      };
      const latent = add("EmptyLTXVLatentVideo");
      latent.widgets.find((/** @type {any} */ widget) => widget.name === "length").value = 97;
      const injector = add("PusaConditionFrames");
      injector.pos = [500, 100];
      latent.connectSlots(latent.outputs[0], injector, injector.inputs.find((/** @type {any} */ input) => input.name === "latent"), undefined);
      add("PusaFolder").pos = [1100, 100];
    });
    await lookAt(page);
    const timeline = page.locator(".pusa-timeline");
    assert.equal(await timeline.locator(".pusa-column").count(), 13);
    assert.match(String(await timeline.textContent()), /97 frames, 3\.88 s/);
    await page.waitForFunction(() => {
      const node = window.app.graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaFolder");
      return node.widgets.find((/** @type {any} */ widget) => widget.name === "length").options.step2 === 8;
    });
    assert.deepEqual(errors.splice(0), []);
  });

  test("the 5B's timeline plays 24 frames a second", async () => {
    await load(page, shipped("Pusa image-to-video (Wan2.2 5B)"));
    await lookAt(page);
    assert.match(String(await page.locator(".pusa-timeline").textContent()), /121 frames, 5\.04 s/);
    assert.deepEqual(errors.splice(0), []);
  });
});
