// The noise timeline without its picture: two texts in, handles out; an edit in, two texts out.
import { WAN } from "./bases.js";
import {
  LATENT_FRAME,
  PusaError,
  VIDEO_FRAME,
  isRamp,
  lastPixelFrame,
  parseMultipliers,
  parsePositions,
  positionCount,
  resolvePosition,
} from "./latent_frames.js";

/** @typedef {import("./bases.js").Base} Base */
/**
 * @typedef {object} Texts What the node's two text inputs hold.
 * @property {string} positions
 * @property {string} noiseMultipliers
 */
/**
 * @typedef {object} Handle One condition.
 * @property {number} position as typed, in the unit the user chose, negative from the end
 * @property {number} frame latent frame; a position outside the latent is drawn at the nearer end
 * @property {number} multiplier in [0, 1]
 * @property {boolean} wrong the node will refuse this one
 */
/**
 * @typedef {object} Timeline What the two texts say.
 * @property {Handle[]} handles in the order of the texts (picture i belongs to handle i)
 * @property {number} latentFrames
 * @property {string} unit "latent frame" or "video frame"
 * @property {Base} base what counts the video frames
 * @property {string | null} problem the sentence the node would refuse with
 * @property {boolean} readable false where the texts cannot be read: then they are shown, never edited
 */

/** Settings the Pusa authors published: positions, noise multipliers. */
export const PRESETS = Object.freeze({
  "Image to video": { positions: "0", noiseMultipliers: "0.2" },
  "Start and end frame": { positions: "0, -1", noiseMultipliers: "0.2, 0.5" },
  "Extension": { positions: "0, 1, 2, 3", noiseMultipliers: "0.2, 0.4, 0.4, 0.4" },
  "Extension, more motion": { positions: "0, 1, 2, 3", noiseMultipliers: "0, 0.3, 0.5, 0.7" },
  "Completion": { positions: "0, -1", noiseMultipliers: "0.3, 0.3" },
});

/**
 * Reads the two texts as the node will.
 * @param {Texts} texts
 * @param {number} latentFrames
 * @param {string} [unit] "latent frame" or "video frame"
 * @param {Base} [base]
 * @returns {Timeline}
 */
export function readTimeline(texts, latentFrames, unit = LATENT_FRAME, base = WAN) {
  const timeline = read(() => parsePositions(texts.positions), texts.noiseMultipliers, latentFrames, unit, base);
  // Nothing typed is nothing to lose: it can be filled in from the timeline.
  if (!texts.positions.trim()) timeline.readable = true;
  return timeline;
}

/**
 * Reads the multipliers of conditions whose places something else decides.
 * @param {() => number[]} places latent frames; may throw what the node would say
 * @param {string} noiseMultipliers
 * @param {number} latentFrames
 * @param {Base} [base]
 * @returns {Timeline}
 */
export function readFixed(places, noiseMultipliers, latentFrames, base = WAN) {
  return read(places, noiseMultipliers, latentFrames, LATENT_FRAME, base);
}

/**
 * @param {() => number[]} readPositions
 * @param {string} noiseMultipliers
 * @param {number} latentFrames
 * @param {string} unit
 * @param {Base} base
 * @returns {Timeline}
 */
function read(readPositions, noiseMultipliers, latentFrames, unit, base) {
  /** @type {Timeline} */
  const timeline = { handles: [], latentFrames, unit, base, problem: null, readable: false };
  try {
    const positions = readPositions();
    const multipliers = parseMultipliers(noiseMultipliers, positions.length);
    timeline.readable = true;
    const taken = new Set();
    positions.forEach((position, i) => {
      const [frame, problem] = place(position, timeline, taken);
      timeline.problem ??= problem;
      timeline.handles.push({ position, frame, multiplier: multipliers[i], wrong: problem !== null });
    });
  } catch (error) {
    if (!(error instanceof PusaError)) throw error;
    timeline.problem = error.message;
  }
  return timeline;
}

/**
 * @param {number} position
 * @param {Timeline} timeline
 * @param {Set<number>} taken latent frames given so far
 * @returns {[number, string | null]} the latent frame to draw it at, and what is wrong with it
 */
function place(position, { latentFrames, unit, base }, taken) {
  try {
    const frame = resolvePosition(position, latentFrames, unit, base);
    const twice = taken.has(frame);
    taken.add(frame);
    return [
      frame,
      twice
        ? `Latent frame ${frame} is given twice in positions. Each latent frame takes one picture; note that a latent ` +
          `frame after the first holds ${base.groups} video frames, so neighbouring video frames can fall into the same one.`
        : null,
    ];
  } catch (error) {
    if (!(error instanceof PusaError)) throw error;
    return [position < 0 ? 0 : latentFrames - 1, error.message];
  }
}

/**
 * Multiplier of every latent frame: 1 where nothing is given.
 * @param {{frame: number, multiplier: number}[]} handles later ones win
 * @param {number} latentFrames
 * @returns {number[]} one per latent frame
 */
export function frameMultipliers(handles, latentFrames) {
  const values = Array(latentFrames).fill(1);
  for (const { frame, multiplier } of handles) values[frame] = multiplier;
  return values;
}

/**
 * The texts after one handle was moved along time. A position typed from the end stays from the end; a frame that another
 * handle holds is refused by leaving the texts as they are.
 * @param {Texts} texts
 * @param {Timeline} timeline what `texts` say
 * @param {number} index of the handle
 * @param {number} frame latent frame, clamped to the latent
 * @returns {Texts}
 */
export function moveHandle(texts, timeline, index, frame) {
  const target = Math.min(Math.max(frame, 0), timeline.latentFrames - 1);
  const handle = timeline.handles[index];
  if (!isFree(timeline, target, index) || (target === handle.frame && !handle.wrong)) return texts;
  const positions = timeline.handles.map(({ position }) => position);
  positions[index] = positionOf(timeline, target, handle.position < 0);
  return { ...texts, positions: positions.join(", ") };
}

/**
 * The texts after one handle was moved up or down.
 * @param {Texts} texts
 * @param {Timeline} timeline what `texts` say
 * @param {number} index of the handle
 * @param {number} multiplier clamped to [0, 1]
 * @returns {Texts}
 */
export function setMultiplier(texts, timeline, index, multiplier) {
  const value = tidy(multiplier);
  if (value === timeline.handles[index].multiplier) return texts;
  const multipliers = timeline.handles.map((handle) => handle.multiplier);
  multipliers[index] = value;
  return { ...texts, noiseMultipliers: multipliers.map(written).join(", ") };
}

/**
 * The texts with one more condition, the last in order.
 * @param {Texts} texts
 * @param {Timeline} timeline what `texts` say
 * @param {number} frame latent frame that no handle holds
 * @param {number} multiplier
 * @returns {Texts}
 */
export function addHandle(texts, timeline, frame, multiplier) {
  const value = tidy(multiplier);
  const positions = timeline.handles.map((handle) => handle.position);
  const multipliers = timeline.handles.map((handle) => handle.multiplier);
  // Written from the end where "the last frame" is meant: it then stays last when the length changes.
  positions.push(positionOf(timeline, frame, frame === timeline.latentFrames - 1 && frame > 0));
  multipliers.push(value);
  const stillOneForAll = isOneForAll(texts) && timeline.handles.length > 0 && multipliers.every((each) => each === value);
  return {
    positions: positions.join(", "),
    noiseMultipliers: stillOneForAll ? texts.noiseMultipliers : multipliers.map(written).join(", "),
  };
}

/**
 * The texts without one condition; the last one left cannot be removed, because the node needs at least one.
 * @param {Texts} texts
 * @param {Timeline} timeline what `texts` say
 * @param {number} index of the handle
 * @returns {Texts}
 */
export function removeHandle(texts, timeline, index) {
  if (timeline.handles.length < 2) return texts;
  const left = timeline.handles.filter((_, i) => i !== index);
  return {
    positions: left.map(({ position }) => position).join(", "),
    noiseMultipliers: isOneForAll(texts) ? texts.noiseMultipliers : left.map(({ multiplier }) => written(multiplier)).join(", "),
  };
}

/**
 * The texts with the multipliers on a straight line from the first condition to the last, written as a ramp ("0..0.2").
 * @param {Texts} texts
 * @param {Timeline} timeline what `texts` say
 * @returns {Texts}
 */
export function ramp(texts, timeline) {
  const { handles } = timeline;
  if (handles.length < 2) return texts;
  const [first, last] = [handles[0], handles[handles.length - 1]].map(({ multiplier }) => written(multiplier));
  return { ...texts, noiseMultipliers: `${first}..${last}` };
}

/**
 * Where a new condition goes: the last frame, else the middle of the widest gap.
 * @param {Timeline} timeline
 * @returns {number | null} latent frame, or null where every one is taken
 */
export function freeFrame(timeline) {
  const { latentFrames, handles } = timeline;
  if (isFree(timeline, latentFrames - 1)) return latentFrames - 1;
  const taken = [...new Set(handles.map(({ frame }) => frame))].sort((a, b) => a - b);
  let best = null;
  let widest = 0;
  [-1, ...taken].forEach((left, i) => {
    const right = taken[i] ?? latentFrames;
    if (right - left - 1 > widest) {
      widest = right - left - 1;
      best = left + Math.ceil((right - left) / 2);
    }
  });
  return best;
}

/**
 * Whether no other handle holds a latent frame.
 * @param {Timeline} timeline
 * @param {number} frame latent frame
 * @param {number} [index] of the handle that asks
 */
export function isFree(timeline, frame, index = -1) {
  return timeline.handles.every((handle, i) => i === index || handle.frame !== frame);
}

/**
 * Name of the preset that the texts hold, if any: positions count as the latent frames they mean.
 * @param {Timeline} timeline
 * @returns {string | null}
 */
export function presetOf(timeline) {
  if (!timeline.readable || timeline.problem) return null;
  const said = timeline.handles.map(({ frame, multiplier }) => `${frame}:${multiplier}`).join();
  for (const [name, texts] of Object.entries(PRESETS)) {
    const preset = readTimeline(texts, timeline.latentFrames);
    if (preset.handles.map(({ frame, multiplier }) => `${frame}:${multiplier}`).join() === said) return name;
  }
  return null;
}

/**
 * A preset's texts in the unit that the node uses.
 * @param {string} name
 * @param {string} unit "latent frame" or "video frame"
 * @param {Base} [base]
 * @returns {Texts}
 */
export function presetTexts(name, unit, base = WAN) {
  const { positions, noiseMultipliers } = /** @type {Record<string, Texts>} */ (PRESETS)[name];
  if (unit !== VIDEO_FRAME) return { positions, noiseMultipliers };
  const inVideo = parsePositions(positions).map((position) => (position < 0 ? position : lastPixelFrame(position, base)));
  return { positions: inVideo.join(", "), noiseMultipliers };
}

/**
 * @param {Timeline} timeline
 * @param {number} frame latent frame
 * @param {boolean} fromEnd
 */
function positionOf({ latentFrames, unit, base }, frame, fromEnd) {
  const position = unit === VIDEO_FRAME ? lastPixelFrame(frame, base) : frame;
  return fromEnd ? position - positionCount(latentFrames, unit, base) : position;
}

/**
 * Whether one multiplier is typed for all positions.
 * @param {Texts} texts
 */
function isOneForAll({ noiseMultipliers }) {
  return !isRamp(noiseMultipliers) && !/[,;]\s*\S/.test(noiseMultipliers);
}

/** @param {number} multiplier */
function tidy(multiplier) {
  return Math.round(Math.min(Math.max(multiplier, 0), 1) * 1000) / 1000;
}

/** @param {number} multiplier */
function written(multiplier) {
  return String(Number(multiplier.toFixed(4)));
}
