import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, before, describe, test } from "node:test";
import { RENDERERS, comfyForThisFile, frames, load, openComfy, settle } from "./comfy_page.js";
import { prompt } from "./timeline_page.js";

const FOLDER = new URL("../../demo/workflows/", import.meta.url);
const MODELS = "(Wan2.2 + LightX2V)";

const comfy = comfyForThisFile();
/** @type {import("playwright-core").Page} */
let page;
/** @type {string[]} */
let errors;

/** @param {string} task */
async function open(task) {
  await load(page, JSON.parse(readFileSync(new URL(encodeURIComponent(`Demo - ${task} ${MODELS}.json`), FOLDER), "utf8")));
}

/**
 * Shows the only node of a class and sets widgets of it.
 * @param {string} comfyClass
 * @param {Record<string, unknown>} [values]
 */
async function show(comfyClass, values = {}) {
  await page.evaluate(
    ({ comfyClass, values }) => {
      const { canvas } = window.app;
      const node = canvas.graph.nodes.find((/** @type {any} */ each) => each.comfyClass === comfyClass);
      for (const [name, value] of Object.entries(values)) node.widgets.find((/** @type {any} */ widget) => widget.name === name).value = value;
      canvas.ds.scale = 1;
      canvas.ds.offset[0] = -node.pos[0] + 320;
      canvas.ds.offset[1] = -node.pos[1] + 60;
      canvas.setDirty(true, true);
    },
    { comfyClass, values },
  );
  await settle(page);
}

/** Latent frame and multiplier of each handle that can be seen. */
async function handles() {
  const said = await page.locator(".pusa-handle").evaluateAll((all) => all.map((each) => String(each.getAttribute("aria-valuetext"))));
  return said.map((text) => /^latent frame (\d+), .*multiplier ([\d.]+)/.exec(text)?.slice(1).map(Number));
}

/** @param {string} [comfyClass] */
async function inputs(comfyClass = "") {
  return Object.values(await prompt(page)).find((each) => each.class_type === comfyClass).inputs;
}

const problem = async () => String(await page.locator(".pusa-problem").textContent());

for (const vue of RENDERERS) {
  describe(vue ? "in Nodes 2.0" : "in the classic renderer", () => {
    before(async () => {
      ({ page, errors } = await openComfy(comfy.browser.context, comfy.server.url, { "Comfy.VueNodes.Enabled": vue }));
    });
    after(async () => {
      await page.close();
    });
    afterEach(() => {
      assert.deepEqual(errors.splice(0), []);
    });

    test("Keyframe Spreader shows its pictures where each spacing puts them", async () => {
      await open("keyframes");
      await show("PusaKeyframes", { spacing: "even", times: "", noise_multipliers: "0.2" });
      const even = await handles();
      const count = await page.locator(".pusa-column").count();
      assert.deepEqual([even[0]?.[0], even[even.length - 1]?.[0]], [0, count - 1]);
      assert.equal(await page.locator(".pusa-thumbnail").count(), even.length);
      const times = even.map((_, i) => i * 0.5).join(", ");
      await show("PusaKeyframes", { spacing: "seconds", times });
      assert.deepEqual((await handles()).map((each) => each?.[0]), even.map((_, i) => 2 * i)); // 16 frames a second, 4 a latent frame
      await show("PusaKeyframes", { spacing: "even" });
      assert.match(await problem(), /even spacing needs none/);
    });

    test("Keyframe Spreader's times are edited where they count frames, its multipliers always", async () => {
      await open("keyframes");
      const before_ = (await inputs("PusaKeyframes")).times;
      await show("PusaKeyframes", { spacing: "even", times: "", noise_multipliers: "0.2" });
      await page.locator(".pusa-handle").nth(1).focus();
      await page.keyboard.press("ArrowRight");
      await page.keyboard.press("ArrowUp");
      const lifted = await inputs("PusaKeyframes");
      assert.equal(lifted.times, before_);
      assert.match(lifted.noise_multipliers, /^0\.2, 0\.25, 0\.2/);
      const times = (await handles()).map((_, i) => i).join(", ");
      await show("PusaKeyframes", { spacing: "latent frames", times });
      const last = (await handles()).length - 1;
      await page.locator(".pusa-handle").nth(last).focus();
      await page.keyboard.press("ArrowRight");
      await frames(page);
      assert.equal((await inputs("PusaKeyframes")).times, times.replace(/\d+$/, String(last + 1)));
    });

    test("Clip Transition shows the end of one clip and the start of the other", async () => {
      await open("transition between clips");
      await show("PusaTransition", { context_frames: 9, noise_multipliers: "0..0.4" });
      const count = await page.locator(".pusa-column").count();
      assert.deepEqual(await handles(), [[0, 0], [1, 0.1], [2, 0.2], [count - 2, 0.3], [count - 1, 0.4]]);
      await show("PusaTransition", { context_frames: 4 * count - 7 });
      assert.match(await problem(), /at both ends, which leaves nothing to generate/);
    });

    test("Loop Conditions shows a rolled still once, a still at both ends, with its picture, and a clip's end and start", async () => {
      await open("loop from a picture");
      await show("PusaLoopConditions", { noise_multipliers: "0.2" });
      assert.deepEqual(await handles(), [[0, 0.2]]);
      assert.equal(await page.locator(".pusa-thumbnail").count(), 1);
      await show("PusaLoopConditions", { kind: "still", noise_multipliers: "0.2, 0.5" });
      const count = await page.locator(".pusa-column").count();
      assert.deepEqual(await handles(), [[0, 0.2], [count - 1, 0.5]]);
      assert.equal(await page.locator(".pusa-thumbnail").count(), 2);
      await show("PusaLoopConditions", { kind: "clip", context_frames: 5, noise_multipliers: "0.3" });
      assert.deepEqual(await handles(), [[0, 0.3], [1, 0.3], [count - 1, 0.3]]);
    });

    test("Condition Video Injector is edited in complete; custom keeps each position's source", async () => {
      await open("video extension step by step");
      await show("PusaConditionVideo", { task: "complete", positions: "0, -1", noise_multipliers: "0.3" });
      const count = await page.locator(".pusa-column").count();
      assert.deepEqual(await handles(), [[0, 0.3], [count - 1, 0.3]]);
      await page.locator(".pusa-handle").nth(1).focus();
      await page.keyboard.press("ArrowLeft");
      await page.keyboard.press("Insert");
      await frames(page);
      assert.match((await inputs("PusaConditionVideo")).positions, /^0, -2, -1$/);
      await show("PusaConditionVideo", { task: "custom", positions: "0, 3", source_positions: "", noise_multipliers: "0.3" });
      assert.match(await problem(), /^source_positions is empty/);
      await show("PusaConditionVideo", { source_positions: "2, -1" });
      assert.equal(await problem(), "");
      assert.equal(await page.locator(".pusa-bar button").first().isDisabled(), true);
      await page.locator(".pusa-handle").nth(1).focus();
      await page.keyboard.press("ArrowRight");
      await page.keyboard.press("Delete");
      await page.keyboard.press("Insert");
      await frames(page);
      const { positions, source_positions: sources } = await inputs("PusaConditionVideo");
      assert.deepEqual([positions, sources], ["0, 4", "2, -1"]);
    });

    test("a length that only a run can tell is assumed, and said to be", async () => {
      await open("transition between clips");
      await page.evaluate(() => {
        const { graph } = window.app;
        const find = (/** @type {string} */ name) => graph.nodes.find((/** @type {any} */ each) => each.comfyClass === name);
        const clip = window.LiteGraph.createNode("PusaClipFrames");
        graph.add(clip);
        clip.connect(3, find("EmptyHunyuanLatentVideo"), "length");
      });
      await show("PusaTransition");
      assert.equal(await page.locator(".pusa-column").count(), 21);
      assert.match(String(await page.locator(".pusa-length").textContent()), /^if 81 frames/);
    });

    test("positions promoted to a subgraph's node are read there, and not edited inside", async () => {
      await open("start-end frames step by step");
      const value = await page.evaluate(() => {
        const { canvas } = window.app;
        const node = canvas.graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaConditionFrames");
        const { node: instance } = canvas.graph.convertToSubgraph(new Set([node]));
        const inner = instance.subgraph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaConditionFrames");
        const slot = inner.inputs.find((/** @type {any} */ each) => each.name === "positions");
        instance.subgraph.addInput("positions", "STRING").connect(slot, inner);
        const promoted = instance.widgets.find((/** @type {any} */ each) => each.name === "positions");
        promoted.value = "2, 6";
        canvas.openSubgraph(instance.subgraph, instance);
        return promoted.value;
      });
      assert.equal(value, "2, 6");
      await show("PusaConditionFrames");
      assert.deepEqual((await handles()).map((each) => each?.[0]), [2, 6]);
      await page.locator(".pusa-handle").first().focus();
      await page.keyboard.press("ArrowRight");
      await frames(page);
      assert.deepEqual((await handles()).map((each) => each?.[0]), [2, 6]);
      assert.equal((await inputs("PusaConditionFrames")).positions, "2, 6");
      await page.evaluate(() => window.app.canvas.setGraph(window.app.graph));
    });

    test("linked positions are shown and not edited, their multipliers still are", async () => {
      await open("start-end frames step by step");
      await page.evaluate(() => {
        const { graph } = window.app;
        const node = graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaConditionFrames");
        const text = window.LiteGraph.createNode("PrimitiveString");
        graph.add(text);
        text.widgets[0].value = "1, 5";
        text.connect(0, node, "positions");
      });
      await show("PusaConditionFrames");
      assert.deepEqual((await handles()).map((each) => each?.[0]), [1, 5]);
      assert.match(String(await page.locator(".pusa-status").textContent()), /^positions comes from another node\./);
      await page.locator(".pusa-handle").nth(1).focus();
      await page.keyboard.press("ArrowRight");
      await page.keyboard.press("ArrowUp");
      await frames(page);
      assert.deepEqual(await handles(), [[1, 0.2], [5, 0.55]]);
    });
  });
}
