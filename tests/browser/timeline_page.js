// Finding an injector and its timeline on the page, whichever renderer draws it.
import { frames, settle } from "./comfy_page.js";

/** @typedef {import("playwright-core").Page} Page */
/** @typedef {{x: number, y: number, width: number, height: number}} Box */

/**
 * Brings the nth injector into view at a zoom.
 * @param {Page} page
 * @param {{index?: number, scale?: number}} [where]
 */
export async function lookAt(page, { index = 0, scale = 1 } = {}) {
  await page.evaluate(
    ({ index, scale }) => {
      const { canvas } = window.app;
      const node = canvas.graph.nodes.filter((/** @type {any} */ each) => /^PusaCondition(Frames|Video)$/.test(each.comfyClass)).sort((/** @type {any} */ a, /** @type {any} */ b) => a.id - b.id)[index];
      canvas.ds.scale = scale;
      canvas.ds.offset[0] = -node.pos[0] + 320 / scale;
      canvas.ds.offset[1] = -node.pos[1] + 130 / scale;
      canvas.setDirty(true, true);
    },
    { index, scale },
  );
  await settle(page);
}

/**
 * What an injector's two texts hold.
 * @param {Page} page
 * @param {number} [index]
 * @returns {Promise<[string, string]>}
 */
export function texts(page, index = 0) {
  return page.evaluate((index) => {
    const node = window.app.canvas.graph.nodes.filter((/** @type {any} */ each) => /^PusaCondition(Frames|Video)$/.test(each.comfyClass)).sort((/** @type {any} */ a, /** @type {any} */ b) => a.id - b.id)[index];
    return ["positions", "noise_multipliers"].map((name) => node.widgets.find((/** @type {any} */ widget) => widget.name === name).value);
  }, index).then((found) => /** @type {[string, string]} */ (found));
}

/**
 * Sets a text as another extension or an API call would: value and callback.
 * @param {Page} page
 * @param {string} name
 * @param {string} value
 */
export async function setText(page, name, value) {
  await page.evaluate(
    ({ name, value }) => {
      const node = window.app.canvas.graph.nodes.find((/** @type {any} */ each) => /^PusaCondition(Frames|Video)$/.test(each.comfyClass));
      const widget = node.widgets.find((/** @type {any} */ each) => each.name === name);
      widget.value = value;
      widget.callback?.(value);
    },
    { name, value },
  );
  await frames(page);
}

/**
 * Types a text with mouse and keyboard.
 * @param {Page} page
 * @param {boolean} vue whether Nodes 2.0 draws
 * @param {number} row which widget of the injector
 * @param {string} value
 */
export async function type(page, vue, row, value) {
  if (vue) {
    const input = page.locator(".lg-node", { has: page.locator(".pusa-timeline") }).first().locator("input").nth(row);
    await input.fill(value);
    await input.press("Tab");
  } else {
    const at = await page.evaluate((row) => {
      const { canvas } = window.app;
      const node = canvas.graph.nodes.find((/** @type {any} */ each) => /^PusaCondition(Frames|Video)$/.test(each.comfyClass));
      const box = canvas.canvas.getBoundingClientRect();
      const y = node.pos[1] + node.widgets[row].y + 12;
      return { x: box.left + (node.pos[0] + node.size[0] / 2 + canvas.ds.offset[0]) * canvas.ds.scale, y: box.top + (y + canvas.ds.offset[1]) * canvas.ds.scale };
    }, row);
    await page.mouse.click(at.x, at.y);
    await page.mouse.click(at.x, at.y);
    const field = page.locator(".graphdialog input");
    await field.fill(value);
    await field.press("Enter");
  }
  await frames(page);
}

/**
 * The nth timeline's handle.
 * @param {Page} page
 * @param {number} handle
 * @param {number} [timeline]
 */
export function handleOf(page, handle, timeline = 0) {
  return page.locator(".pusa-timeline:visible").nth(timeline).locator(".pusa-handle").nth(handle);
}

/**
 * A point of the plot, in screen pixels.
 * @param {Page} page
 * @param {number} frame latent frame
 * @param {number} multiplier
 * @param {number} count latent frames
 */
export async function pointAt(page, frame, multiplier, count) {
  const box = /** @type {Box} */ (await page.locator(".pusa-plot:visible").first().boundingBox());
  return { x: box.x + ((frame + 0.5) / count) * box.width, y: box.y + (1 - multiplier) * box.height };
}

/**
 * Drags a handle with the mouse.
 * @param {Page} page
 * @param {number} handle
 * @param {{frame: number, multiplier: number, count: number}} target
 */
export async function drag(page, handle, { frame, multiplier, count }) {
  const from = /** @type {Box} */ (await handleOf(page, handle).boundingBox());
  const to = await pointAt(page, frame, multiplier, count);
  await page.mouse.move(from.x + from.width / 2, from.y + from.height / 2);
  await page.mouse.down();
  await page.mouse.move((from.x + to.x) / 2, (from.y + to.y) / 2, { steps: 3 });
  await page.mouse.move(to.x, to.y, { steps: 3 });
  await page.mouse.up();
  await frames(page);
}

/**
 * The graph as it is saved, without what ComfyUI changes by itself: pan and zoom, the order of drawing, fractions of a pixel.
 * @param {Page} page
 * @returns {Promise<any>}
 */
export function saved(page) {
  return page.evaluate(() => {
    const graph = JSON.parse(JSON.stringify(window.app.graph.serialize()));
    delete graph.extra.ds;
    delete graph.extra.frontendVersion;
    delete graph.id;
    delete graph.revision;
    graph.nodes.sort((/** @type {any} */ a, /** @type {any} */ b) => a.id - b.id);
    for (const node of graph.nodes) {
      delete node.order;
      node.pos = [...node.pos].map(Math.round);
      node.size = [...node.size].map(Math.round);
    }
    return graph;
  });
}

/**
 * What would be queued.
 * @param {Page} page
 * @returns {Promise<any>}
 */
export function prompt(page) {
  return page.evaluate(async () => (await window.app.graphToPrompt()).output);
}
