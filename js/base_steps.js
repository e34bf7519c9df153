// Numbers of video frames step by the base's stride: 13, 19, 25 on Mochi, 13, 17, 21 on Wan.
import { app } from "/scripts/app.js";
import { WAN, baseOfFiles, baseOfGraph } from "./bases.js";
import { chain } from "./chain.js";
import { FOLDER, LONG_VIDEO, SWEEP } from "./generated_facts.js";
import { isInjector, readLatent } from "./run_reading.js";
import { classOf, forEachWithin } from "./wires.js";

/** @typedef {import("/scripts/app.js").LGraphNode} LGraphNode */

/** Inputs that take whole latent frames. */
const WHOLE_LENGTHS = ["context_frames", "window", "overlap", "length"];
/** A change of model or latent comes with no event; it is seen within this time. */
const LOOK_MS = 500;

/** @type {Set<LGraphNode>} */
const nodes = new Set();

/**
 * The base that a node's lengths are for.
 * @param {LGraphNode} node
 */
function baseAround(node) {
  if (isInjector(node)) return readLatent(node).base;
  // neither model nor VAE
  if (classOf(node) === FOLDER) return baseOfGraph(node.graph?.nodes ?? []);
  return baseOfFiles(node) ?? WAN;
}

/** @param {LGraphNode} node */
function adjust(node) {
  const { stride } = baseAround(node);
  for (const widget of node.widgets ?? []) {
    if (!WHOLE_LENGTHS.includes(widget.name)) continue;
    // ComfyUI rounds a typed number to min plus whole steps, and keeps ten times the step for the arrows
    const options = /** @type {{min?: number, step?: number, step2?: number}} */ (widget.options);
    options.min = (options.min ?? 1) > 1 ? stride + 1 : 1;
    options.step2 = stride;
    options.step = 10 * stride;
  }
}

app.registerExtension({
  name: "Pusa.BaseSteps",
  init() {
    setInterval(() => forEachWithin(nodes, (node) => node, app.graph, adjust), LOOK_MS);
  },
  nodeCreated(node) {
    if (!isInjector(node) && ![LONG_VIDEO, FOLDER, SWEEP].includes(classOf(node))) return;
    if (!node.widgets?.some(({ name }) => WHOLE_LENGTHS.includes(name))) return;
    node.onAdded = chain(node.onAdded, () => nodes.add(node));
    node.onRemoved = chain(node.onRemoved, () => nodes.delete(node));
    if (node.graph) nodes.add(node);
  },
});
