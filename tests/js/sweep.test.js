import assert from "node:assert/strict";
import { test } from "node:test";
import { takeOver, withFirst } from "../../js/sweep_values.js";

/** @type {import("../../js/sweep_values.js").Tile} */
const TILE = { multiplier: 0.4, alpha: 1.2, steps: 8, seed: "7", place: [0, 0, 1, 1], label: "0.4", best: false };

/**
 * A node with widgets.
 * @param {string} comfyClass
 * @param {Record<string, unknown>} values
 * @param {string[]} [linked] names of linked inputs
 */
function node(comfyClass, values, linked = []) {
  const widgets = Object.entries(values).map(([name, value]) => ({ name, value }));
  return { id: 1, comfyClass, widgets, inputs: linked.map((name) => ({ name, type: "*", link: 1 })) };
}

test("the first of several multipliers is replaced, and a ramp begins with it", () => {
  assert.equal(withFirst("0.2", 0.4), "0.4");
  assert.equal(withFirst("0.2, 0.5", 0), "0, 0.5");
  assert.equal(withFirst("0..0.2", 0.1), "0.1..0.2");
  assert.equal(withFirst("", 0.3), "0.3");
});

test("a tile's values go to the injector, the sampler and the LoRA loaders", () => {
  const nodes = [
    node("PusaConditionFrames", { noise_multipliers: "0.2, 0.5" }),
    node("PusaSampler", { seed: 0, steps: 30, cfg: 3 }),
    node("PusaLoraLoader", { alpha: 1.4 }),
    node("KSampler", { seed: 0, steps: 20 }),
  ];
  const changed = takeOver(TILE, nodes).map(({ node: { comfyClass }, name, value }) => [comfyClass, name, value]);
  assert.deepEqual(changed, [
    ["PusaConditionFrames", "noise_multipliers", "0.4, 0.5"],
    ["PusaSampler", "steps", 8],
    ["PusaSampler", "seed", 7],
    ["PusaLoraLoader", "alpha", 1.2],
  ]);
});

test("alphas that were not swept stay, and so does a linked input", () => {
  const nodes = [node("PusaLoraLoader", { alpha: 1.4 }), node("PusaSampler", { seed: 0, steps: 30 }, ["seed"])];
  const changed = takeOver({ ...TILE, alpha: null }, nodes).map(({ name }) => name);
  assert.deepEqual(changed, ["steps"]);
});
