// One injector node and its timeline: what the node holds goes into the picture, what the user does goes into its texts.
import { CUSTOM, EXTEND, PREPEND, clipPositions } from "./clip_positions.js";
import { LATENT_FRAME, PusaError, quoted } from "./latent_frames.js";
import { VIDEO_INJECTOR, findSampler, readFps, readLatent, readPictures, readRun } from "./run_reading.js";
import { PRESETS, frameMultipliers, readFixed, readTimeline } from "./timeline_model.js";
import { classOf, isLinked, valueOf } from "./wires.js";

/** @typedef {import("./wires.js").Node} Node */
/** @typedef {import("./timeline_model.js").Timeline} Timeline */
/** @typedef {import("./timeline_model.js").Texts} Texts */

/**
 * The two texts of an injector, from its widgets or from what is connected in their place.
 * @param {Node} node
 * @returns {Texts}
 */
export function readTexts(node) {
  return { positions: text(valueOf(node, "positions")), noiseMultipliers: text(valueOf(node, "noise_multipliers")) };
}

/**
 * What an injector's texts say in a latent of this length.
 * @param {Node} node
 * @param {number} latentFrames
 * @returns {Timeline}
 */
export function readInjector(node, latentFrames) {
  const texts = readTexts(node);
  for (const name of ["positions", "noise_multipliers"]) {
    if (isLinked(node, name) && valueOf(node, name) === undefined) return unknown(name, latentFrames);
  }
  if (!isFixed(node)) {
    const timeline = readTimeline(texts, latentFrames, String(valueOf(node, "position_unit") ?? LATENT_FRAME));
    if (timeline.problem && classOf(node) === VIDEO_INJECTOR && !texts.positions.trim()) {
      timeline.problem = `positions is empty. For ${valueOf(node, "task")} write the latent frames to give, such as "0, 1, -2, -1".`;
    }
    return timeline;
  }
  return readFixed(() => fixedPositions(node, texts, latentFrames), texts.noiseMultipliers, latentFrames);
}

/**
 * Whether the node's task decides where its frames go.
 * @param {Node} node
 */
export function isFixed(node) {
  return classOf(node) === VIDEO_INJECTOR && [EXTEND, PREPEND].includes(String(valueOf(node, "task")));
}

/**
 * What of an injector can be edited on its timeline.
 * @param {Node} node
 * @returns {{movable: boolean, liftable: boolean, countable: boolean}} along time, up and down, by number
 */
export function editable(node) {
  const movable = !isLinked(node, "positions") && !isFixed(node);
  const liftable = !isLinked(node, "noise_multipliers");
  // "custom" pairs every position with a source position, which is a text of its own.
  const paired = classOf(node) === VIDEO_INJECTOR && valueOf(node, "task") === CUSTOM;
  return { movable, liftable, countable: movable && liftable && !paired };
}

/**
 * Names of the presets that fit an injector as it stands.
 * @param {Node} node
 * @param {Timeline} timeline
 * @returns {string[]}
 */
export function fittingPresets(node, timeline) {
  const { liftable, countable } = editable(node);
  const names = Object.keys(PRESETS);
  if (!liftable || !timeline.readable) return [];
  if (isFixed(node)) return timeline.handles.length === 4 ? names.filter((name) => name.startsWith("Extension")) : [];
  if (classOf(node) === VIDEO_INJECTOR) return countable ? ["Completion"] : [];
  return countable ? names : [];
}

/**
 * Everything about an injector that its timeline shows, save the addresses of pictures.
 * @param {Node} node
 */
export function readSurroundings(node) {
  const { latentFrames, known, before } = readLatent(node);
  const { sampler, after } = findSampler(node);
  const timeline = readInjector(node, latentFrames);
  const chain = [...before, node, ...after].map((each) => (each === node ? timeline : readInjector(each, latentFrames)));
  const others = [...before, ...after].flatMap((each) =>
    readInjector(each, latentFrames).handles.map(({ frame, multiplier }) => ({ frame, multiplier, title: each.title ?? classOf(each) })),
  );
  const pictures = classOf(node) === VIDEO_INJECTOR ? null : readPictures(node);
  return {
    timeline,
    others,
    known,
    pictures,
    fps: readFps(node),
    run: readRun(sampler?.node ?? null),
    multipliers: frameMultipliers(chain.flatMap(({ handles }) => handles), latentFrames),
    notes: notes(node, timeline, pictures),
    texts: readTexts(node),
    ...editable(node),
  };
}

/**
 * @param {Node} node
 * @param {Timeline} timeline
 * @param {ReturnType<typeof readPictures>} pictures
 */
function notes(node, timeline, pictures) {
  const found = [];
  if (isLinked(node, "positions")) found.push("The positions come from another node.");
  if (isLinked(node, "noise_multipliers")) found.push("The multipliers come from another node.");
  const given = timeline.handles.length;
  if (timeline.readable && pictures?.length && pictures.length !== given) {
    found.push(`${pictures.length} ${pictures.length === 1 ? "picture" : "pictures"} for ${given} positions: the node needs one each.`);
  }
  return found;
}

/**
 * @param {Node} node
 * @param {Texts} texts
 * @param {number} latentFrames
 */
function fixedPositions(node, texts, latentFrames) {
  const task = String(valueOf(node, "task"));
  refuseText("positions", texts.positions, task, "complete or custom");
  refuseText("source_positions", text(valueOf(node, "source_positions")), task, CUSTOM);
  return clipPositions(task, latentFrames, Number(valueOf(node, "context_frames")));
}

/**
 * @param {string} name
 * @param {string} typed
 * @param {string} task
 * @param {string} other tasks that use it
 */
function refuseText(name, typed, task, other) {
  if (!typed.trim()) return;
  throw new PusaError(`${name} is ${quoted(typed)}, but ${task} finds it by itself. Clear ${name}, or choose ${other} as the task.`);
}

/**
 * @param {string} name
 * @param {number} latentFrames
 * @returns {Timeline}
 */
function unknown(name, latentFrames) {
  const problem = `${name} comes from another node and is known once the graph runs.`;
  return { handles: [], latentFrames, unit: LATENT_FRAME, problem, readable: false };
}

/** @param {unknown} value */
function text(value) {
  return value === undefined || value === null ? "" : String(value);
}
