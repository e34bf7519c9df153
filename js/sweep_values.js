// What a tile of Pusa Sweep holds, and which widgets of a graph take its values.
import { FRAMES_INJECTOR } from "./run_reading.js";
import { PUSA_LOADER, SAMPLER } from "./generated_facts.js";
import { classOf, isLinked } from "./wires.js";

/** @typedef {import("./wires.js").Node} Node */
/**
 * @typedef {object} Tile
 * @property {number} multiplier noise of the given picture, 0 to 1
 * @property {number | null} alpha of the Pusa LoRAs, null where they stay as they were loaded
 * @property {number} steps
 * @property {string} seed a text, since JavaScript's numbers end at 2^53
 * @property {[number, number, number, number]} place left, top, width, height on the sheet, as shares of it
 * @property {string} label its settings in words
 * @property {boolean} best whether it is the best trade-off
 */
/** @typedef {{node: Node, name: string, value: string | number}} Change */

/**
 * The changes that take a tile's values over.
 * @param {Tile} tile
 * @param {Node[]} nodes of the graph that the sweep is in
 * @returns {Change[]} none of a linked input, whose widget does not decide
 */
export function takeOver(tile, nodes) {
  /** @type {Change[]} */
  const changes = [];
  /** @type {(node: Node, name: string, value: (before: string) => string | number) => void} */
  const change = (node, name, value) => {
    const widget = node.widgets?.find((each) => each.name === name);
    if (widget && !isLinked(node, name)) changes.push({ node, name, value: value(String(widget.value ?? "")) });
  };
  for (const node of nodes) {
    const kind = classOf(node);
    if (kind === FRAMES_INJECTOR) change(node, "noise_multipliers", (before) => withFirst(before, tile.multiplier));
    if (kind === SAMPLER) {
      change(node, "steps", () => tile.steps);
      change(node, "seed", () => Number(tile.seed));
    }
    const { alpha } = tile;
    if (kind === PUSA_LOADER && alpha !== null) change(node, "alpha", () => alpha);
  }
  return changes;
}

/**
 * Noise multipliers as typed, with another first one; a ramp starts from it.
 * @param {string} text
 * @param {number} multiplier
 */
export function withFirst(text, multiplier) {
  const ramp = text.split("..");
  if (ramp.length === 2) return `${multiplier}..${ramp[1].trim()}`;
  const [, ...others] = text.replaceAll(";", ",").split(",").map((entry) => entry.trim());
  return [multiplier, ...others].join(", ");
}
