import assert from "node:assert/strict";
import { test } from "node:test";
import { WAN, baseOfGraph } from "../../js/bases.js";
import { BASES } from "../../js/generated_facts.js";
import { checkGraph } from "../../js/graph_check.js";
import { readFps, readLatent, readRun } from "../../js/run_reading.js";
import { flowSigmas, linearQuadraticSigmas } from "../../js/schedule.js";

/** @typedef {import("../../js/wires.js").Node} Node */

/**
 * Nodes of a graph by id; a value [id, type] is a link to that node's first output, any other a widget.
 * @param {Record<string, [string, Record<string, unknown>]>} content by id: class, inputs
 * @returns {Record<string, Node>}
 */
function graph(content) {
  /** @type {import("../../js/wires.js").Link[]} */
  const links = [];
  /** @type {Record<string, Node>} */
  const nodes = {};
  /** @type {import("../../js/wires.js").Graph} */
  const owner = { getLink: (id) => (id == null ? undefined : links[id]), getNodeById: (id) => nodes[id] ?? null };
  for (const [id, [comfyClass, values]] of Object.entries(content)) {
    const inputs = Object.entries(values).flatMap(([name, value], slot) => {
      if (!Array.isArray(value)) return [];
      links.push({ origin_id: value[0], origin_slot: 0, target_id: id, target_slot: slot });
      return [{ name, type: value[1], link: links.length - 1 }];
    });
    const widgets = Object.entries(values).flatMap(([name, value]) => (Array.isArray(value) ? [] : [{ name, value }]));
    nodes[id] = { id, comfyClass, inputs, widgets, outputs: [{ name: "out", type: "*", links: [] }], graph: owner };
  }
  owner.nodes = Object.values(nodes);
  return nodes;
}

/**
 * A graph around an injector.
 * @param {string} latentClass
 * @param {string} vae name of its file
 * @param {Record<string, unknown>} [settings] of the latent node
 */
function around(latentClass, vae, settings = {}) {
  return graph({
    vae: ["VAELoader", { vae_name: vae }],
    latent: [latentClass, settings],
    injector: ["PusaConditionFrames", { vae: ["vae", "VAE"], latent: ["latent", "LATENT"] }],
  });
}

for (const base of BASES) {
  test(`${base.id}: its latent node tells the base, which counts the frames and tells the rate`, () => {
    const { injector } = around(base.latentNodes[0], "some.safetensors", { length: base.trainedLength });
    const latent = readLatent(injector);
    assert.equal(latent.base.id, base.id);
    assert.equal(latent.latentFrames, (base.trainedLength - 1) / base.stride + 1);
    assert.equal(readFps(injector, latent.base), base.fps);
  });
}

test("a VAE's or a model's file name tells the base where the latent's node does not", () => {
  const cases = { "mochi_vae.safetensors": "mochi", "wan2.2_vae.safetensors": "wan22_5b", "wan_2.1_vae.safetensors": "wan", "any.safetensors": "wan" };
  for (const [vae, id] of Object.entries(cases)) {
    const latent = readLatent(around("SomeLatent", vae).injector);
    assert.equal(latent.base.id, id, vae);
    assert.equal(latent.known, false);
    assert.equal(latent.latentFrames, (latent.base.trainedLength - 1) / latent.base.stride + 1);
  }
  const models = { "Wan2_2-TI2V-5B_fp8.safetensors": "wan22_5b", "pusa_v0_dit.safetensors": "mochi", "wan2.1_t2v_1.3B_fp16.safetensors": "wan", "Wan2.2-T2V-A14B-15B.safetensors": "wan" };
  for (const [model, id] of Object.entries(models)) {
    const nodes = graph({ m: ["UNETLoader", { unet_name: model }], s: ["PusaSampler", { model: ["m", "MODEL"] }] });
    assert.equal(baseOfGraph(Object.values(nodes)).id, id, model);
  }
});

test("the sampler's schedule is that of the base, unless it names one", () => {
  const mochi = BASES[2];
  const sampler = (/** @type {string} */ schedule) =>
    graph({ s: ["PusaSampler", { steps: 8, shift: 5, denoise: 1, schedule }] }).s;
  assert.deepEqual(readRun(sampler("of the base"), mochi).sigmas, linearQuadraticSigmas(8));
  assert.deepEqual(readRun(sampler("of the base"), WAN).sigmas, flowSigmas(8, 5));
  assert.deepEqual(readRun(sampler("flow"), mochi).sigmas, flowSigmas(8, 5));
});

test("sizes, lengths and rates are checked by the base's rules", () => {
  const nodes = graph({
    latent: ["EmptyMochiLatentVideo", { width: 848, height: 480, length: 81 }],
    video: ["CreateVideo", { fps: 16 }],
  });
  assert.deepEqual(checkGraph(Object.values(nodes)), [
    "The length 81 is not 6n + 1, such as 157 or 163.",
    "The frame rate is 16; Mochi makes 30 pictures a second.",
  ]);
});
