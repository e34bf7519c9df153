// Draws every node of the pack as the browser shows it, for its help page: js/docs/<NodeId>.png. Pusa Director's comes from a run: devtools/director_screenshot.js.
// node devtools/translations/help_pictures.js [NodeId ...], then python -m devtools.translations
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openComfy, settle, startBrowser, startServer } from "../../tests/browser/comfy_page.js";

const DOCS = fileURLToPath(new URL("../../js/docs/", import.meta.url));
const MARGIN = 14; // pixels left, right and below
const ABOVE = 2; // no more: the badge of the pack begins there
const TITLE = 30; // pixels of the title bar, which lies above a node's position
const CORNER = { x: 420, y: 200 }; // where the node stands, clear of ComfyUI's bars
const BARS = 100; // pixels that they take at the right and the bottom
const OTHERS = ["PusaDemoTextEncode", "PusaDirector"];

const server = await startServer();
const { context, stop } = await startBrowser();
try {
  const { page } = await openComfy(context, server.url);
  const types = await page.evaluate(() => Object.keys(window.LiteGraph.registered_node_types).filter((type) => type.startsWith("Pusa")));
  const wanted = process.argv.slice(2);
  for (const type of types.filter((each) => !OTHERS.includes(each) && (wanted.length === 0 || wanted.includes(each)))) {
    const box = await page.evaluate(
      ({ name, corner, title }) => {
        const { app, LiteGraph } = window;
        app.graph.clear();
        const node = LiteGraph.createNode(name);
        app.graph.add(node);
        app.canvas.ds.scale = 1;
        app.canvas.ds.offset = [0, 0];
        node.pos = [corner.x, corner.y];
        app.canvas.setDirty(true, true);
        const { x, y } = app.canvas.canvas.getBoundingClientRect();
        return { x: x + corner.x, y: y + corner.y - title, width: node.size[0], height: node.size[1] + title };
      },
      { name: type, corner: CORNER, title: TITLE },
    );
    await page.setViewportSize({ width: 1400, height: Math.max(900, Math.ceil(box.y + box.height) + BARS) });
    await settle(page);
    const clip = { x: box.x - MARGIN, y: box.y - ABOVE, width: box.width + 2 * MARGIN, height: box.height + ABOVE + MARGIN };
    await page.screenshot({ path: join(DOCS, `${type}.png`), clip });
  }
} finally {
  await stop();
  await server.stop();
}
