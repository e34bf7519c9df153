// Pictures of the templates as they open, one file each, for a look: node devtools/look.js FOLDER [WORDS OF THE NAME...]
// Both renderers; PUSA_FRONTEND chooses another frontend, as in tests/browser. PUSA_DEMOS=1 takes the demo versions, which have their models.
// PUSA_GRAPHS=1 opens as graphs what would open as a form. At the end: how much higher Nodes 2.0 draws a type, for TALLER_IN_NODES_2 of workflows/layout.py.
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PATIENCE, load, openComfy, settle, startBrowser, startServer } from "../tests/browser/comfy_page.js";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const TITLE = 30; // pixels of the title bar, which lies above a node's position
const [target, ...words] = process.argv.slice(2);
const folder = join(ROOT, ...(process.env.PUSA_DEMOS ? ["demo", "workflows"] : ["workflows"]));
const names = readdirSync(folder).filter((name) => name.endsWith(".json") && words.every((word) => name.includes(word)));

/** Pixels by type, the most of all templates. @type {Record<string, number>} */
const higher = {};

mkdirSync(target, { recursive: true });
const server = await startServer();
const { context, stop } = await startBrowser();
try {
  for (const vue of [false, true]) {
    const { page, errors } = await openComfy(context, server.url, { "Comfy.VueNodes.Enabled": vue });
    await page.setViewportSize({ width: 1600, height: 900 });
    for (const name of names) {
      const workflow = JSON.parse(readFileSync(join(folder, name), "utf8"));
      if (process.env.PUSA_GRAPHS) delete workflow.extra.linearMode;
      await load(page, workflow);
      await settle(page);
      const file = `${name.replace(/\.json$/, "")} ${vue ? "nodes2" : "classic"}.png`;
      await page.screenshot({ path: join(target, file), timeout: PATIENCE });
      for (const error of errors.splice(0)) console.log(`${file}: ${error}`);
      console.log(file, await page.evaluate(() => `${window.app.graph.nodes.length} nodes, zoom ${window.app.canvas.ds.scale.toFixed(2)}`));
      for (const [type, pixels] of await heights(page)) higher[type] = Math.max(higher[type] ?? 0, pixels);
    }
    await page.close();
  }
  for (const type of Object.keys(higher).sort()) console.log(`${type}: ${Math.round(higher[type])} pixels higher`);
} finally {
  await stop();
  await server.stop();
}

/**
 * What Nodes 2.0 draws below a node's own height, of those on the page.
 * @param {import("playwright-core").Page} page
 * @returns {Promise<[string, number][]>} type and pixels at zoom 1; nothing in the classic renderer and behind a form
 */
async function heights(page) {
  return page.evaluate((title) => {
    const { canvas, graph } = window.app;
    return graph.nodes.flatMap((/** @type {any} */ node) => {
      const drawn = document.querySelector(`.lg-node[data-node-id="${node.id}"]`)?.getBoundingClientRect();
      return drawn?.height ? [[node.type, drawn.height / canvas.ds.scale - title - node.size[1]]] : [];
    });
  }, TITLE);
}
