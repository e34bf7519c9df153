// Which given frames a latent still has, from the classes of the nodes before it, as pusa_core/graph/latents.py traces them.
import { DROPPING, INJECTORS, KEPT_INPUTS, LATENT_INPUT } from "./generated_facts.js";
import { classOf, isLinked, sourceOf, valueOf } from "./wires.js";

/** @typedef {import("./wires.js").Node} Node */
/**
 * @typedef {object} Carried
 * @property {Set<Node>} injectors those whose multipliers the latent has
 * @property {[Node, Node][]} lost an injector, and the node that lost its multipliers
 */

/** Names of the inputs through which a node gets the latent it samples, the first one that it has counts. */
const SAMPLED = ["latent_image", "latent", "samples", "video_latent"];

/**
 * The given frames in the latent that a node gets.
 * @param {Node} node
 * @returns {Carried}
 */
export function carriedInto(node) {
  const name = SAMPLED.find((each) => isLinked(node, each));
  const source = name === undefined ? null : sourceOf(node, name);
  return source ? carriedBy(source.node, new Map()) : nothing();
}

/**
 * The given frames in the latent that a node puts out.
 * @param {Node} node
 * @param {Map<Node, Carried>} known nodes that were looked at before
 * @returns {Carried}
 */
function carriedBy(node, known) {
  const found = known.get(node);
  if (found) return found;
  known.set(node, nothing()); // what a circle of links leads back to
  /** @type {Map<string, Carried>} */
  const before = new Map();
  for (const [slot, { name }] of (node.inputs ?? []).entries()) {
    const source = LATENT_INPUT.test(name) ? sourceOf(node, slot) : null;
    if (source) before.set(name, carriedBy(source.node, known));
  }
  const kept = before.size > 1 ? KEPT_INPUTS.find((name) => before.has(name)) : undefined;
  /** @type {Carried} */
  const result = { injectors: new Set(), lost: [...before.values()].flatMap(({ lost }) => lost) };
  for (const [name, { injectors }] of before) {
    if (DROPPING.includes(classOf(node)) || (kept !== undefined && kept !== name)) continue;
    for (const injector of injectors) result.injectors.add(injector);
  }
  for (const injector of [...before.values()].flatMap(({ injectors }) => [...injectors])) {
    if (![...result.injectors].some((other) => other === injector || giveAlike(other, injector))) result.lost.push([injector, node]);
  }
  if (INJECTORS.includes(classOf(node))) result.injectors.add(node);
  result.lost = result.lost.filter(([injector, loser], i, all) => all.findIndex(([one, two]) => one === injector && two === loser) === i);
  known.set(node, result);
  return result;
}

/** @returns {Carried} */
function nothing() {
  return { injectors: new Set(), lost: [] };
}

/**
 * Whether two injectors have the same settings, so that the multipliers of one hold for the frames of both.
 * @param {Node} injector
 * @param {Node} other
 */
function giveAlike(injector, other) {
  const settings = (/** @type {Node} */ node) =>
    JSON.stringify((node.widgets ?? []).filter(({ name }) => !isLinked(node, name)).map(({ name }) => [name, valueOf(node, name)]).sort());
  return classOf(injector) === classOf(other) && settings(injector) === settings(other);
}
