import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { RENDERERS, comfyForThisFile, load, openComfy, settle } from "./comfy_page.js";
import { prompt } from "./timeline_page.js";

const IMAGE_TO_VIDEO = JSON.parse(readFileSync(new URL("../../demo/workflows/Demo - image-to-video step by step (Wan2.2 + LightX2V).json", import.meta.url), "utf8"));

const comfy = comfyForThisFile();

for (const vue of RENDERERS) {
  describe(vue ? "in Nodes 2.0" : "in the classic renderer", () => {
    /** @type {import("playwright-core").Page} */
    let page;
    /** @type {string[]} */
    let errors;
    before(async () => {
      ({ page, errors } = await openComfy(comfy.browser.context, comfy.server.url, { "Comfy.VueNodes.Enabled": vue }));
    });
    after(async () => {
      assert.deepEqual(errors, []);
      await page.close();
    });

    test("a command turns image-to-video into start-end frames, and undo takes it back", async () => {
      await load(page, IMAGE_TO_VIDEO);
      const first = await prompt(page);
      await page.evaluate(() => window.app.extensionManager.command.execute("Pusa.ToStartEnd"));
      await settle(page);
      const nodes = await prompt(page);
      const [injector] = Object.values(nodes).filter((node) => node.class_type === "PusaConditionFrames");
      assert.deepEqual([injector.inputs.positions, injector.inputs.noise_multipliers], ["0, -1", "0.2, 0.5"]);
      const joiner = nodes[injector.inputs.images[0]];
      assert.equal(joiner.class_type, "ImageBatch");
      assert.deepEqual([joiner.inputs.image1, joiner.inputs.image2].map(([id]) => nodes[id].class_type), ["LoadImage", "LoadImage"]);
      await page.evaluate(() => window.app.extensionManager.workflow.activeWorkflow.changeTracker.undo());
      await settle(page);
      assert.deepEqual(await prompt(page), first);
    });

    test("a command turns image-to-video into an extension with the authors' multipliers", async () => {
      await load(page, IMAGE_TO_VIDEO);
      await page.evaluate(() => window.app.extensionManager.command.execute("Pusa.ToExtension"));
      await settle(page);
      const nodes = await prompt(page);
      assert.equal(Object.values(nodes).some((node) => node.class_type === "PusaConditionFrames"), false);
      const [id, injector] = Object.entries(nodes).find(([, node]) => node.class_type === "PusaConditionVideo") ?? [];
      assert.equal(injector.inputs.noise_multipliers, "0.2, 0.4, 0.4, 0.4");
      assert.deepEqual(["vae", "latent", "video"].map((name) => nodes[injector.inputs[name][0]].class_type), ["VAELoader", "EmptyHunyuanLatentVideo", "LoadVideo"]);
      const sampler = Object.values(nodes).find((node) => node.class_type === "PusaSampler");
      assert.deepEqual(sampler.inputs.latent, [id, 0]);
      assert.equal(await page.locator(".pusa-handle").count(), 4);
      assert.equal(await page.locator(".pusa-problem").textContent(), "");
    });

    test("in a box both commands connect to the box, and the graph can be queued", async () => {
      await inABox(page);
      await page.evaluate(() => window.app.extensionManager.command.execute("Pusa.ToStartEnd"));
      let nodes = await prompt(page);
      let injector = Object.values(nodes).find((node) => node.class_type === "PusaConditionFrames");
      const joiner = nodes[injector.inputs.images[0]];
      assert.deepEqual([joiner.inputs.image1, joiner.inputs.image2].map(([id]) => nodes[id].class_type), ["LoadImage", "LoadImage"]);
      await inABox(page);
      await page.evaluate(() => window.app.extensionManager.command.execute("Pusa.ToExtension"));
      nodes = await prompt(page);
      const [id, video] = Object.entries(nodes).find(([, node]) => node.class_type === "PusaConditionVideo") ?? [];
      assert.deepEqual(["vae", "latent", "video"].map((name) => nodes[video.inputs[name][0]].class_type), ["VAELoader", "EmptyHunyuanLatentVideo", "LoadVideo"]);
      assert.deepEqual(Object.values(nodes).find((node) => node.class_type === "PusaSampler").inputs.latent, [id, 0]);
      await page.evaluate(() => window.app.canvas.setGraph(window.app.graph));
    });

    test("a command leaves an injector alone whose positions come from elsewhere", async () => {
      await load(page, IMAGE_TO_VIDEO);
      await page.evaluate(() => {
        const { graph } = window.app;
        const text = window.LiteGraph.createNode("PrimitiveString");
        graph.add(text);
        const injector = graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaConditionFrames");
        text.connect(0, injector, injector.inputs.findIndex((/** @type {any} */ { name }) => name === "positions"));
      });
      const before_ = await prompt(page);
      await page.evaluate(() => window.app.extensionManager.command.execute("Pusa.ToStartEnd"));
      assert.deepEqual(await prompt(page), before_);
    });

    test("a doctor in a box is queued by the id that it runs under", async () => {
      await load(page, IMAGE_TO_VIDEO);
      const [asked, id] = await page.evaluate(async () => {
        const { app, LiteGraph } = window;
        const doctor = LiteGraph.createNode("PusaDoctor");
        app.graph.add(doctor);
        const { node, subgraph } = app.graph.convertToSubgraph(new Set([doctor]));
        const { queuePrompt } = app;
        /** @type {unknown} */
        let asked;
        app.queuePrompt = async (/** @type {unknown[]} */ ...all) => (asked = all[2]);
        await app.extensionManager.command.execute("Pusa.CheckGraph");
        app.queuePrompt = queuePrompt;
        return [asked, `${node.id}:${subgraph.nodes[0].id}`];
      });
      assert.deepEqual(asked, [id]);
    });

    test("a new Long Video keeps its seed, a loaded one does what it was saved with", async () => {
      await load(page, IMAGE_TO_VIDEO);
      const controls = await page.evaluate(async () => {
        const { app, LiteGraph } = window;
        const controlOf = () => app.graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaLongVideo").widgets.find((/** @type {any} */ each) => each.name === "control_after_generate");
        app.graph.add(LiteGraph.createNode("PusaLongVideo"));
        const fresh = controlOf().value;
        controlOf().value = "randomize";
        await app.loadGraphData(app.graph.serialize(), true, true);
        return [fresh, controlOf().value];
      });
      assert.deepEqual(controls, ["fixed", "randomize"]);
    });

    test("a loader shows the report of its run, with its coverage as a badge, and saves none of it", async () => {
      await load(page, IMAGE_TO_VIDEO);
      const saved = await page.evaluate(() => {
        const node = window.app.graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaLoraLoader");
        const before_ = node.serialize().widgets_values;
        node.onExecuted({ text: ["Pusa LoRA: demo.safetensors\nLayers: 30 of 30 matched\nRank: 32"] });
        node.onExecuted({ text: ["Pusa LoRA: demo.safetensors\nLayers: 30 of 30 matched\nRank: 32"] });
        window.app.canvas.ds.offset[0] = -node.pos[0] + 300;
        window.app.canvas.ds.offset[1] = -node.pos[1] + 150;
        window.app.canvas.setDirty(true, true);
        return [before_, node.serialize().widgets_values];
      });
      await settle(page);
      assert.deepEqual(saved[1], saved[0]);
      assert.equal(await page.locator(".pusa-badge").count(), 1);
      assert.equal(await page.locator(".pusa-badge").textContent(), "30 of 30 layers");
      assert.match(String(await page.locator(".pusa-report-text").textContent()), /Rank: 32/);
    });

    for (const [type, text] of [
      ["PusaSampler", "1 given frame: latent frame 0 (video frame 0) at 0.2."],
      ["PusaVectorizedTimesteps", "No given frames: plain text-to-video.\nWarning: The frames given by A (node 1) are lost in B (node 2)."],
      ["PusaLongVideo", "Window 1: no given frames: plain text-to-video.\nWindows 2 to 3: 4 given frames: latent frames 0 to 3 (video frames 0 to 12) at 0.2."],
    ]) {
      test(`${type} says its given frames`, async () => {
        await load(page, IMAGE_TO_VIDEO);
        await page.evaluate(([kind, said]) => {
          const node = window.LiteGraph.createNode(kind);
          window.app.graph.add(node);
          node.onExecuted({ text: [said] });
          window.app.canvas.ds.offset[0] = -node.pos[0] + 300;
          window.app.canvas.ds.offset[1] = -node.pos[1] + 150;
          window.app.canvas.setDirty(true, true);
        }, [type, text]);
        await settle(page);
        assert.deepEqual(await page.locator(".pusa-report-text").allTextContents(), [text]);
        const box = await page.locator(".pusa-report").boundingBox();
        const scale = await page.evaluate(() => window.app.canvas.ds.scale);
        assert.ok(box && box.height / scale > 40, JSON.stringify([box, scale]));
      });
    }

    test("a new loader says its expert in title and colour as soon as it is set", async () => {
      await load(page, IMAGE_TO_VIDEO);
      const said = await page.evaluate(() => {
        const node = window.LiteGraph.createNode("PusaLoraLoader");
        window.app.graph.add(node);
        const widget = node.widgets.find((/** @type {any} */ each) => each.name === "expert");
        const seen = [];
        for (const value of ["high_noise", "low_noise", "wan2.1"]) {
          widget.value = value;
          widget.callback(value);
          seen.push([node.title, node.color ?? null]);
        }
        return seen;
      });
      assert.deepEqual(said, [
        ["Pusa LoRA Loader (high noise)", "#7a4a1c"],
        ["Pusa LoRA Loader (low noise)", "#23497a"],
        ["Pusa LoRA Loader", null],
      ]);
    });
  });
}

/**
 * Image-to-video with its injector in a box, and the box open.
 * @param {import("playwright-core").Page} page
 */
async function inABox(page) {
  await load(page, IMAGE_TO_VIDEO);
  await page.evaluate(() => {
    const { canvas } = window.app;
    const injector = canvas.graph.nodes.find((/** @type {any} */ each) => each.comfyClass === "PusaConditionFrames");
    const { node } = canvas.graph.convertToSubgraph(new Set([injector]));
    canvas.openSubgraph(node.subgraph, node);
  });
  await settle(page);
}
