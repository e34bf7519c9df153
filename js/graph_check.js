// What can be told of a graph from its nodes' settings alone, before anything runs.
import { WAN, baseOfGraph } from "./bases.js";
import { ROLLED_STILL } from "./clip_positions.js";
import { FRAME_AWARE, INJECTORS, LIGHTX2V_LOADER, LOOP_DECODE, LOOP_LATENTS, LOOP_MODEL, MERGED_FOLDER, NO_VIDEO, PUSA_LOADER, SAMPLING_PATCH, SWITCH, VIDEO_MAKERS } from "./generated_facts.js";
import { carriedInto } from "./lost_frames.js";
import { LOOP } from "./run_reading.js";
import { classOf, sourceOf, valueOf } from "./wires.js";

/** @typedef {import("./wires.js").Node} Node */

const [ROLLED] = LOOP_LATENTS;
const NEVER = 2;
const BYPASSED = 4;
/** Inputs that a MODEL comes through, as pusa_core/graph/prompt.py has them. */
const MODEL_INPUT = /model|guider|(high|low)_noise$/i;
/** Loaders of other packs and of ComfyUI: what they load is not known here, as little as to Python's doctor. */
const LORA_LOADER = /lora/i;

/**
 * The nodes that run, those in boxes too.
 * @param {Node[]} nodes
 * @param {string} [box] id of the box that they are in, with a colon behind it
 * @returns {{id: string, node: Node}[]} by the ids that ComfyUI runs them under: "21:5" is node 5 in box 21
 */
export function runningNodes(nodes, box = "") {
  return nodes
    .filter(({ mode }) => mode !== NEVER && mode !== BYPASSED)
    .flatMap((node) => (node.subgraph ? runningNodes(node.subgraph.nodes ?? [], `${box}${node.id}:`) : [{ id: `${box}${node.id}`, node }]));
}

/**
 * One sentence for each fault that the nodes' settings show.
 * @param {Node[]} nodes of the whole graph; boxes are looked into
 * @returns {string[]}
 */
export function checkGraph(nodes) {
  const active = runningNodes(nodes).map(({ node }) => node);
  const base = baseOfGraph(active);
  const classes = new Set(active.map(classOf));
  const has = (/** @type {string[]} */ names) => names.some((name) => classes.has(name));
  /** @type {string[]} */
  const found = [];
  if (has(INJECTORS) && !has(FRAME_AWARE)) {
    found.push("Frames are given, but no node gives them timesteps of their own: add Apply Vectorized Timesteps or Vectorized Timestep Sampler.");
  }
  if (has(INJECTORS) && base === WAN && !has([PUSA_LOADER]) && !active.some(mayHoldLora)) {
    found.push("Frames are given, but there is no Pusa LoRA Loader between the model and the sampler.");
  }
  if (active.some(isRolledLoop) && !has([LOOP_MODEL])) {
    found.push("A rolled loop is given or decoded, but no Loop Model stands before the sampler, so the video would not close: add it there.");
  }
  for (const node of active) found.push(...settings(node, base), ...experts(node));
  for (const node of active.filter(samples)) found.push(...lost(node));
  for (const node of active.filter((each) => FRAME_AWARE.includes(classOf(each)))) found.push(...overridden(node));
  const guided = active.filter((node) => modelsBefore(node).some((each) => classOf(each) === LIGHTX2V_LOADER));
  const cfg = Math.max(0, ...guided.map((node) => number(node, "cfg") ?? 0));
  if (cfg > 1) found.push(`LightX2V with cfg ${cfg}: set cfg to 1.`);
  return [...new Set(found)];
}

/**
 * @param {Node} node
 * @param {import("./bases.js").Base} base
 * @returns {string[]}
 */
function settings(node, base) {
  /** @type {string[]} */
  const found = [];
  const [width, height, length] = ["width", "height", "length"].map((name) => number(node, name));
  if (width !== undefined && height !== undefined && length !== undefined) {
    const { lengths, stride, sizeMultiple, trainedLength } = base;
    if ((length - 1) % stride !== 0) found.push(`The length ${length} is not ${lengths}, such as ${trainedLength - stride} or ${trainedLength}.`);
    if (width % sizeMultiple || height % sizeMultiple) found.push(`The size ${width} x ${height} is not a multiple of ${sizeMultiple}.`);
  }
  const rate = playsVideo(node) ? (number(node, "fps") ?? number(node, "frame_rate")) : undefined;
  if (rate !== undefined && rate > 0 && rate % base.fps) found.push(`The frame rate is ${rate}; ${base.short} makes ${base.fps} pictures a second.`);
  return found;
}

/**
 * Whether a node gives or decodes a loop without ends.
 * @param {Node} node
 */
function isRolledLoop(node) {
  const kind = valueOf(node, "kind");
  return (classOf(node) === LOOP && kind === ROLLED_STILL) || (classOf(node) === LOOP_DECODE && kind === ROLLED);
}

/**
 * Whether a node's rate is the rate at which a video plays, not that of pictures read or of an animated picture.
 * @param {Node} node
 */
function playsVideo(node) {
  if (String(valueOf(node, "format") ?? "").startsWith("image/")) return false;
  return VIDEO_MAKERS.includes(classOf(node)) || !NO_VIDEO.test(classOf(node));
}

/**
 * Whether a Pusa LoRA may be in the model without our loader: a file of Merge LoRAs, or another loader's LoRA.
 * @param {Node} node
 */
function mayHoldLora(node) {
  const file = valueOf(node, "unet_name");
  if (typeof file === "string" && file.split(/[\\/]/).slice(0, -1).includes(MERGED_FOLDER)) return true;
  return !classOf(node).startsWith("Pusa") && LORA_LOADER.test(classOf(node));
}

/**
 * Whether a node samples the latent it gets.
 * @param {Node} node
 */
function samples(node) {
  return /Sampler/.test(classOf(node)) && !classOf(node).endsWith("SamplerSelect");
}

/**
 * Given frames whose multipliers some node before a sampler loses.
 * @param {Node} node
 * @returns {string[]}
 */
function lost(node) {
  return carriedInto(node).lost.map(
    ([injector, loser]) => `The frames given by ${named(injector)} are lost in ${named(loser)}, which hands on no noise multipliers for them: put the injector after it.`,
  );
}

/**
 * Sampling patches in front of a node that sets the model's sampling itself.
 * @param {Node} node
 * @returns {string[]}
 */
function overridden(node) {
  const shift = number(node, "shift");
  return modelsBefore(node)
    .filter((each) => SAMPLING_PATCH.test(classOf(each)) && (number(each, "shift") === undefined || number(each, "shift") !== shift))
    .map((each) => `${named(each)} has no effect: ${named(node)} after it sets its own shift${shift === undefined ? "" : ` ${shift}`}.`);
}

/**
 * The nodes a MODEL comes through, nearest first.
 * @param {Node} node
 * @returns {Node[]}
 */
function modelsBefore(node) {
  /** @type {Set<Node>} */
  const found = new Set();
  const waiting = [node];
  for (const each of waiting) {
    for (const [slot, { name }] of (each.inputs ?? []).entries()) {
      const source = MODEL_INPUT.test(name) ? sourceOf(each, slot)?.node : undefined;
      if (!source || found.has(source)) continue;
      found.add(source);
      waiting.push(source);
    }
  }
  return [...found];
}

/** @param {Node} node */
function named(node) {
  return node.title || classOf(node);
}

/**
 * The same LoRA file on both inputs of the MoE switch.
 * @param {Node} node
 * @returns {string[]}
 */
function experts(node) {
  if (classOf(node) !== SWITCH) return [];
  const [high, low] = ["high_noise", "low_noise"].map((input) => pusaFiles(node, input));
  return high
    .filter((file) => low.includes(file))
    .map((file) => `${file} is loaded on both experts; Wan2.2 has one Pusa LoRA for each.`);
}

/**
 * Files of the Pusa LoRA loaders on the way from a model input back to the model.
 * @param {Node} node
 * @param {string} input
 * @returns {string[]}
 */
function pusaFiles(node, input) {
  /** @type {string[]} */
  const files = [];
  const seen = new Set();
  for (let end = sourceOf(node, input); end && !seen.has(end.node); end = sourceOf(end.node, "model")) {
    seen.add(end.node);
    if (classOf(end.node) === PUSA_LOADER) files.push(String(valueOf(end.node, "lora_name")));
  }
  return files;
}

/**
 * A setting that is a number and known before the graph runs.
 * @param {Node} node
 * @param {string} name
 * @returns {number | undefined}
 */
function number(node, name) {
  const value = valueOf(node, name);
  return typeof value === "number" ? value : undefined;
}
