import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { describe, test } from "node:test";
import { PATIENCE, RENDERERS, comfyForThisFile, load, openComfy, settle } from "./comfy_page.js";
import { saved } from "./timeline_page.js";

const FOLDERS = { template: new URL("../../workflows/", import.meta.url), demo: new URL("../../demo/workflows/", import.meta.url) };

/** @typedef {import("playwright-core").Page} Page */

const MISSING_DIALOG = ".comfy-missing-models";
/** In App Mode's form: leads to the graph and the panel that lists what is missing. */
const SHOW_IN_GRAPH = "[data-testid=linear-run-button] button:has-text('Show errors in graph')";
/** Where models are said to be missing, in any frontend. */
const MISSING = `${MISSING_DIALOG}, [data-testid=error-overlay], ${SHOW_IN_GRAPH}`;
/** Milliseconds for what is on the page already. */
const SOON = 15_000;

/** Pixels that rounding may take. */
const ROUNDING = 1;

const comfy = comfyForThisFile();

/** @param {URL} folder */
function workflowsIn(folder) {
  return readdirSync(folder).filter((name) => name.endsWith(".json"));
}

/**
 * The first of each task, with LightX2V where there is one: the others differ only in their loaders.
 * @param {string[]} names
 */
function oneOfEachTask(names) {
  const task = (/** @type {string} */ name) => name.replace(/ \(.*/, "");
  const first = (/** @type {string} */ name) => names.find((each) => task(each) === task(name) && each.includes("LightX2V")) ?? names.find((each) => task(each) === task(name));
  return names.filter((name) => name === first(name));
}

/**
 * @param {URL} folder
 * @param {string} name
 */
function read(folder, name) {
  return JSON.parse(readFileSync(new URL(encodeURIComponent(name), folder), "utf8"));
}

/**
 * The model files that a workflow asks for and the server lacks, as ComfyUI lists them: "folder / file".
 * @param {any} workflow
 */
async function missingModels(workflow) {
  const wanted = new Set();
  const boxed = (workflow.definitions?.subgraphs ?? []).flatMap((/** @type {any} */ { nodes }) => nodes);
  for (const node of [...workflow.nodes, ...boxed]) {
    for (const { name, directory } of node.properties?.models ?? []) wanted.add(`${directory} / ${name}`);
  }
  const missing = [];
  for (const label of wanted) {
    const [directory, name] = label.split(" / ");
    if (!(await (await fetch(`${comfy.server.url}/models/${directory}`)).json()).includes(name)) missing.push(label);
  }
  return missing.sort();
}

/**
 * Checks that the page names exactly these model files as missing: in a dialog, from frontend 1.49 on in a panel behind a message.
 * @param {Page} page
 * @param {string[]} missing "folder / file"
 */
async function namesTheMissing(page, missing) {
  await page.locator(MISSING).locator("visible=true").first().waitFor();
  if ((await page.locator(MISSING_DIALOG).count()) > 0) {
    const labels = await page.locator(`${MISSING_DIALOG} li span[title]`).allTextContents();
    assert.deepEqual(labels.map((label) => label.trim()).sort(), missing);
    return;
  }
  await page.locator(`[data-testid=error-overlay-see-errors], ${SHOW_IN_GRAPH}`).locator("visible=true").click();
  for (const label of missing) {
    await page.getByText(label.split(" / ")[1], { exact: true }).first().waitFor({ timeout: SOON });
  }
  await page.evaluate(() => window.app.extensionManager.setting.set("Comfy.RightSidePanel.IsOpen", false));
}

/**
 * Closes what lies over the graph after loading.
 * @param {Page} page
 */
async function closeMessages(page) {
  while ((await page.locator(".p-dialog").count()) > 0) {
    await page.keyboard.press("Escape");
    await page.waitForTimeout(150);
  }
  const dismiss = page.locator("[data-testid=error-overlay-dismiss]");
  // Without waiting for it to stand still: a message that leaves by itself would be gone before.
  await dismiss.evaluateAll((buttons) => buttons.forEach((button) => /** @type {HTMLElement} */ (button).click()));
  await dismiss.first().waitFor({ state: "detached" });
}

/**
 * Pairs of nodes that lie over one another, once their pictures and players are there.
 * @param {Page} page
 * @returns {Promise<string[]>}
 */
async function overlaps(page) {
  await page.waitForFunction(() => [...document.images].every(({ complete }) => complete), null);
  await settle(page);
  return page.evaluate((rounding) => {
    const { canvas, graph } = window.app;
    const { scale } = canvas.ds;
    const boxes = graph.nodes.map((/** @type {any} */ node) => {
      const drawn = document.querySelector(`.lg-node[data-node-id="${node.id}"]`)?.getBoundingClientRect();
      const [left, top, width, height] = node.boundingRect;
      const box = drawn ? { left: drawn.left / scale, top: drawn.top / scale, right: drawn.right / scale, bottom: drawn.bottom / scale } : { left, top, right: left + width, bottom: top + height };
      return { name: `${node.type} ${node.id}`, ...box };
    });
    return boxes.flatMap((/** @type {any} */ one, /** @type {number} */ i) =>
      boxes.slice(i + 1).flatMap((/** @type {any} */ other) => {
        const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
        const high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
        return wide > rounding && high > rounding ? [`${one.name} and ${other.name}, ${Math.round(wide)} x ${Math.round(high)}`] : [];
      }),
    );
  }, ROUNDING);
}

for (const vue of RENDERERS) {
  describe(`workflows in ${vue ? "Nodes 2.0" : "the classic renderer"}`, () => {
    test("each loads unchanged, without a console error, a missing node or an overlap, and names the model files that are missing", async (context) => {
      const { page, errors } = await openComfy(comfy.browser.context, comfy.server.url, { "Comfy.VueNodes.Enabled": vue, "Comfy.Workflow.ShowMissingModelsWarning": true });
      for (const [kind, folder] of Object.entries(FOLDERS)) {
        const names = workflowsIn(folder);
        for (const name of vue || kind === "demo" ? oneOfEachTask(names) : names) {
          await context.test(name, async () => {
            const workflow = read(folder, name);
            await load(page, workflow);
            assert.deepEqual(errors.splice(0), []);
            assert.equal(await page.locator(".comfy-missing-nodes").count(), 0, "a missing-nodes dialog is open");
            const missing = await missingModels(workflow);
            if (missing.length > 0) await namesTheMissing(page, missing);
            else assert.equal(await page.locator(MISSING).count(), 0, "models are said to be missing");
            if (kind === "demo") assert.deepEqual(missing, []);
            await closeMessages(page);
            assert.deepEqual(await overlaps(page), [], "nodes overlap");
            const graph = await saved(page);
            for (const node of workflow.nodes) {
              if (node.properties?.proxyWidgets) continue; // a box, which each frontend saves in its own way: boxes.test.js
              const loaded = graph.nodes.find((/** @type {any} */ each) => each.id === node.id);
              assert.deepEqual(loaded.widgets_values ?? [], node.widgets_values ?? [], node.type);
              if (!vue && node.type.startsWith("Pusa")) assert.ok(loaded.size[1] <= Math.ceil(node.size[1]) + 1, `${node.type} ${node.id} grew from ${node.size[1]} to ${loaded.size[1]}`);
            }
          });
        }
      }
      await page.close();
    });
  });
}

describe("the template browser", () => {
  test("lists every workflow under its name with its picture, and opens one in three clicks", async () => {
    const { page, errors } = await openComfy(comfy.browser.context, comfy.server.url, { "Comfy.Workflow.ShowMissingModelsWarning": true });
    await page.locator(".templates-tab-button, [data-testid=templates-button], .side-bar-button:has-text('Templates')").first().click();
    await page.getByText("ComfyUI-Pusa", { exact: true }).first().click();
    const names = workflowsIn(FOLDERS.template).map((name) => name.replace(/\.json$/, ""));
    for (const name of names) {
      const picture = await fetch(`${comfy.server.url}/api/workflow_templates/ComfyUI-Pusa/${encodeURIComponent(name)}.jpg`);
      assert.equal(picture.status, 200, `${name}.jpg`);
    }
    const card = page.locator("[data-testid^=template-workflow-]").first();
    await card.waitFor();
    await card.locator("img").first().click();
    await page.locator(MISSING).first().waitFor({ timeout: PATIENCE });
    assert.ok((await page.evaluate(() => window.app.graph.nodes.length)) > 2);
    assert.deepEqual(errors, []);
    await page.close();
  });
});
