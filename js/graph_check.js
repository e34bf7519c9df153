// What can be told of a graph from its nodes' settings alone, before anything runs.
import { INJECTORS } from "./run_reading.js";
import { classOf, sourceOf, valueOf } from "./wires.js";

/** @typedef {import("./wires.js").Node} Node */

const NEVER = 2;
const BYPASSED = 4;
/** Pictures per second that Wan makes. */
const FRAME_RATE = 16;
const FRAME_AWARE = ["PusaSampler", "PusaVectorizedTimesteps", "PusaLongVideo"];

/**
 * One sentence for each fault that the nodes' settings show.
 * @param {Node[]} nodes
 * @returns {string[]}
 */
export function checkGraph(nodes) {
  const active = nodes.filter(({ mode }) => mode !== NEVER && mode !== BYPASSED);
  const classes = new Set(active.map(classOf));
  const has = (/** @type {string[]} */ names) => names.some((name) => classes.has(name));
  /** @type {string[]} */
  const found = [];
  if (has(INJECTORS) && !has(FRAME_AWARE)) {
    found.push("Frames are given, but no node gives them timesteps of their own: add Apply Vectorized Timesteps or Vectorized Timestep Sampler.");
  }
  if (has(INJECTORS) && !has(["PusaLoraLoader"])) {
    found.push("Frames are given, but there is no Pusa LoRA Loader between the model and the sampler.");
  }
  for (const node of active) found.push(...settings(node), ...experts(node));
  if (has(["PusaLightX2VLoader"])) {
    const cfg = Math.max(0, ...active.map((node) => number(node, "cfg") ?? 0));
    if (cfg > 1) found.push(`LightX2V with cfg ${cfg}: set cfg to 1.`);
  }
  return [...new Set(found)];
}

/**
 * @param {Node} node
 * @returns {string[]}
 */
function settings(node) {
  /** @type {string[]} */
  const found = [];
  const [width, height, length] = ["width", "height", "length"].map((name) => number(node, name));
  if (width !== undefined && height !== undefined && length !== undefined) {
    if (length % 4 !== 1) found.push(`The length ${length} is not 4n + 1, such as 77 or 81.`);
    if (width % 16 || height % 16) found.push(`The size ${width} x ${height} is not a multiple of 16.`);
  }
  const rate = number(node, "fps") ?? (classOf(node) === "PusaDoctor" ? undefined : number(node, "frame_rate"));
  if (rate !== undefined && rate % FRAME_RATE) found.push(`The frame rate is ${rate}; Wan makes 16 pictures a second.`);
  return found;
}

/**
 * The same LoRA file on both inputs of the MoE switch.
 * @param {Node} node
 * @returns {string[]}
 */
function experts(node) {
  if (classOf(node) !== "PusaMoESwitch") return [];
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
    if (classOf(end.node) === "PusaLoraLoader") files.push(String(valueOf(end.node, "lora_name")));
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
