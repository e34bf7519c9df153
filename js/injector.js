// One injector node and its timeline: what the node holds goes into the picture, what the user does goes into its texts.
import { WAN } from "./bases.js";
import { checkClip, isFixed, isPaired, kindOf, picturesOf, text, unitOf, unknownInput } from "./injector_kinds.js";
import { LATENT_FRAME, PusaError } from "./latent_frames.js";
import { FRAMES_INJECTOR, VIDEO_INJECTOR, findSampler, readFps, readLatent, readRun } from "./run_reading.js";
import { PRESETS, frameMultipliers, readFixed, readTimeline } from "./timeline_model.js";
import { classOf, isLinked } from "./wires.js";
import { word } from "./words.js";

/** @typedef {import("./wires.js").Node} Node */
/** @typedef {import("./timeline_model.js").Timeline} Timeline */
/** @typedef {import("./timeline_model.js").Texts} Texts */

/**
 * The two texts of an injector, from its widgets or from what is connected in their place.
 * @param {Node} node
 * @returns {Texts}
 */
export function readTexts(node) {
  const { positions } = kindOf(node);
  return { positions: positions ? text(node, positions) : "", noiseMultipliers: text(node, "noise_multipliers") };
}

/**
 * What an injector's texts say in a latent of this length.
 * @param {Node} node
 * @param {number} latentFrames
 * @param {import("./bases.js").Base} [base]
 * @returns {Timeline}
 */
export function readInjector(node, latentFrames, base = WAN) {
  const unknown = unknownInput(node);
  if (unknown) {
    const problem = `${unknown} comes from another node and is known once the graph runs.`;
    return { handles: [], latentFrames, unit: LATENT_FRAME, base, problem, readable: false };
  }
  const texts = readTexts(node);
  if (isFixed(node)) return readFixed(() => kindOf(node).places(node, latentFrames, base), texts.noiseMultipliers, latentFrames, base);
  const timeline = readTimeline(texts, latentFrames, unitOf(node), base);
  const isEmpty = !texts.positions.trim();
  if (isEmpty || !timeline.problem) timeline.problem = refusal(() => checkClip(node, timeline.handles.length)) ?? timeline.problem;
  return timeline;
}

/**
 * What of an injector can be edited on its timeline.
 * @param {Node} node
 * @returns {{movable: boolean, liftable: boolean, countable: boolean}} along time, up and down, by number
 */
export function editable(node) {
  const { positions } = kindOf(node);
  const movable = positions !== null && !isLinked(node, positions) && !isFixed(node);
  const liftable = !isLinked(node, "noise_multipliers");
  return { movable, liftable, countable: movable && liftable && !isPaired(node) };
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
  if (classOf(node) === FRAMES_INJECTOR) return countable ? names : [];
  if (classOf(node) !== VIDEO_INJECTOR) return [];
  if (isFixed(node)) return timeline.handles.length === 4 ? names.filter((name) => name.startsWith("Extension")) : [];
  return countable ? ["Completion"] : [];
}

/**
 * Everything about an injector that its timeline shows, save the addresses of pictures.
 * @param {Node} node
 */
export function readSurroundings(node) {
  const { latentFrames, known, before, base } = readLatent(node);
  const { sampler, after } = findSampler(node);
  const timeline = readInjector(node, latentFrames, base);
  const chain = [...before, node, ...after].map((each) => (each === node ? timeline : readInjector(each, latentFrames, base)));
  const others = [...before, ...after].flatMap((each) =>
    readInjector(each, latentFrames, base).handles.map(({ frame, multiplier }) => ({ frame, multiplier, title: each.title ?? classOf(each) })),
  );
  const pictures = picturesOf(node);
  return {
    timeline,
    others,
    known,
    pictures,
    fps: readFps(node, base),
    run: readRun(sampler?.node ?? null, base),
    multipliers: frameMultipliers(chain.flatMap(({ handles }) => handles), latentFrames),
    notes: notes(node, timeline, pictures),
    typed: typed(node),
    ...editable(node),
  };
}

/**
 * @param {Node} node
 * @param {Timeline} timeline
 * @param {ReturnType<typeof picturesOf>} pictures
 */
function notes(node, timeline, pictures) {
  const found = textNames(node)
    .filter((name) => isLinked(node, name))
    .map((name) => word("{name} comes from another node.", { name }));
  const given = timeline.handles.length;
  if (timeline.readable && pictures?.length && pictures.length !== given) {
    found.push(word("Pictures: {pictures}, positions: {positions}. The node needs one each.", { pictures: pictures.length, positions: given }));
  }
  return found;
}

/**
 * What the user typed, a line for each text.
 * @param {Node} node
 */
function typed(node) {
  return textNames(node).map((name) => `${name}: ${text(node, name)}`).join("\n");
}

/** @param {Node} node */
function textNames(node) {
  const { positions } = kindOf(node);
  return positions ? [positions, "noise_multipliers"] : ["noise_multipliers"];
}

/**
 * The sentence that an act refuses with.
 * @param {() => void} act
 * @returns {string | null}
 */
function refusal(act) {
  try {
    act();
    return null;
  } catch (error) {
    if (error instanceof PusaError) return error.message;
    throw error;
  }
}
