// Pictures of the templates as they open, one file each, for a look: node devtools/look.js FOLDER [WORDS OF THE NAME...]
// Both renderers; PUSA_FRONTEND chooses another frontend, as in tests/browser. PUSA_DEMOS=1 takes the demo versions, which have their models.
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PATIENCE, load, openComfy, settle, startBrowser, startServer } from "../tests/browser/comfy_page.js";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const [target, ...words] = process.argv.slice(2);
const folder = join(ROOT, ...(process.env.PUSA_DEMOS ? ["demo", "workflows"] : ["workflows"]));
const names = readdirSync(folder).filter((name) => name.endsWith(".json") && words.every((word) => name.includes(word)));

mkdirSync(target, { recursive: true });
const server = await startServer();
const { context, stop } = await startBrowser();
try {
  for (const vue of [false, true]) {
    const { page, errors } = await openComfy(context, server.url, { "Comfy.VueNodes.Enabled": vue });
    await page.setViewportSize({ width: 1600, height: 900 });
    for (const name of names) {
      await load(page, JSON.parse(readFileSync(join(folder, name), "utf8")));
      await settle(page);
      const file = `${name.replace(/\.json$/, "")} ${vue ? "nodes2" : "classic"}.png`;
      await page.screenshot({ path: join(target, file), timeout: PATIENCE });
      for (const error of errors.splice(0)) console.log(`${file}: ${error}`);
      console.log(file, await page.evaluate(() => `${window.app.graph.nodes.length} nodes, zoom ${window.app.canvas.ds.scale.toFixed(2)}`));
    }
    await page.close();
  }
} finally {
  await stop();
  await server.stop();
}
