// What the node refuses in a project whose text is right, because its parts do not fit together in frames: pusa_core/project/plan.py.
import { planOf, windowLength, windowOverlap } from "./director_plan.js";
import { CLIP_DEFAULTS, PROJECT_DEFAULTS } from "./generated_facts.js";
import { PusaError, firstPixelFrame, latentFrameCount, latentFrameOf, listLength, parseMultipliers, videoLength } from "./latent_frames.js";

/** @typedef {import("./bases.js").Base} Base */
/** @typedef {import("./director_project.js").Project} Project */
/** @typedef {import("./director_plan.js").Place} Place */

/**
 * Throws the first sentence that the node would refuse the plan of a project with.
 * @param {Project} project that checkProject takes
 * @param {Base} base
 */
export function checkPlan(project, base) {
  checkLengths(project, base);
  const { windows } = planOf(project);
  checkKeys(project, windows, base);
  checkClips(project, windows, base);
  checkPrompts(project);
  windows.forEach((place) => checkWindow(project, windows, place, base));
  checkBridges(project);
  checkAnchor(project, windows, base);
}

/**
 * Whether a window takes nothing over: the first one, and the one after a bridge, which leads to it.
 * @param {Project} project
 * @param {number} index
 */
export function beginsAnew(project, index) {
  return index === 0 || Boolean(project.windows[index - 1].bridge);
}

/**
 * @param {Project} project
 * @param {Base} base
 */
function checkLengths(project, base) {
  let before = 0;
  project.windows.forEach((window, i) => {
    const length = window.length ?? windowLength(project);
    const overlap = window.overlap ?? windowOverlap(project);
    mustBeWhole(isSet(window.length) ? `windows[${i}].length` : "window", length, base);
    mustBeWhole(isSet(window.overlap) ? `windows[${i}].overlap` : "overlap", i > 0 ? overlap : 1, base);
    const shortest = Math.min(length, before);
    if (i > 0 && overlap >= shortest) {
      throw new PusaError(
        `windows[${i}] shares ${overlap} frames with the window before, and the shorter of the two has ${shortest}. ` +
          `Use an overlap of at most ${shortest - base.stride}, or longer windows.`,
      );
    }
    before = length;
  });
}

/**
 * @param {string} name
 * @param {number} frames
 * @param {Base} base
 */
function mustBeWhole(name, frames, base) {
  if ((frames - 1) % base.stride === 0) return;
  const below = Math.max(1, videoLength(Math.floor((frames - 1) / base.stride) + 1, base));
  throw new PusaError(`${name} is ${frames} frames; ${base.short} makes ${base.lengths}: use ${below} or ${below + base.stride}.`);
}

/**
 * @param {Project} project
 * @param {Place[]} windows
 * @param {Base} base
 */
function checkKeys({ keys = [], ...project }, windows, base) {
  const { end } = windows[windows.length - 1];
  const placed = windows.map(() => new Map());
  keys.forEach(({ at }, number) => {
    if (at >= end) {
      throw new PusaError(`keys[${number}].at is ${at}, but the video has ${end} frames, counted from 0. Use 0 to ${end - 1}, or lengthen the last window.`);
    }
    windows.forEach((place, i) => {
      const makes = at >= place.firstNew && at < place.end;
      const makesAnew = i > 0 && project.windows[i - 1].bridge && at >= place.start && at < place.end;
      if (!makes && !makesAnew) return;
      const frame = latentFrameOf(at - place.start, base);
      const other = placed[i].get(frame);
      if (other === undefined) {
        placed[i].set(frame, number);
        return;
      }
      const [first, last] = [place.start + firstPixelFrame(frame, base), place.start + videoLength(frame + 1, base) - 1];
      throw new PusaError(
        `keys[${number}] (frame ${at}) and keys[${other}] (frame ${keys[other].at}) fall together: frames ${first} to ` +
          `${last} are one latent frame of windows[${i}], which takes one picture. Move one by ${base.stride} frames.`,
      );
    });
  });
}

/**
 * @param {Project} project
 * @param {Place[]} windows
 * @param {Base} base
 */
function checkClips({ clips = [], ...project }, windows, base) {
  const { end } = windows[windows.length - 1];
  clips.forEach(({ at, frames }, number) => {
    if (at >= end) throw new PusaError(`clips[${number}].at is ${at}, but the video has ${end} frames. Use 0 to ${end - 1}.`);
    const count = frames ?? CLIP_DEFAULTS.frames;
    const isUsed = windows.some(({ start, given, length }, i) => {
      const fresh = beginsAnew(project, i) ? 0 : given;
      const first = at - start;
      const stop = Math.min(length, first + count);
      return Array.from({ length: latentFrameCount(length, base) }, (_, frame) => frame).some(
        (frame) => firstPixelFrame(frame, base) >= Math.max(first, fresh) && videoLength(frame + 1, base) <= stop,
      );
    });
    if (!isUsed) {
      throw new PusaError(
        `clips[${number}] gives ${count} frames at ${at}, which fill no latent frame of any window: one holds ` +
          `${base.groups} frames, the first of a video one. Give ${2 * base.stride - 1} frames or more.`,
      );
    }
  });
}

/** @param {Project} project */
function checkPrompts({ windows, prompts }) {
  if (!prompts?.length && !isSet(windows[0].prompt)) {
    throw new PusaError("windows[0] has no prompt, and there is none before it. Write windows[0].prompt, or add prompts.");
  }
}

/**
 * @param {Project} project
 * @param {Place[]} windows
 * @param {Place} place
 * @param {Base} base
 */
function checkWindow(project, windows, { index, given, length }, base) {
  const window = project.windows[index];
  const takenOver = beginsAnew(project, index) ? 0 : latentFrameCount(given, base);
  checkMultipliers(window.noise_multipliers ?? project.noise_multipliers ?? PROJECT_DEFAULTS.noise_multipliers, takenOver || 1);
  const following = project.windows[index + 1];
  const after = following ? windows[index + 1].given : 0;
  const ends = following ? latentFrameCount(after, base) - 1 : 0;
  if ((window.bridge || following?.lock) && takenOver + ends >= latentFrameCount(length, base)) {
    throw new PusaError(
      `windows[${index}] has ${length} frames, of which ${given} are given at its start and ${after} at its end, so ` +
        "nothing is left to make. Use a longer window or smaller overlaps.",
    );
  }
  if (window.bridge && ends === 0) {
    throw new PusaError(
      `windows[${index}] is a bridge, and the window after it shares 1 frame with it, but the end of a window is given in groups. ` +
        `Use an overlap of ${videoLength(2, base)} or more for the window after it.`,
    );
  }
}

/**
 * Noise multipliers as a window reads them: one, a ramp, or a list of any length.
 * @param {string} text
 * @param {number} count
 */
function checkMultipliers(text, count) {
  const values = listLength(text);
  parseMultipliers(text, values <= 1 ? count : values);
}

/** @param {Project} project */
function checkBridges({ windows }) {
  windows.slice(1).forEach((other, i) => {
    const one = windows[i];
    if (one.bridge && other.bridge && !one.lock && !other.lock) {
      throw new PusaError(
        `windows[${i}] and windows[${i + 1}] are both bridges, so each would wait for the other. Lock one of them, or take ` + "bridge out of one.",
      );
    }
  });
}

/**
 * @param {Project} project
 * @param {Place[]} windows
 * @param {Base} base
 */
function checkAnchor(project, windows, base) {
  if (!project.anchor) return;
  for (const { index, given } of windows) {
    if (beginsAnew(project, index) || latentFrameCount(given, base) > 1) continue;
    throw new PusaError(
      `windows[${index}] shares 1 frame with the window before, and the anchor takes the first latent frame of each window, ` +
        `so nothing would be handed over. Use an overlap of ${videoLength(2, base)} or more, or take the anchor out.`,
    );
  }
}

/** @param {unknown} value */
function isSet(value) {
  return value !== undefined && value !== null;
}
