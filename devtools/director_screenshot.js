// Draws Pusa Director after a real run on the demo's models: its tracks as docs/screenshots/director.png, the whole node as js/docs/PusaDirector.png.
// node devtools/director_screenshot.js
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PATIENCE, RUN, load, openComfy, settle, startBrowser, startServer } from "../tests/browser/comfy_page.js";
import { python } from "../tests/js/python.js";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const NAME = "story of five prompts (Wan2.2 + LightX2V)";
const MARGIN = 14; // pixels left and right of the node
const AROUND = 8; // pixels around its tracks
const ABOVE = 2; // no more: the badge of the pack begins there
const TITLE = 30; // pixels of the title bar, which lies above a node's position
const MENUS = 190; // pixels that ComfyUI's bars take at the top and the left
const PAGE = { width: 1500, height: 1700 }; // the whole node, with what a run adds below
/** A palette of 256 colours: a third of the file, and nothing that the eye sees. */
const SMALL = `
import sys
from PIL import Image
for name in sys.argv[1:]:
    with Image.open(name) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(name, optimize=True)
`;
const SHAPE = "a large red circle";
const RIGHT = `${SHAPE} moving right slowly on a dark background`;
const LEFT = `${SHAPE} moving left quickly on a dark background`;
const PROJECT = {
  version: 1,
  window: 33,
  overlap: 5,
  colour: "before",
  windows: [
    { id: "w1", prompt: RIGHT, loras: [{ name: "demo_high_noise_pusa.safetensors", strength: 0.2 }] },
    { id: "w2", prompt: `${SHAPE} moving down slowly on a dark background`, lock: true },
    { id: "w3", retake: 1, candidates: 3, chosen: 1, loras: [{ name: "demo_low_noise_pusa.safetensors", strength: 0.3 }] },
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
  const { page } = await openComfy(context, server.url);
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
  // tracks that are outside the page are hidden and take no click
  await page.evaluate(([left, top]) => {
    const { canvas, graph } = window.app;
    const node = graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaDirector");
    canvas.ds.scale = 1;
    canvas.ds.offset[0] = left - node.pos[0];
    canvas.ds.offset[1] = top - node.pos[1];
  }, [MENUS, MENUS + TITLE]);
  await page.setViewportSize(PAGE);
  const done = page.evaluate(() => new Promise((done) => window.app.api.addEventListener("execution_success", () => setTimeout(done, 3000), { once: true })));
  await page.locator(RUN).locator("visible=true").first().click();
  await done;
  await page.locator(".pusa-window").nth(2).click({ position: { x: 60, y: 30 } });
  await page.evaluate(() => {
    window.app.canvas.deselectAll?.();
    window.app.canvas.setDirty(true, true);
  });
  await settle(page);
  const view = await page.locator(".pusa-director").boundingBox();
  if (!view) throw new Error("the node has no tracks");
  const bottom = view.y + view.height + AROUND;
  const around = { x: view.x - AROUND, y: view.y - AROUND, width: view.width + 2 * AROUND, height: view.height + 2 * AROUND };
  await picture(page, "docs/screenshots/director.png", around);
  const width = await page.evaluate(() => window.app.graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaDirector").size[0]);
  // what a run adds below the tracks is left out
  await picture(page, "js/docs/PusaDirector.png", { x: MENUS - MARGIN, y: MENUS - ABOVE, width: width + 2 * MARGIN, height: bottom - MENUS + ABOVE });
} finally {
  await stop();
  await server.stop();
}

/**
 * A small file of a part of the page.
 * @param {import("playwright-core").Page} page
 * @param {string} name path from the checkout's root
 * @param {{x: number, y: number, width: number, height: number}} clip
 */
async function picture(page, name, clip) {
  const path = join(ROOT, name);
  await page.screenshot({ path, clip, timeout: PATIENCE });
  execFileSync(python, ["-c", SMALL, path], { cwd: ROOT });
}
