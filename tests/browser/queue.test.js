import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { comfyForThisFile, load, openComfy } from "./comfy_page.js";
import { drag, lookAt } from "./timeline_page.js";

const NAME = "Demo - start-end frames (Wan2.1).json";
const STEPS = 2;
/** What would take time and is not compared. */
const SAVERS = ["SaveVideo", "SaveImage", "PreviewImage"];
const FOLDER = new URL("../../demo/workflows/", import.meta.url);
const TWINS = new URL("../../demo/workflows/api/", import.meta.url);

const comfy = comfyForThisFile();

/**
 * The tensors of a .latent file, without its metadata (which holds the graph).
 * @param {string} prefix
 */
function latent(prefix) {
  const folder = join(comfy.server.base, "output");
  const name = readdirSync(folder).find((each) => each.startsWith(prefix) && each.endsWith(".latent"));
  assert.ok(name, `no ${prefix}*.latent in ${folder}`);
  const bytes = readFileSync(join(folder, name));
  return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)));
}

/** Waits until the server has nothing more to run; a failed run is an error. */
async function idle() {
  for (;;) {
    const { queue_running: running, queue_pending: pending } = await (await fetch(`${comfy.server.url}/queue`)).json();
    if (running.length + pending.length === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const runs = Object.values(await (await fetch(`${comfy.server.url}/history`)).json());
  for (const { status } of runs) assert.equal(status.status_str, "success", JSON.stringify(status.messages));
}

/**
 * Queues a graph in API format.
 * @param {any} graph
 */
async function queue(graph) {
  const answer = await fetch(`${comfy.server.url}/prompt`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ prompt: graph }) });
  assert.equal(answer.status, 200, await answer.text());
  await idle();
}

/**
 * The API twin with the sampler's latent saved instead of its video.
 * @param {string} prefix
 * @param {Record<string, string>} [texts] of the injector
 */
function twin(prefix, texts = {}) {
  const graph = JSON.parse(readFileSync(new URL(encodeURIComponent(NAME), TWINS), "utf8"));
  for (const [id, { class_type: type, inputs }] of Object.entries(graph)) {
    if (SAVERS.includes(type)) delete graph[id];
    if (type === "PusaConditionFrames") Object.assign(inputs, texts);
    if (type === "PusaSampler") inputs.steps = STEPS;
  }
  const [sampler] = Object.entries(graph).find(([, node]) => node.class_type === "PusaSampler") ?? [];
  graph.save_latent = { class_type: "SaveLatent", inputs: { samples: [sampler, 0], filename_prefix: prefix } };
  return graph;
}

describe("the queue button", () => {
  test("runs what the timeline shows: the latent is the API twin's to the last bit, before and after a drag", async () => {
    const { page, errors } = await openComfy(comfy.browser.context, comfy.server.url);
    await load(page, JSON.parse(readFileSync(new URL(encodeURIComponent(NAME), FOLDER), "utf8")));
    await page.evaluate(({ steps, savers }) => {
      const { graph } = window.app;
      for (const node of graph.nodes) if (savers.includes(node.comfyClass)) node.mode = 2; // muted
      const saver = window.LiteGraph.createNode("SaveLatent");
      graph.add(saver);
      const sampler = graph.nodes.find((/** @type {any} */ node) => node.comfyClass === "PusaSampler");
      // A run must not change the seed of the next one.
      for (const widget of sampler.widgets) {
        if (widget.name === "control_after_generate") widget.value = "fixed";
        if (widget.name === "steps") widget.value = steps;
      }
      sampler.connectSlots(sampler.outputs[0], saver, saver.inputs[0], undefined);
    }, { steps: STEPS, savers: SAVERS });
    const press = async (/** @type {string} */ prefix) => {
      await page.evaluate((prefix) => {
        const saver = window.app.graph.nodes.find((/** @type {any} */ node) => node.comfyClass === "SaveLatent");
        saver.widgets.find((/** @type {any} */ widget) => widget.name === "filename_prefix").value = prefix;
      }, prefix);
      const posted = page.waitForResponse((response) => response.url().endsWith("/prompt"));
      const button = page.locator("button[data-testid=queue-button]"); // older frontends have it in a group
      await ((await button.count()) > 0 ? button : page.locator("[data-testid=queue-button] button, .queue-button-group button")).first().click();
      const answer = await posted;
      assert.equal(answer.status(), 200, await answer.text());
      await idle();
    };
    await press("button_first");
    await lookAt(page);
    await drag(page, 1, { frame: 6, multiplier: 0.3, count: 9 });
    await press("button_second");
    assert.deepEqual(errors, []);
    await page.close();

    await queue(twin("twin_first"));
    await queue(twin("twin_second", { positions: "0, -3", noise_multipliers: "0.2, 0.3" }));
    assert.ok(latent("button_first").equals(latent("twin_first")));
    assert.ok(latent("button_second").equals(latent("twin_second")));
    assert.ok(!latent("button_first").equals(latent("button_second")));
  });
});
