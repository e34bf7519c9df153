// Which base a graph is for: the numbers that count its frames, as pusa_core/bases has them.
import { BASES } from "./generated_facts.js";
import { classOf, sourceOf, valueOf } from "./wires.js";

/** @typedef {import("./wires.js").Node} Node */
/**
 * @typedef {object} Base
 * @property {string} id
 * @property {string} short the family's name
 * @property {number} stride pixel frames per latent frame, after the first one, which stands alone
 * @property {string} groups the stride in words
 * @property {string} lengths which lengths make whole latent frames, such as "4n + 1"
 * @property {number} sizeMultiple width and height are multiples of this many pixels
 * @property {number} fps frames per second of its training videos
 * @property {number} trainedLength pixel frames of its training videos
 * @property {string} schedule "flow" or "linear quadratic"
 * @property {string[]} latentNodes classes of nodes that make its latents
 * @property {RegExp} files what names of its model and VAE files hold
 */

/** @type {Base} */
export const WAN = BASES[0];

/**
 * The base whose latents a node makes.
 * @param {Node} node
 * @returns {Base | null} null where it makes none
 */
export function baseOfLatentNode(node) {
  return BASES.find(({ latentNodes }) => latentNodes.includes(classOf(node))) ?? null;
}

/**
 * The base that a node's VAE or model file is of, by the file's name.
 * @param {Node} node
 * @returns {Base | null} null where no name tells
 */
export function baseOfFiles(node) {
  for (const input of ["vae", "model"]) {
    for (let [end, hops] = [sourceOf(node, input), 0]; end && hops < 100; end = sourceOf(end.node, "model"), hops += 1) {
      const source = end.node;
      const names = ["vae_name", "unet_name", "ckpt_name"].map((name) => String(valueOf(source, name) ?? ""));
      // Wan's own names are part of others' ("wan2.2_vae"), so Wan is what is left
      const found = BASES.slice(1).find(({ files }) => names.some((name) => files.test(name)));
      if (found) return found;
    }
  }
  return null;
}

/**
 * The base of a graph by its nodes, Wan's where none tells.
 * @param {Node[]} nodes
 */
export function baseOfGraph(nodes) {
  for (const node of nodes) {
    const found = baseOfLatentNode(node);
    if (found) return found;
  }
  for (const node of nodes) {
    const found = baseOfFiles(node);
    if (found) return found;
  }
  return WAN;
}
