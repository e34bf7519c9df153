// The nodes that give frames to a latent, and how the inputs of each say where its frames go.
import { CLIP_LOOP, CUSTOM, EXTEND, PREPEND, ROLLED_STILL, checkSources, clipPositions, refuseTexts, stillPositions, transitionPositions } from "./clip_positions.js";
import { EVEN, LATENT_FRAMES, SECONDS, VIDEO_FRAMES, keyframePositions } from "./keyframe_positions.js";
import { LATENT_FRAME, PusaError, VIDEO_FRAME, listLength } from "./latent_frames.js";
import { FRAMES_INJECTOR, KEYFRAMES, LOOP, TRANSITION, VIDEO_INJECTOR, readPictures } from "./run_reading.js";
import { classOf, isLinked, sourceOf, valueOf } from "./wires.js";

/** @typedef {import("./wires.js").Node} Node */

/**
 * @typedef {object} Kind How one class of nodes takes its frames.
 * @property {string | null} positions name of its text of positions; null where it has none
 * @property {(node: Node) => boolean} isFixed whether something other than that text decides the places
 * @property {(node: Node) => string[]} deciding inputs that places depend on
 * @property {(node: Node, latentFrames: number, base: import("./bases.js").Base) => number[]} places latent frames where they are fixed; throws what the node would say
 */

/** @type {Record<string, Kind>} by node class */
const KINDS = {
  [FRAMES_INJECTOR]: {
    positions: "positions",
    isFixed: () => false,
    deciding: () => ["positions", "position_unit"],
    places: () => [],
  },
  [VIDEO_INJECTOR]: {
    positions: "positions",
    isFixed: (node) => [EXTEND, PREPEND].includes(text(node, "task")),
    deciding: (node) => ["task", "positions", "source_positions", ...(KINDS[VIDEO_INJECTOR].isFixed(node) ? ["context_frames"] : [])],
    places(node, latentFrames, base) {
      const task = text(node, "task");
      refuseTexts(task, text(node, "positions"), text(node, "source_positions"));
      return clipPositions(task, latentFrames, Number(valueOf(node, "context_frames")), base);
    },
  },
  [KEYFRAMES]: {
    positions: "times",
    isFixed: (node) => ![VIDEO_FRAMES, LATENT_FRAMES].includes(text(node, "spacing")),
    deciding: (node) => ["spacing", "times", ...(text(node, "spacing") === SECONDS ? ["fps"] : [])],
    places(node, latentFrames, base) {
      const spacing = text(node, "spacing");
      const count = pictureCount(node);
      if (spacing === EVEN && count === 0) throw new PusaError("No pictures are connected yet; even spacing depends on their number.");
      return keyframePositions(count || null, latentFrames, spacing, text(node, "times"), Number(valueOf(node, "fps")), base);
    },
  },
  [TRANSITION]: {
    positions: null,
    isFixed: () => true,
    deciding: () => ["context_frames"],
    places: (node, latentFrames, base) => transitionPositions(latentFrames, Number(valueOf(node, "context_frames")), base),
  },
  [LOOP]: {
    positions: null,
    isFixed: () => true,
    deciding: (node) => ["kind", ...(text(node, "kind") === CLIP_LOOP ? ["context_frames"] : [])],
    places(node, latentFrames, base) {
      if (text(node, "kind") === CLIP_LOOP) return transitionPositions(latentFrames, Number(valueOf(node, "context_frames")), base);
      const count = readPictures(node, "video")?.length ?? 1;
      if (count > 1) throw new PusaError(`${count} pictures came in for a still loop. Give one picture, or choose clip as the kind.`);
      return stillPositions(text(node, "kind"), latentFrames, base);
    },
  },
};

/** @param {Node} node an injector */
export function kindOf(node) {
  return KINDS[classOf(node)];
}

/**
 * Whether something other than a text of positions decides where the node's frames go.
 * @param {Node} node
 */
export function isFixed(node) {
  return kindOf(node).isFixed(node);
}

/**
 * Whether each position of the node goes with one of another text, so that none can be added or removed alone.
 * @param {Node} node
 */
export function isPaired(node) {
  return classOf(node) === VIDEO_INJECTOR && text(node, "task") === CUSTOM;
}

/**
 * The first input that decides about the frames and is not known before the graph runs.
 * @param {Node} node
 * @returns {string | undefined}
 */
export function unknownInput(node) {
  return [...kindOf(node).deciding(node), "noise_multipliers"].find((name) => isLinked(node, name) && valueOf(node, name) === undefined);
}

/**
 * What the numbers in the node's text of positions count.
 * @param {Node} node
 */
export function unitOf(node) {
  if (classOf(node) === KEYFRAMES) return text(node, "spacing") === VIDEO_FRAMES ? VIDEO_FRAME : LATENT_FRAME;
  return String(valueOf(node, "position_unit") ?? LATENT_FRAME);
}

/**
 * What the node would say about a clip whose positions can be read.
 * @param {Node} node
 * @param {number} count number of positions, 0 where nothing is typed
 */
export function checkClip(node, count) {
  if (classOf(node) !== VIDEO_INJECTOR) return;
  const task = text(node, "task");
  if (count === 0) throw new PusaError(`positions is empty. For ${task} write the latent frames to give, such as "0, 1, -2, -1".`);
  checkSources(task, count, text(node, "source_positions"));
}

/**
 * The picture of each condition, as readPictures gives them.
 * @param {Node} node
 * @returns {ReturnType<typeof readPictures>}
 */
export function picturesOf(node) {
  const name = classOf(node);
  if (name === FRAMES_INJECTOR || name === KEYFRAMES) return readPictures(node);
  if (name !== LOOP || text(node, "kind") === CLIP_LOOP) return null;
  const stills = readPictures(node, "video");
  return stills && (text(node, "kind") === ROLLED_STILL ? stills : [...stills, ...stills]);
}

/**
 * @param {Node} node
 * @param {string} name
 */
export function text(node, name) {
  const value = valueOf(node, name);
  return value === undefined || value === null ? "" : String(value);
}

/**
 * Number of pictures that come in: counted, else what a list of multipliers says.
 * @param {Node} node
 * @returns {number | null} 0 where nothing is connected, null where it is not known
 */
function pictureCount(node) {
  if (!sourceOf(node, "images")) return 0;
  const listed = listLength(text(node, "noise_multipliers"));
  return readPictures(node)?.length ?? (listed > 1 ? listed : null);
}
