// Draws a whole graph after a real run on the demo's models: docs/screenshots/image-to-video.png, and its video as a GIF.
// With PUSA_FRONTEND, a frontend that has App Mode, it draws the form instead: docs/screenshots/form.png.
// node devtools/screenshot.js
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PATIENCE, RUN, load, openComfy, settle, startBrowser, startServer } from "../tests/browser/comfy_page.js";
import { python } from "../tests/js/python.js";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const NAME = "image-to-video (Wan2.2)";
const PICTURE = "docs/screenshots/image-to-video.png";
const FORM = "docs/screenshots/form.png";
const FORM_SIZE = { width: 1120, height: 860 };
const GIF = "docs/screenshots/image-to-video.gif";
const SCALE = 0.7; // of the canvas; below 0.6 it leaves out the text
const MARGIN = 16; // pixels around the graph
const MENUS = 190; // pixels that ComfyUI's bars take at the top and the left; they are cut off
const SECOND = 1; // of the video that is shown
const TO_GIF = `
import sys
from PIL import Image
from demo.inputs import read_video
frames = [Image.fromarray(frame).resize((256, 256), Image.Resampling.NEAREST) for frame in read_video(sys.argv[1])]
frames[0].save(sys.argv[2], save_all=True, append_images=frames[1:], duration=60, loop=0)
`;

const server = await startServer();
const { context, stop } = await startBrowser();
try {
  const { page } = await openComfy(context, server.url);
  await load(page, JSON.parse(readFileSync(join(ROOT, "demo", "workflows", `Demo - ${NAME}.json`), "utf8")));
  // A playing video has the canvas drawn without end: without a GPU no screenshot is then ever finished.
  await page.evaluate(() => {
    HTMLMediaElement.prototype.play = async () => {};
  });
  const done = page.evaluate(
    () => new Promise((done) => window.app.api.addEventListener("execution_success", () => setTimeout(done, 4000), { once: true })),
  );
  await page.locator(RUN).locator("visible=true").first().click();
  await done;
  if (server.frontend) await form(page);
  else await graph(page);
} finally {
  await stop();
  await server.stop();
}

/**
 * The form with its result.
 * @param {import("playwright-core").Page} page
 */
async function form(page) {
  await page.setViewportSize(FORM_SIZE);
  await page.evaluate((second) => {
    for (const video of document.querySelectorAll("video")) {
      video.pause();
      video.currentTime = second;
    }
  }, SECOND);
  // an older server does not tell this frontend that the run has ended
  for (const cancel of await page.getByRole("button", { name: "Cancel this run" }).all()) await cancel.evaluate((button) => button.remove());
  await settle(page);
  await page.screenshot({ path: join(ROOT, FORM), timeout: PATIENCE });
}

/**
 * The whole graph, and its video.
 * @param {import("playwright-core").Page} page
 */
async function graph(page) {
  const [width, height] = await page.evaluate(
    ({ corner, scale, second }) => {
      for (const video of document.querySelectorAll("video")) {
        video.pause();
        video.currentTime = second;
      }
      const { canvas, graph } = window.app;
      const boxes = [...graph.nodes, ...graph.groups].map((/** @type {any} */ each) => [...each.boundingRect]);
      const [left, top] = [0, 1].map((axis) => Math.min(...boxes.map((box) => box[axis])));
      const [right, bottom] = [0, 1].map((axis) => Math.max(...boxes.map((box) => box[axis] + box[axis + 2])));
      canvas.ds.scale = scale;
      canvas.ds.offset[0] = corner / scale - left;
      canvas.ds.offset[1] = corner / scale - top;
      return [(right - left) * scale, (bottom - top) * scale];
    },
    { corner: MENUS + MARGIN, scale: SCALE, second: SECOND },
  );
  await page.setViewportSize({ width: Math.ceil(width) + 2 * MENUS, height: Math.ceil(height) + 2 * MENUS });
  await page.evaluate(() => window.app.canvas.setDirty(true, true));
  await settle(page);
  const clip = { x: MENUS, y: MENUS, width: width + 2 * MARGIN, height: height + 2 * MARGIN };
  await page.screenshot({ path: join(ROOT, PICTURE), clip, timeout: PATIENCE });
  const folder = join(server.base, "output");
  const video = readdirSync(folder, { recursive: true }).map(String).find((name) => name.endsWith(".mp4"));
  execFileSync(python, ["-c", TO_GIF, join(folder, String(video)), join(ROOT, GIF)], { cwd: ROOT });
}
