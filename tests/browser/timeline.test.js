import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { RENDERERS, comfyForThisFile, frames, load, openComfy, ready, settle } from "./comfy_page.js";
import { drag, handleOf, lookAt, pointAt, prompt, saved, setText, texts, type } from "./timeline_page.js";

const START_END = JSON.parse(readFileSync(new URL("../../demo/workflows/Demo - start-end frames step by step (Wan2.2 + LightX2V).json", import.meta.url), "utf8"));
/** Latent frames of that workflow. */
const F = 9;

const comfy = comfyForThisFile();
/** @type {import("playwright-core").Page} */
let page;
/** @type {string[]} */
let errors;

for (const vue of RENDERERS) {
  describe(vue ? "Nodes 2.0" : "classic renderer", () => {
    before(async () => {
      ({ page, errors } = await openComfy(comfy.browser.context, comfy.server.url, { "Comfy.VueNodes.Enabled": vue }));
    });
    after(async () => {
      await page.close();
    });
    beforeEach(async () => {
      await load(page, START_END);
      await lookAt(page);
    });
    afterEach(() => {
      assert.deepEqual(errors.splice(0), []);
    });

    test("the timeline shows the length, the pictures, the steps and their experts", async () => {
      const timeline = page.locator(".pusa-timeline");
      assert.equal(await timeline.locator(".pusa-column").count(), F);
      assert.equal(await timeline.locator(".pusa-thumbnail img").count(), 2);
      await page.waitForFunction(() => /** @type {HTMLImageElement | null} */ (document.querySelector(".pusa-thumbnail img"))?.naturalWidth);
      assert.deepEqual(await timeline.locator(".pusa-label").allTextContents(), ["1 high", "2 high", "3 low", "4 low"]);
      assert.deepEqual(await timeline.locator(".pusa-steps-column").first().locator("span").allTextContents(), ["200", "188", "167", "125"]);
      assert.deepEqual(await timeline.locator(".pusa-steps-column").nth(4).locator("span").allTextContents(), ["1000", "938", "833", "625"]);
      assert.equal(await timeline.locator(".pusa-presets").inputValue(), "Start and end frame");
    });

    test("loading changes nothing that is saved", async () => {
      const before_ = await saved(page);
      const file = /** @type {any} */ (START_END);
      for (const node of before_.nodes) {
        const inFile = file.nodes.find((/** @type {any} */ each) => each.id === node.id);
        assert.deepEqual(node.widgets_values ?? [], inFile.widgets_values ?? []);
        if (!vue && node.type === "PusaConditionFrames") assert.deepEqual([...node.size], [...inFile.size]);
      }
    });

    test("dragging a handle changes both texts and nothing else of the graph", async () => {
      const before_ = await saved(page);
      await drag(page, 1, { frame: 5, multiplier: 0.75, count: F });
      assert.deepEqual(await texts(page), ["0, -4", "0.2, 0.75"]);
      const after_ = await saved(page);
      const node = before_.nodes.find((/** @type {any} */ each) => each.type === "PusaConditionFrames");
      node.widgets_values.splice(0, 2, "0, -4", "0.2, 0.75");
      // newer frontends save the values by name too
      if (node.widgets_values_named) Object.assign(node.widgets_values_named, { positions: "0, -4", noise_multipliers: "0.2, 0.75" });
      assert.deepEqual(after_, before_);
      const inputs = Object.values(await prompt(page)).find((each) => each.class_type === "PusaConditionFrames").inputs;
      assert.equal(inputs.positions, "0, -4");
      assert.equal(inputs.noise_multipliers, "0.2, 0.75");
      assert.equal("pusa_timeline" in inputs, false);
    });

    test("a drag lands on the same frame at any zoom", async () => {
      for (const scale of [0.5, 1.6]) {
        await load(page, START_END);
        await lookAt(page, { scale });
        await drag(page, 0, { frame: 3, multiplier: 0.4, count: F });
        assert.deepEqual(await texts(page), ["3, -1", "0.4, 0.5"]);
      }
    });

    test("text typed by hand shows at once", async () => {
      await type(page, vue, 0, "2, 6");
      await type(page, vue, 1, "0..1");
      assert.deepEqual(await texts(page), ["2, 6", "0..1"]);
      assert.match(String(await handleOf(page, 0).getAttribute("aria-valuetext")), /^latent frame 2, video frame 5, 0\.31 s, noise multiplier 0$/);
      assert.match(String(await handleOf(page, 1).getAttribute("aria-valuetext")), /^latent frame 6, .*, noise multiplier 1$/);
    });

    test("text that cannot be read is shown with the node's sentence and never overwritten", async () => {
      await setText(page, "positions", "0, end");
      assert.equal(await page.locator(".pusa-handle").count(), 0);
      assert.match(String(await page.locator(".pusa-problem").textContent()), /^'end' in positions is not a whole number.*positions: 0, end/s);
      const at = await pointAt(page, 4, 0.5, F);
      await page.mouse.dblclick(at.x, at.y);
      for (const button of await page.locator(".pusa-bar button, .pusa-presets").all()) assert.equal(await button.isDisabled(), true);
      assert.deepEqual(await texts(page), ["0, end", "0.2, 0.5"]);
    });

    test("a position beyond the end is marked and can be dragged back", async () => {
      await setText(page, "positions", "0, 12");
      assert.match(String(await page.locator(".pusa-problem").textContent()), /Position 12 is outside this latent of 9 latent frames/);
      await drag(page, 1, { frame: 7, multiplier: 0.5, count: F });
      assert.deepEqual(await texts(page), ["0, 7", "0.2, 0.5"]);
    });

    test("undo takes back one drag, redo repeats it", async () => {
      await drag(page, 0, { frame: 2, multiplier: 0.6, count: F });
      await page.keyboard.press("Control+z");
      await settle(page);
      assert.deepEqual(await texts(page), ["0, -1", "0.2, 0.5"]);
      await page.keyboard.press("Control+y");
      await settle(page);
      assert.deepEqual(await texts(page), ["2, -1", "0.6, 0.5"]);
    });

    test("the keyboard does everything: Tab, arrows, Home, End, Delete, Insert, undo", async () => {
      await handleOf(page, 0).focus();
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("aria-label")), "Condition 2 of 2");
      await page.keyboard.press("ArrowLeft");
      await page.keyboard.press("ArrowUp");
      await page.keyboard.press("Shift+ArrowUp");
      assert.deepEqual(await texts(page), ["0, -2", "0.2, 0.56"]);
      await page.keyboard.press("Home");
      assert.deepEqual((await texts(page))[0], "0, -2"); // frame 0 belongs to the other handle
      await page.keyboard.press("Delete");
      await frames(page);
      assert.deepEqual(await texts(page), ["0", "0.2"]);
      await page.keyboard.press("Delete"); // the last condition stays, and so does the node
      assert.deepEqual(await texts(page), ["0", "0.2"]);
      await page.keyboard.press("Insert");
      assert.deepEqual(await texts(page), ["0, -1", "0.2"]);
      await page.keyboard.press("Control+z");
      await settle(page);
      assert.deepEqual(await texts(page), ["0", "0.2"]);
      assert.equal(await page.evaluate(() => document.activeElement?.className.includes("pusa-handle")), true);
    });

    test("presets, ramp, add and remove write what they say", async () => {
      await page.locator(".pusa-presets").selectOption("Extension, more motion");
      assert.deepEqual(await texts(page), ["0, 1, 2, 3", "0, 0.3, 0.5, 0.7"]);
      await page.locator(".pusa-bar button", { hasText: "Ramp" }).click();
      assert.deepEqual(await texts(page), ["0, 1, 2, 3", "0..0.7"]);
      const at = await pointAt(page, 6, 0.9, F);
      await page.mouse.dblclick(at.x, at.y);
      assert.deepEqual(await texts(page), ["0, 1, 2, 3, 6", "0, 0.2333, 0.4667, 0.7, 0.9"]);
      await page.locator(".pusa-bar button", { hasText: "Remove" }).click();
      assert.deepEqual(await texts(page), ["0, 1, 2, 3", "0, 0.2333, 0.4667, 0.7"]);
    });

    test("hovering tells video frames, seconds, step, expert and timestep", async () => {
      const at = await pointAt(page, 8, 0.9, F);
      await page.mouse.move(at.x, at.y);
      assert.equal(await page.locator(".pusa-status").textContent(), "Latent frame 8: video frames 29 to 32, 1.81 s to 2.06 s; noise multiplier 0.5");
      const box = await page.locator(".pusa-steps").boundingBox();
      await page.mouse.move(at.x, Number(box?.y) + Number(box?.height) * 0.4);
      assert.match(String(await page.locator(".pusa-status").textContent()), /; step 2 \(high-noise expert\), timestep 468\.8$/);
    });

    test("a change of length, steps or shift elsewhere shows by itself", async () => {
      await page.evaluate(() => {
        const find = (/** @type {string} */ name) => window.app.graph.nodes.find((/** @type {any} */ node) => node.comfyClass === name);
        find("EmptyHunyuanLatentVideo").widgets.find((/** @type {any} */ widget) => widget.name === "length").value = 81;
        find("PusaSampler").widgets.find((/** @type {any} */ widget) => widget.name === "steps").value = 30;
      });
      await settle(page);
      assert.equal(await page.locator(".pusa-column").count(), 21);
      assert.deepEqual(await page.locator(".pusa-label").allTextContents(), ["13 high", "17 low"]);
      assert.match(String(await handleOf(page, 1).getAttribute("aria-valuetext")), /^latent frame 20, video frame 77, 4\.81 s/);
    });

    test("the numbers of 4 steps and 21 latent frames fit their cells", async () => {
      await page.evaluate(() => {
        const node = window.app.graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "EmptyHunyuanLatentVideo");
        node.widgets.find((/** @type {any} */ widget) => widget.name === "length").value = 81;
      });
      await settle(page);
      const cells = await page.locator(".pusa-steps-column span").evaluateAll((all) =>
        all.map((cell) => {
          const text = document.createRange();
          text.selectNodeContents(cell);
          return [cell.textContent, text.getBoundingClientRect().width < cell.getBoundingClientRect().width];
        }),
      );
      assert.equal(cells.length, 84);
      assert.deepEqual(cells.filter(([, fits]) => !fits), []);
    });

    test("a copy has a timeline of its own", async () => {
      await page.evaluate(() => {
        const { canvas } = window.app;
        const node = canvas.graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaConditionFrames");
        canvas.selectNode(node);
        canvas.copyToClipboard();
        canvas.pasteFromClipboard({ position: [node.pos[0] + 520, node.pos[1]] });
      });
      await settle(page);
      assert.deepEqual(await texts(page, 1), ["0, -1", "0.2, 0.5"]);
      await drag(page, 0, { frame: 4, multiplier: 0.1, count: F });
      assert.deepEqual(await texts(page), ["4, -1", "0.1, 0.5"]);
      assert.deepEqual(await texts(page, 1), ["0, -1", "0.2, 0.5"]);
      // Not connected to a latent, it says that it assumes Wan's usual length.
      assert.equal(await page.locator(".pusa-timeline").nth(1).locator(".pusa-length").textContent(), "if 81 frames, 5.06 s");
    });

    test("in a subgraph it still finds latent and sampler, and edits what is queued", async () => {
      await page.evaluate(() => {
        const { canvas } = window.app;
        const node = canvas.graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaConditionFrames");
        const { node: instance } = canvas.graph.convertToSubgraph(new Set([node]));
        canvas.openSubgraph(instance.subgraph, instance);
      });
      await settle(page);
      await lookAt(page);
      assert.equal(await page.locator(".pusa-column").count(), F);
      assert.deepEqual(await page.locator(".pusa-label").allTextContents(), ["1 high", "2 high", "3 low", "4 low"]);
      assert.equal(await page.locator(".pusa-thumbnail").count(), 2);
      await drag(page, 1, { frame: 6, multiplier: 0.3, count: F });
      const inputs = Object.values(await prompt(page)).find((each) => each.class_type === "PusaConditionFrames").inputs;
      assert.deepEqual([inputs.positions, inputs.noise_multipliers], ["0, -3", "0.2, 0.3"]);
      await page.evaluate(() => window.app.canvas.setGraph(window.app.graph));
    });

    test("a graph in API format shows the same", async () => {
      const output = await prompt(page);
      for (const node of Object.values(output)) if (node.class_type === "PusaConditionFrames") Object.assign(node.inputs, { positions: "1, 5", noise_multipliers: "0.3" });
      await page.evaluate((graph) => window.app.loadApiJson(graph, "api"), output);
      await lookAt(page);
      assert.deepEqual(await texts(page), ["1, 5", "0.3"]);
      assert.match(String(await handleOf(page, 1).getAttribute("aria-valuetext")), /^latent frame 5, .*multiplier 0\.3$/);
    });

    test("a key after a click on a button or the presets does not delete the node", async () => {
      await page.locator(".pusa-timeline").getByRole("button", { name: "Ramp" }).click();
      await page.keyboard.press("Delete");
      await page.locator(".pusa-presets").focus();
      await page.keyboard.press("Backspace");
      assert.deepEqual(await texts(page), ["0, -1", "0.2..0.5"]);
    });

    test("pictures dropped at once, and what is typed meanwhile, all stay", async () => {
      /** @type {() => void} */
      let letGo = () => {};
      const held = new Promise((resolve) => (letGo = () => resolve(undefined)));
      await page.route("**/upload/image", async (route) => {
        await held;
        await route.continue();
      });
      await drop(4);
      await drop(2);
      await setText(page, "noise_multipliers", "0.3, 0.5");
      letGo();
      await page.waitForFunction(() => document.querySelectorAll(".pusa-thumbnail").length === 4, null, { timeout: 5000 });
      const [positions, multipliers] = await texts(page);
      assert.deepEqual(positions.split(", ").sort(), ["-1", "0", "2", "4"]);
      assert.equal(multipliers, "0.3, 0.5, 0.2, 0.2");
      assert.equal(Object.values(await prompt(page)).filter((node) => node.class_type === "ImageBatch").length, 3);
      await page.unroute("**/upload/image");
    });

    test("a dropped picture is uploaded, loaded, joined and put on its frame", async () => {
      await drop(4);
      await page.waitForFunction(() => document.querySelectorAll(".pusa-thumbnail").length === 3, null, { timeout: 5000 });
      assert.deepEqual(await texts(page), ["0, -1, 4", "0.2, 0.5, 0.2"]);
      const nodes = Object.values(await prompt(page));
      assert.equal(nodes.filter((node) => node.class_type === "ImageBatch").length, 2);
      assert.equal(nodes.filter((node) => node.class_type === "LoadImage").some((node) => /^dropped/.test(node.inputs.image)), true);
    });

    test("after a reload of the page the saved graph is the same", async () => {
      await drag(page, 1, { frame: 6, multiplier: 0.35, count: F });
      const before_ = await saved(page);
      await page.waitForTimeout(1200); // ComfyUI keeps an unsaved graph with a delay
      await page.reload();
      await ready(page);
      await page.waitForFunction(() => window.app.graph.nodes.length > 5, null);
      await settle(page);
      assert.deepEqual(await texts(page), ["0, -3", "0.2, 0.35"]);
      const after_ = await saved(page);
      // Nodes 2.0 measures every node anew, core's too.
      if (vue) for (const node of [...before_.nodes, ...after_.nodes]) delete node.size;
      assert.deepEqual(after_, before_);
    });
  });
}

describe("without our JavaScript", () => {
  test("the same graph loads and queues the same", async () => {
    const { page: bare } = await openComfy(comfy.browser.context, comfy.server.url);
    await load(bare, START_END);
    const withScript = await prompt(bare);
    await bare.route(/\/extensions\/ComfyUI-Pusa\//, (route) => route.abort());
    await bare.reload();
    await ready(bare);
    await load(bare, START_END);
    assert.equal(await bare.locator(".pusa-timeline").count(), 0);
    assert.deepEqual(await prompt(bare), withScript);
    await bare.close();
  });
});

/**
 * Drops a picture on a latent frame.
 * @param {number} frame
 */
async function drop(frame) {
  const at = await pointAt(page, frame, 0.5, F);
  const data = readFileSync(new URL("dropped.png", import.meta.url)).toString("base64");
  await page.evaluate(
    ({ x, y, data }) => {
      const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
      const target = /** @type {Element} */ (document.elementFromPoint(x, y));
      for (const name of ["dragover", "drop"]) target.dispatchEvent(new DragEvent(name, { bubbles: true, cancelable: true, clientX: x, clientY: y, dataTransfer: transfer }));
    },
    { ...at, data },
  );
}
