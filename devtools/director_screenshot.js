// Draws Pusa Director after a real run on the demo's models: docs/screenshots/director.png, and as Nodes 2.0 draws it.
// node devtools/director_screenshot.js
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PATIENCE, load, openComfy, settle, startBrowser, startServer } from "../tests/browser/comfy_page.js";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const NAME = "story of five prompts (Wan2.2 + LightX2V)";
const MARGIN = 14; // pixels around the node
const TITLE = 30; // pixels of the title bar, which lies above a node's position
const MENUS = 190; // pixels that ComfyUI's bars take at the top and the left
const SHAPE = "a large red circle";
const RIGHT = `${SHAPE} moving right slowly on a dark background`;
const LEFT = `${SHAPE} moving left quickly on a dark background`;
const PROJECT = {
  version: 1,
  window: 33,
  overlap: 13,
  colour: "before",
  windows: [
    { id: "w1", prompt: RIGHT, loras: [{ name: "demo_high_noise_pusa.safetensors", strength: 0.2 }] },
    { id: "w2", prompt: `${SHAPE} moving down slowly on a dark background`, lock: true },
    { id: "w3", bridge: true, retake: 1, candidates: 3, chosen: 1, loras: [{ name: "demo_low_noise_pusa.safetensors", strength: 0.3 }] },
    { id: "w4", prompt: LEFT, length: 41 },
  ],
  keys: [
    { at: 0, picture: "demo_first_frame.png", multiplier: 0 },
    { at: 100, picture: "demo_last_frame.png", multiplier: 0.3 },
  ],
  prompts: [
    { at: 0, text: RIGHT },
    { at: 3.5, text: LEFT },
  ],
  sound: { file: "demo_music.wav" },
};

const server = await startServer();
const { context, stop } = await startBrowser();
try {
  for (const vue of [false, true]) {
    const { page } = await openComfy(context, server.url, { "Comfy.VueNodes.Enabled": vue });
    await load(page, JSON.parse(readFileSync(join(ROOT, "demo", "workflows", `Demo - ${NAME}.json`), "utf8")));
    await page.evaluate((text) => {
      HTMLMediaElement.prototype.play = async () => {}; // a playing video has the canvas drawn without end
      const node = window.app.graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaDirector");
      const set = (/** @type {string} */ name, /** @type {unknown} */ value) => {
        const widget = node.widgets.find((/** @type {any} */ each) => each.name === name);
        widget.value = value;
        widget.callback?.(value);
      };
      set("project", text);
      set("name", "demo_director");
    }, JSON.stringify(PROJECT));
    await page.locator("button[data-testid=queue-button], [data-testid=queue-button] button, .queue-button-group button").first().click();
    await page.evaluate(() => new Promise((done) => window.app.api.addEventListener("execution_success", () => setTimeout(done, 3000), { once: true })));
    await page.locator(".pusa-window").nth(2).click({ position: { x: 60, y: 30 } });
    const [width, height] = await page.evaluate((corner) => {
      const { canvas, graph } = window.app;
      const node = graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaDirector");
      canvas.deselectAll?.();
      canvas.ds.scale = 1;
      canvas.ds.offset[0] = corner - node.pos[0];
      canvas.ds.offset[1] = corner - node.pos[1];
      return node.size;
    }, MENUS + MARGIN + TITLE);
    await page.setViewportSize({ width: Math.ceil(width) + 2 * MENUS, height: Math.ceil(height) + 2 * MENUS });
    await page.evaluate(() => window.app.canvas.setDirty(true, true));
    await settle(page);
    const name = `docs/screenshots/director${vue ? "-nodes2" : ""}.png`;
    const view = await page.locator(".pusa-director").boundingBox();
    // the node's plain settings above its tracks are left out
    const clip = view && { x: view.x - 8, y: view.y - 8, width: view.width + 16, height: view.height + 16 };
    await page.screenshot({ path: join(ROOT, name), clip: clip ?? undefined, timeout: PATIENCE });
    if (process.env.PUSA_WHOLE) await page.screenshot({ path: `${process.env.PUSA_WHOLE}${vue ? "-nodes2" : ""}.png`, timeout: PATIENCE });
    await page.close();
  }
} finally {
  await stop();
  await server.stop();
}
