import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { RENDERERS, comfyForThisFile, frames, openComfy, ready, settle } from "./comfy_page.js";
import { dragBy, dropOn, edgeOf, field, lookAtDirector, newDirector, onTheZoo, projectOf, textOf, tool, wave, windowAt } from "./director_page.js";
import { prompt } from "./timeline_page.js";

const PICTURE = readFileSync(new URL("dropped.png", import.meta.url)).toString("base64");
const THREE = { version: 1, window: 33, overlap: 13, windows: [{ id: "w1", prompt: "one" }, { id: "w2", prompt: "two" }, { id: "w3", prompt: "three" }] };

const comfy = comfyForThisFile();
/** @type {import("playwright-core").Page} */
let page;
/** @type {string[]} */
let errors;

const ids = async () => (await projectOf(page)).windows.map((/** @type {any} */ { id }) => id);

for (const vue of RENDERERS) {
  describe(vue ? "Nodes 2.0" : "classic renderer", () => {
    before(async () => {
      ({ page, errors } = await openComfy(comfy.browser.context, comfy.server.url, { "Comfy.VueNodes.Enabled": vue }));
      await page.setViewportSize({ width: 1400, height: 1400 });
    });
    after(async () => {
      await page.evaluate(() => window.localStorage.clear()); // or the next page would open with this one's graph and view
      await page.close();
    });
    afterEach(() => {
      assert.deepEqual(errors.splice(0), []);
    });

    test("a project is built by mouse: windows, borders, prompts, a split, another order", async () => {
      await newDirector(page);
      assert.deepEqual(await ids(), ["w1"]);
      await field(page, "prompt").fill("a red circle");
      await tool(page, "+ Window").click();
      await field(page, "prompt").fill("a blue circle");
      await tool(page, "+ Window").click();
      assert.deepEqual(await ids(), ["w1", "w2", "w3"]);
      await dragBy(page, edgeOf(page, 0, "end"), { dx: 60 });
      await dragBy(page, edgeOf(page, 2, "start"), { dx: -40 });
      const { windows } = await projectOf(page);
      assert.ok(windows[0].length > 81 && windows[0].length % 4 === 1, `length ${windows[0].length}`);
      assert.ok(windows[2].overlap > 13 && windows[2].overlap % 4 === 1, `overlap ${windows[2].overlap}`);
      assert.equal(windows[2].length - windows[2].overlap, 68);
      assert.deepEqual(windows.map((/** @type {any} */ window) => window.prompt), ["a red circle", "a blue circle", undefined]);
      await windowAt(page, 1).click();
      await tool(page, "Split").click();
      assert.deepEqual(await ids(), ["w1", "w2", "w4", "w3"]);
      await tool(page, "→").click();
      assert.deepEqual(await ids(), ["w1", "w2", "w3", "w4"]);
      assert.equal(await page.locator(".pusa-director-problem").isHidden(), true);
      const inputs = Object.values(await prompt(page))[0].inputs;
      assert.equal(inputs.project, await textOf(page));
      assert.equal("pusa_director" in inputs, false);
    });

    test("a window dragged past its neighbour changes places with it", async () => {
      await newDirector(page, THREE);
      const box = await windowAt(page, 1).boundingBox();
      await dragBy(page, windowAt(page, 0), { dx: Number(box?.width) * 1.2 });
      assert.deepEqual(await ids(), ["w2", "w1", "w3"]);
    });

    test("pictures, clips and sound are dropped, drawn, dragged and removed", async () => {
      await newDirector(page, THREE);
      await dropOn(page, "keys", 0.3, { name: "dropped.png", type: "image/png", data: PICTURE });
      await page.locator(".pusa-placed-keys").waitFor();
      const [key] = (await projectOf(page)).keys;
      assert.match(key.picture, /^dropped/);
      await dragBy(page, page.locator(".pusa-placed-keys"), { dx: 100 });
      const moved = (await projectOf(page)).keys[0].at;
      assert.ok(moved > key.at, `${moved} after ${key.at}`);
      await page.locator(".pusa-placed-keys").press("ArrowLeft");
      await page.locator(".pusa-placed-keys").press("ArrowUp");
      assert.deepEqual((await projectOf(page)).keys.map((/** @type {any} */ each) => [each.at, each.multiplier]), [[moved - 1, 0.05]]);
      await dropOn(page, "sound", 0.5, { name: "tone.wav", type: "audio/wav", data: wave(2) });
      await page.waitForFunction(() => (document.querySelector(".pusa-sound path")?.getAttribute("d")?.length ?? 0) > 100);
      assert.match((await projectOf(page)).sound.file, /^tone.*\.wav$/);
      await page.locator(".pusa-placed-keys").press("Delete");
      await page.locator(".pusa-sound").press("Delete");
      const project = await projectOf(page);
      assert.deepEqual([project.keys, project.sound], [undefined, undefined]);
    });

    test("prompts and LoRAs of their own tracks", async () => {
      await newDirector(page, THREE);
      const lane = await page.locator(".pusa-lane.pusa-lane-prompts").boundingBox();
      await page.mouse.dblclick(Number(lane?.x) + Number(lane?.width) * 0.5, Number(lane?.y) + 10);
      await field(page, "text").fill("from here on");
      const [timed] = (await projectOf(page)).prompts;
      assert.equal(timed.text, "from here on");
      assert.ok(timed.at > 1 && timed.at < 4, String(timed.at));
      await windowAt(page, 0).click();
      await page.getByRole("button", { name: "+ LoRA" }).click();
      const lora = page.locator(".pusa-lora");
      await dragBy(page, lora, { dy: 8 });
      const { strength, name } = (await projectOf(page)).windows[0].loras[0];
      assert.ok(strength < 1 && strength > 0, String(strength));
      assert.match(name, /^demo_/);
      await lora.press("ArrowUp");
      assert.equal((await projectOf(page)).windows[0].loras[0].strength, Number((strength + 0.05).toFixed(2)));
    });

    test("lock, bridge and retake are written, and a locked window cannot be changed", async () => {
      await newDirector(page, THREE);
      await windowAt(page, 1).click();
      await tool(page, "Bridge").click();
      await page.getByLabel("Candidates of a retake").fill("3");
      await tool(page, "Retake").click();
      assert.deepEqual((await projectOf(page)).windows[1], { id: "w2", prompt: "two", bridge: true, retake: 1, candidates: 3 });
      await tool(page, "Lock").click();
      assert.equal((await projectOf(page)).windows[1].lock, true);
      const before_ = await textOf(page);
      assert.equal(await field(page, "prompt").isDisabled(), true);
      await windowAt(page, 1).press("Delete");
      await windowAt(page, 1).press("+");
      assert.equal(await textOf(page), before_);
      await tool(page, "Unlock").click();
      assert.equal((await projectOf(page)).windows[1].lock, undefined);
    });

    test("the keyboard does everything: arrows, +, L, S, Alt, Insert, Delete, Enter", async () => {
      await newDirector(page, THREE);
      await windowAt(page, 0).focus();
      await page.keyboard.press("ArrowRight");
      assert.match(String(await page.evaluate(() => document.activeElement?.getAttribute("aria-label"))), /^Window w2, 2 of 3: frames 33 to 52, 2\.06 s to 3\.31 s, 13 taken over; to make$/);
      await page.keyboard.press("+");
      assert.equal((await projectOf(page)).windows[1].length, 37);
      await page.keyboard.press("Alt+ArrowRight");
      assert.deepEqual(await ids(), ["w1", "w3", "w2"]);
      await page.keyboard.press("Insert");
      assert.deepEqual(await ids(), ["w1", "w3", "w2", "w4"]);
      await page.keyboard.press("Delete");
      assert.deepEqual(await ids(), ["w1", "w3", "w2"]);
      await page.keyboard.press("l");
      assert.equal((await projectOf(page)).windows[2].lock, true);
      await page.keyboard.press("l");
      await page.keyboard.press("Enter");
      await page.keyboard.type("!");
      assert.equal((await projectOf(page)).windows[2].prompt, "two!");
      assert.equal(await page.evaluate(() => window.app.canvas.graph.nodes.length), 1);
    });

    test("keys that no part takes do not reach the node, after a click on a button, the ruler or a list", async () => {
      const lora = { name: "demo_pusa_v1.safetensors", strength: 1 };
      await newDirector(page, { ...THREE, windows: [{ id: "w1", prompt: "one", loras: [lora] }] });
      await page.evaluate(() => {
        window.app.keysSeen = [];
        window.addEventListener("keydown", ({ key }) => window.app.keysSeen.push(key));
      });
      await windowAt(page, 0).click();
      for (const part of [tool(page, "Whole video"), page.locator(".pusa-director-ruler"), tool(page, "Lock"), tool(page, "Unlock")]) {
        await part.click();
        for (const key of ["Delete", "Backspace"]) await page.keyboard.press(key);
      }
      await windowAt(page, 0).click();
      await page.getByLabel("LoRA", { exact: true }).focus();
      await page.keyboard.press("Backspace");
      await page.keyboard.press("d");
      assert.deepEqual(await page.evaluate(() => window.app.keysSeen), []);
      assert.equal(await page.evaluate(() => window.app.canvas.graph.nodes.length), 1);
      assert.deepEqual(await ids(), ["w1"]);
    });

    test("a place that is emptied comes back", async () => {
      await newDirector(page, { ...THREE, keys: [{ at: 40, picture: "a.png" }], prompts: [{ at: 2, text: "two" }] });
      const before_ = await projectOf(page);
      for (const [list, at] of [["keys", "40"], ["prompts", "2"]]) {
        await page.locator(`.pusa-placed-${list}`).first().focus();
        await field(page, "at").fill("");
        await field(page, "at").press("Enter");
        await frames(page);
        assert.equal(await field(page, "at").inputValue(), at);
      }
      assert.deepEqual(await projectOf(page), before_);
    });

    test("a LoRA of a locked window stays", async () => {
      const windows = [{ id: "w1", prompt: "one", lock: true, loras: [{ name: "demo_pusa_v1.safetensors", strength: 1 }] }];
      await newDirector(page, { ...THREE, windows });
      await page.locator(".pusa-lora").focus();
      assert.equal(await tool(page, "Remove").isDisabled(), true);
      await page.keyboard.press("Delete");
      assert.deepEqual((await projectOf(page)).windows, windows);
    });

    test("undo takes back one drag, redo repeats it", async () => {
      await newDirector(page, THREE);
      await dragBy(page, edgeOf(page, 2, "end"), { dx: -50 });
      const after_ = await textOf(page);
      assert.ok((await projectOf(page)).windows[2].length < 33);
      await windowAt(page, 2).focus();
      await page.keyboard.press("Control+z");
      await settle(page);
      assert.equal((await projectOf(page)).windows[2].length, undefined);
      await page.evaluate(() => window.app.extensionManager.workflow.activeWorkflow.changeTracker.redo());
      await settle(page);
      assert.equal(await textOf(page), after_);
    });

    test("a text that cannot be read is shown with its sentence, kept, and mended in place", async () => {
      await newDirector(page, THREE);
      const bad = '{"version": 1, "windows": [';
      await tool(page, "Text").click();
      await page.locator(".pusa-director-text").fill(bad);
      await frames(page);
      assert.match(String(await page.locator(".pusa-director-problem").textContent()), /^project is no JSON: /);
      assert.equal(await tool(page, "+ Window").isDisabled(), true);
      assert.equal(await textOf(page), bad);
      await page.locator(".pusa-director-text").fill(JSON.stringify({ ...THREE, windows: [{ id: "w1", prompt: "x", length: 34 }] }));
      await frames(page);
      assert.equal(await page.locator(".pusa-director-problem").textContent(), "windows[0].length is 34 frames; Wan makes 4n + 1: use 33 or 37.");
      await tool(page, "Text").click();
      await windowAt(page, 0).press("+");
      assert.equal((await projectOf(page)).windows[0].length, 37);
      assert.equal(await page.locator(".pusa-director-problem").isHidden(), true);
    });

    test("a copy has tracks and a text of its own", async () => {
      await newDirector(page, THREE);
      await page.evaluate(() => {
        const { canvas } = window.app;
        const [node] = canvas.graph.nodes;
        canvas.selectNode(node);
        canvas.copyToClipboard();
        canvas.pasteFromClipboard({ position: [node.pos[0] + node.size[0] + 60, node.pos[1]] });
      });
      await settle(page);
      await windowAt(page, 0).focus();
      await page.keyboard.press("Delete");
      assert.deepEqual(await ids(), ["w2", "w3"]);
      assert.equal((await projectOf(page, 1)).windows.length, 3);
      assert.equal(await page.locator(".pusa-director").count(), 2);
    });

    test("a project is run on the zoo, played, locked, retaken, bridged, and found again after a reload", async () => {
      const name = vue ? "director_vue" : "director_classic";
      const bytes = (/** @type {string} */ file) => createHash("sha256").update(readFileSync(join(comfy.server.base, "output", name, file))).digest("hex");
      await onTheZoo(page, name);
      await tool(page, "Whole video").click();
      await fill("window", "17");
      await fill("overlap", "5");
      await windowAt(page, 0).click();
      await field(page, "prompt").fill("a large red circle moving right slowly on a dark background");
      await tool(page, "+ Window").click();
      await tool(page, "+ Window").click();
      assert.equal(await page.locator(".pusa-director-problem").isHidden(), true);
      assert.deepEqual(await marks(), ["to make", "to make", "to make"]);
      const first = await run();
      assert.deepEqual(first.map(({ window, state }) => `${window} ${state}`), ["w1 running", "w1 finished", "w2 running", "w2 finished", "w3 running", "w3 finished"]);
      await has(["finished", "finished", "finished"]);

      await windowAt(page, 1).click();
      await page.locator(".pusa-play").click();
      await page.waitForFunction(() => Number(/** @type {HTMLVideoElement | null} */ (document.querySelector(".pusa-player video"))?.currentTime) > 0.1);
      await page.locator(".pusa-play").click();

      await windowAt(page, 2).press("l");
      const locked = bytes("w3.0.mp4");
      await windowAt(page, 1).click();
      await page.getByLabel("Candidates of a retake").fill("2");
      await tool(page, "Retake").click();
      await has(["finished", "changed", "locked, finished"]);
      const second = await run();
      assert.deepEqual(second.map(({ window, candidate, state }) => `${window}.${candidate} ${state}`), ["w1.0 kept", "w2.0 running", "w2.0 finished", "w2.1 running", "w2.1 finished", "w3.0 locked"]);
      await has(["finished", "1/2, finished", "locked, finished"]);
      assert.equal(bytes("w3.0.mp4"), locked);
      await page.getByRole("radio", { name: "Candidate 2" }).click();
      await tool(page, "Bridge").click();
      await run();
      await has(["finished", "bridge, 2/2, finished", "locked, finished"]);
      assert.equal(bytes("w3.0.mp4"), locked);

      const text = await textOf(page);
      await page.waitForTimeout(1200); // ComfyUI keeps an unsaved graph with a delay
      await page.reload();
      await ready(page);
      await page.waitForFunction(() => window.app.graph.nodes.length > 3, null);
      await lookAtDirector(page);
      assert.equal(await textOf(page), text);
      await has(["finished", "bridge, 2/2, finished", "locked, finished"]);
      await windowAt(page, 1).click();
      assert.equal(await page.getByRole("radio", { name: "Candidate 2" }).getAttribute("aria-checked"), "true");
    });
  });
}

/**
 * Types a number into the form.
 * @param {string} name
 * @param {string} value
 */
async function fill(name, value) {
  await field(page, name).fill(value);
  await field(page, name).press("Enter");
  await frames(page);
}

/** The marks on every window. */
async function marks() {
  const titles = await page.locator(".pusa-window-title").evaluateAll((all) => all.map((title) => [...title.querySelectorAll(".pusa-mark")].map((mark) => mark.textContent).join(", ")));
  return titles;
}

/** Waits until the windows have these marks. @param {string[]} wanted */
async function has(wanted) {
  for (let tries = 0; tries < 80 && JSON.stringify(await marks()) !== JSON.stringify(wanted); tries += 1) await page.waitForTimeout(250);
  assert.deepEqual(await marks(), wanted);
}

/**
 * Presses Run and waits for the end.
 * @returns {Promise<{window: string, candidate: number, state: string}[]>} what the server said about the windows
 */
async function run() {
  const ended = page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const { api } = window.app;
        /** @type {any[]} */
        const said = [];
        api.addEventListener("pusa.director", (/** @type {any} */ { detail }) => said.push(detail));
        api.addEventListener("execution_success", () => resolve(said), { once: true });
        api.addEventListener("execution_error", (/** @type {any} */ { detail }) => reject(new Error(detail.exception_message)), { once: true });
      }),
  );
  const button = page.locator("button[data-testid=queue-button]"); // older frontends have it in a group
  await ((await button.count()) > 0 ? button : page.locator("[data-testid=queue-button] button, .queue-button-group button")).first().click();
  return ended;
}
