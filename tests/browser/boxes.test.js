import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";
import { python } from "../js/python.js";
import { PATIENCE, RENDERERS, RUN, comfyForThisFile, load, openComfy, settle } from "./comfy_page.js";

/** @typedef {import("playwright-core").Page} Page */
/** @typedef {Record<string, {class_type: string, inputs: Record<string, any>}>} Prompt */

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const DEMOS = new URL("../../demo/workflows/", import.meta.url);
const BLUEPRINTS = new URL("../../subgraphs/", import.meta.url);
/** Most nodes beside the notes. */
const FEW = 6;
/** Milliseconds for what a click opens. */
const SOON = 10_000;
/** A workflow without a node. */
const EMPTY = { version: 0.4, nodes: [], links: [] };
/** The tasks whose templates are boxes. */
const TASKS = ["image-to-video", "start-end frames", "video extension", "long video"];

/** Widgets of the frontend that show a file or a text and end up in its prompt. */
const PLAYERS = ["video-preview", "preview"];

const comfy = comfyForThisFile();

/** @param {string} task */
function demo(task, folder = DEMOS) {
  return JSON.parse(readFileSync(new URL(encodeURIComponent(`Demo - ${task} (Wan2.2).json`), folder), "utf8"));
}

/**
 * The prompt that the page would queue, with the ids of the API twin: a box's inner nodes keep their own.
 * @param {Page} page
 * @returns {Promise<Prompt>}
 */
async function queued(page) {
  const { output } = await page.evaluate(() => window.app.graphToPrompt());
  const ours = (/** @type {[string, unknown]} */ [name]) => !PLAYERS.includes(name);
  const own = (/** @type {string} */ id) => id.split(":").at(-1) ?? id;
  return Object.fromEntries(
    Object.entries(/** @type {Prompt} */ (output)).map(([id, { class_type, inputs }]) => [
      own(id),
      { class_type, inputs: Object.fromEntries(Object.entries(inputs).filter(ours).map(([name, value]) => [name, Array.isArray(value) ? [own(String(value[0])), value[1]] : value])) },
    ]),
  );
}

/** @param {string} task */
function twin(task) {
  const graph = /** @type {Prompt} */ (demo(task, new URL("api/", DEMOS)));
  return Object.fromEntries(Object.entries(graph).map(([id, { class_type, inputs }]) => [id, { class_type, inputs }]));
}

/**
 * Sets a value on the box, as a person does.
 * @param {Page} page
 * @param {string} name
 * @param {unknown} value
 */
async function turn(page, name, value) {
  await page.evaluate(
    ({ name, value }) => {
      const box = window.app.graph.nodes.find((/** @type {any} */ node) => node.subgraph);
      const widget = box.widgets.find((/** @type {any} */ each) => each.name === name || each.name.endsWith(`: ${name}`));
      widget.value = value;
      widget.callback?.(value);
    },
    { name, value },
  );
  await settle(page);
}

/**
 * A form where the frontend makes one, else the graph.
 * @param {Page} page
 * @param {string} task
 */
async function isShownAs(page, task) {
  const form = page.locator("[data-testid=linear-widgets]");
  if (!comfy.server.frontend) {
    assert.ok(await page.locator("#graph-canvas").isVisible(), "the graph is hidden");
    return;
  }
  await form.first().waitFor();
  const text = await form.first().innerText();
  const loaders = demo(task).nodes.filter((/** @type {any} */ { type }) => type.startsWith("Load")).map((/** @type {any} */ { title }) => title);
  for (const label of [...loaders, "prompt", "noise_multiplier", "speed"]) assert.ok(text.includes(label), `${label} is not in the form:\n${text}`);
}

for (const vue of RENDERERS) {
  describe(`templates with a box in ${vue ? "Nodes 2.0" : "the classic renderer"}`, () => {
    /** @type {Awaited<ReturnType<typeof openComfy>>} */
    let opened;
    before(async () => {
      opened = await openComfy(comfy.browser.context, comfy.server.url, { "Comfy.VueNodes.Enabled": vue });
    });
    after(async () => {
      await opened.page.close();
    });
    for (const task of TASKS) {
      test(`${task}: few nodes, the inputs on the box, and a prompt that is the API twin's`, async () => {
        const { page, errors } = opened;
        await load(page, demo(task));
        const nodes = await page.evaluate(() => window.app.graph.nodes.map((/** @type {any} */ { type, title, subgraph }) => ({ type, title, box: Boolean(subgraph) })));
        assert.ok(nodes.filter((/** @type {any} */ { type }) => type !== "MarkdownNote").length <= FEW, JSON.stringify(nodes));
        assert.equal(nodes.find((/** @type {any} */ { box }) => box).title, `Pusa ${task}`);
        await isShownAs(page, task);
        assert.deepEqual(await queued(page), twin(task));
        for (const [name, value, input] of /** @type {[string, unknown, string][]} */ ([["prompt", "a small blue square", "text"], ["noise_multiplier", "0.35", "noise_multipliers"], ["speed", false, "fast"], ["seed", 77, "seed"]])) {
          await turn(page, name, value);
          const changed = Object.values(await queued(page)).filter(({ inputs }) => inputs[input] === value);
          assert.equal(changed.length, 1, `${name}: ${JSON.stringify(changed)}`);
        }
        assert.deepEqual(errors.splice(0), []);
      });
    }
  });
}

/**
 * Opens the search for a node by a double click, again where a busy page has not seen it.
 * @param {Page} page
 */
async function openSearch(page) {
  const search = page.locator("[role=combobox]:focus");
  for (let tries = 0; tries < 5; tries += 1) {
    await page.mouse.dblclick(700, 500);
    if (await search.waitFor({ timeout: SOON }).then(() => true, () => false)) return;
    await page.keyboard.press("Escape");
  }
  assert.fail("a double click on the canvas opens no search");
}

/**
 * Empties the canvas and adds a node by double click and its name, as a person does.
 * @param {Page} page
 * @param {string} name
 * @returns {Promise<{inputs: string[], outputs: string[], widgets: string[]}>} of the box that came
 */
async function placed(page, name) {
  await load(page, EMPTY); // the page opens what was last on it, perhaps as a form
  await openSearch(page);
  await page.keyboard.type(name);
  // what Enter takes: on the oldest frontend the option that is marked, which comes a little later
  const first = page.locator("[role=option].p-focus, [role=option][data-testid=result-item]").first();
  await first.filter({ hasText: new RegExp(`^\\s*${name}.*blueprint`, "is") }).waitFor();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => window.app.graph.nodes.some((/** @type {any} */ { subgraph }) => subgraph));
  if (comfy.server.frontend) {
    await page.mouse.move(640, 500); // newer frontends put it down by a click
    await page.mouse.click(640, 500);
  }
  return page.evaluate(() => {
    const box = window.app.graph.nodes.find((/** @type {any} */ { subgraph }) => subgraph);
    const names = (/** @type {any[]} */ all) => all.map((each) => each.name);
    return { inputs: names(box.inputs), outputs: names(box.outputs), widgets: names(box.widgets) };
  });
}

describe("blueprints", () => {
  test("all are served, and each is found by its name and put on the canvas as a box with its inputs", async () => {
    const { page, errors } = await openComfy(comfy.browser.context, comfy.server.url);
    const names = readdirSync(BLUEPRINTS).filter((name) => name.endsWith(".json")).map((name) => name.replace(/\.json$/, ""));
    assert.equal(names.length, TASKS.length + 1);
    const served = Object.values(await (await fetch(`${comfy.server.url}/global_subgraphs`)).json()).map(({ name }) => name);
    for (const name of names) {
      assert.ok(served.includes(name), name);
      const box = await placed(page, name);
      const blueprint = JSON.parse(readFileSync(new URL(encodeURIComponent(`${name}.json`), BLUEPRINTS), "utf8"));
      const [{ inputs, outputs, properties }] = blueprint.nodes;
      assert.deepEqual(box.inputs.slice(0, inputs.length), inputs.map((/** @type {any} */ each) => each.name));
      assert.deepEqual(box.outputs, outputs.map((/** @type {any} */ each) => each.name));
      for (const [id, shown] of properties.proxyWidgets) if (id === "-1") assert.ok(box.widgets.includes(shown), `${name}: ${shown}`);
    }
    assert.deepEqual(errors, []);
    await page.close();
  });
});

/**
 * Waits until the server has finished so many runs; a failed one is an error.
 * @param {number} count
 */
async function finished(count) {
  for (const end = Date.now() + PATIENCE; Date.now() < end; ) {
    const runs = Object.values(await (await fetch(`${comfy.server.url}/history`)).json());
    for (const { status } of runs) assert.equal(status.status_str, "success", JSON.stringify(status.messages));
    if (runs.length >= count) return;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  assert.fail(`no ${count} runs are finished after ${PATIENCE / 1000} s`);
}

/** Digests of the frames of all videos that were made, oldest first. */
function videos() {
  const folder = join(comfy.server.base, "output");
  const files = readdirSync(folder, { recursive: true }).map(String).filter((name) => name.endsWith(".mp4")).sort();
  const digest = "import hashlib, sys\nfrom demo.inputs import read_video\nfor name in sys.argv[1:]:\n    print(hashlib.sha256(read_video(name).tobytes()).hexdigest())";
  return execFileSync(python, ["-c", digest, ...files.map((name) => join(folder, name))], { cwd: ROOT, encoding: "utf8" }).trim().split("\n");
}

/**
 * What the command of the menu puts on the clipboard.
 * @param {Page} page
 * @returns {Promise<string>}
 */
async function copied(page) {
  await comfy.browser.context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: comfy.server.url });
  await page.bringToFront();
  return page.evaluate(async () => {
    await window.app.extensionManager.command.execute("Pusa.CopySettings");
    return navigator.clipboard.readText();
  });
}

/**
 * Empties the canvas and drops the first video of this file's run on it, the one that the page made.
 * @param {Page} page
 */
async function dropTheNewestVideo(page) {
  const folder = join(comfy.server.base, "output", "video");
  const [name] = readdirSync(folder).filter((each) => each.endsWith(".mp4")).sort();
  const bytes = readFileSync(join(folder, name)).toString("base64");
  await page.evaluate(async ({ bytes, name }) => {
    window.app.graph.clear();
    const content = Uint8Array.from(atob(bytes), (sign) => sign.charCodeAt(0));
    await window.app.handleFile(new File([content], name, { type: "video/mp4" }));
  }, { bytes, name });
  await page.waitForFunction(() => window.app.graph.nodes.length > 2);
  await settle(page);
}

describe("a run of the box", () => {
  test("makes the video of its API twin to the last bit, by the Run button", async () => {
    const { page, errors } = await openComfy(comfy.browser.context, comfy.server.url);
    await load(page, demo("image-to-video"));
    const before = await queued(page);
    await page.locator(RUN).locator("visible=true").first().click();
    await finished(1);
    const next = Object.values(await queued(page)).find(({ class_type }) => class_type === "PusaSampler");
    assert.notEqual(next?.inputs.seed, 0, "the seed is the same after a run");
    assert.match(await copied(page), /^Pusa \| seed: 0 \| steps: 4 \| cfg: 1 \| shift: 5 \| sampler: euler \| size: 64x64 \| frames: 33 \| given: latent frame 0 \(video frame 0\) at 0.2 \| model: demo_wan2.2_t2v_high_noise.safetensors \+ demo_high_noise_pusa.safetensors \(1\) \+ .* \| prompt: a large red circle/);
    await fetch(`${comfy.server.url}/free`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ unload_models: true, free_memory: true }) });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const graph = twin("image-to-video");
    const answer = await fetch(`${comfy.server.url}/prompt`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ prompt: graph }) });
    assert.equal(answer.status, 200, await answer.text());
    await finished(2);
    const made = videos();
    assert.equal(made.length, 2);
    assert.equal(made[0], made[1]);
    await dropTheNewestVideo(page);
    assert.deepEqual(await queued(page), before, "a video dropped on the canvas brings another graph");
    assert.deepEqual(errors, []);
    await page.close();
  });
});
