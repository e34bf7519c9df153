// Finding a Director and its tracks on the page, whichever renderer draws it.
import { frames, settle } from "./comfy_page.js";

/** @typedef {import("playwright-core").Page} Page */
/** @typedef {{x: number, y: number, width: number, height: number}} Box */

/**
 * An empty graph with one Director in view.
 * @param {Page} page
 * @param {object | null} [project] null keeps the node's own text
 */
export async function newDirector(page, project = null) {
  await page.evaluate((text) => {
    const { app, LiteGraph } = window;
    app.graph.clear();
    const node = LiteGraph.createNode("PusaDirector");
    app.graph.add(node);
    node.pos = [0, 0];
    const widget = node.widgets.find((/** @type {any} */ each) => each.name === "project");
    if (text !== null) {
      widget.value = text;
      widget.callback?.(text);
    }
    app.extensionManager.workflow?.activeWorkflow?.changeTracker?.checkState();
  }, project && JSON.stringify(project));
  await lookAtDirector(page);
}

/**
 * A Director on the demo's smallest models, 64 x 64 pixels and 2 steps, in a folder of its own.
 * @param {Page} page
 * @param {string} name of the project
 */
export async function onTheZoo(page, name) {
  await page.evaluate((name) => {
    const { app, LiteGraph } = window;
    app.graph.clear();
    /** @type {(type: string, x: number, y: number, values?: Record<string, unknown>) => any} */
    const node = (type, x, y, values = {}) => {
      const made = LiteGraph.createNode(type);
      app.graph.add(made);
      made.pos = [x, y];
      for (const widget of made.widgets ?? []) if (widget.name in values) widget.value = values[widget.name];
      return made;
    };
    const model = node("UNETLoader", -1300, 0, { unet_name: "demo_wan2.1_t2v.safetensors" });
    const lora = node("PusaLoraLoader", -900, 0, { lora_name: "demo_pusa_v1.safetensors", alpha: 1 });
    const clip = node("PusaDemoClip", -900, 250);
    const vae = node("VAELoader", -900, 400, { vae_name: "demo_wan_vae.safetensors" });
    const director = node("PusaDirector", 0, 0, { name, width: 64, height: 64, steps: 2, cfg: 1, seed: 5 });
    /** @type {(from: any, to: any, input: string) => void} */
    const link = (from, to, input) => from.connectSlots(from.outputs[0], to, to.inputs.find((/** @type {any} */ each) => each.name === input), undefined);
    link(model, lora, "model");
    link(lora, director, "model");
    link(clip, director, "clip");
    link(vae, director, "vae");
    app.extensionManager.workflow?.activeWorkflow?.changeTracker?.checkState();
  }, name);
  await lookAtDirector(page);
}

/**
 * Brings the tracks into view.
 * @param {Page} page
 */
export async function lookAtDirector(page) {
  await page.evaluate(() => {
    const { canvas } = window.app;
    const node = canvas.graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaDirector");
    canvas.ds.scale = 1;
    canvas.ds.offset[0] = -node.pos[0] + 110;
    canvas.ds.offset[1] = -node.pos[1] + 110;
    canvas.setDirty(true, true);
  });
  await settle(page);
}

/**
 * The project that the nth Director's text holds.
 * @param {Page} page
 * @param {number} [index]
 * @returns {Promise<any>}
 */
export async function projectOf(page, index = 0) {
  return JSON.parse(await textOf(page, index));
}

/**
 * @param {Page} page
 * @param {number} [index]
 * @returns {Promise<string>}
 */
export function textOf(page, index = 0) {
  return page.evaluate((index) => {
    const nodes = window.app.canvas.graph.nodes.filter((/** @type {any} */ each) => each.comfyClass === "PusaDirector");
    nodes.sort((/** @type {any} */ a, /** @type {any} */ b) => a.id - b.id);
    return nodes[index].widgets.find((/** @type {any} */ each) => each.name === "project").value;
  }, index);
}

/**
 * @param {Page} page
 * @param {number} index
 */
export function windowAt(page, index) {
  return page.locator(".pusa-director:visible").first().locator(".pusa-window").nth(index);
}

/**
 * A border of a window.
 * @param {Page} page
 * @param {number} index of the window
 * @param {"start" | "end"} side
 */
export function edgeOf(page, index, side) {
  return page.locator(".pusa-director:visible").first().locator(`.pusa-edge-${side}`).nth(index);
}

/**
 * A tool of the bar.
 * @param {Page} page
 * @param {string} name
 */
export function tool(page, name) {
  return page.locator(".pusa-director .pusa-bar").getByRole("button", { name, exact: true }).first();
}

/**
 * A field of the form.
 * @param {Page} page
 * @param {string} name
 */
export function field(page, name) {
  return page.locator(`.pusa-director-panel .pusa-field-${name}`).locator("input, textarea, select").first();
}

/**
 * Drags with the mouse from the middle of an element.
 * @param {Page} page
 * @param {import("playwright-core").Locator} element
 * @param {{dx?: number, dy?: number}} by pixels
 */
export async function dragBy(page, element, { dx = 0, dy = 0 }) {
  const box = /** @type {Box} */ (await element.boundingBox());
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x + dx / 2, y + dy / 2, { steps: 3 });
  await page.mouse.move(x + dx, y + dy, { steps: 3 });
  await page.mouse.up();
  await frames(page);
}

/**
 * Drops a file on a track.
 * @param {Page} page
 * @param {string} lane
 * @param {number} share of the track's width
 * @param {{name: string, type: string, data: string}} file data in base64
 */
export async function dropOn(page, lane, share, file) {
  const box = /** @type {Box} */ (await page.locator(`.pusa-director .pusa-lane.pusa-lane-${lane}`).first().boundingBox());
  await page.evaluate(
    ({ x, y, name, type, data }) => {
      const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], name, { type }));
      const target = /** @type {Element} */ (document.elementFromPoint(x, y));
      for (const event of ["dragover", "drop"]) target.dispatchEvent(new DragEvent(event, { bubbles: true, cancelable: true, clientX: x, clientY: y, dataTransfer: transfer }));
    },
    { x: box.x + box.width * share, y: box.y + box.height / 2, ...file },
  );
}

/**
 * A sound file of a rising tone.
 * @param {number} seconds
 */
export function wave(seconds) {
  const rate = 8000;
  const data = Buffer.alloc(44 + rate * seconds * 2);
  data.write("RIFF", 0);
  data.writeUInt32LE(data.length - 8, 4);
  data.write("WAVEfmt ", 8);
  data.writeUInt32LE(16, 16);
  data.writeUInt16LE(1, 20); // PCM
  data.writeUInt16LE(1, 22); // one channel
  data.writeUInt32LE(rate, 24);
  data.writeUInt32LE(rate * 2, 28);
  data.writeUInt16LE(2, 32);
  data.writeUInt16LE(16, 34);
  data.write("data", 36);
  data.writeUInt32LE(data.length - 44, 40);
  for (let i = 0; i < rate * seconds; i += 1) data.writeInt16LE(Math.round(((20000 * i) / (rate * seconds)) * Math.sin(i / 5)), 44 + 2 * i);
  return data.toString("base64");
}
