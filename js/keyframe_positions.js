// Where the Keyframe Spreader puts its pictures, as pusa_core/keyframes.py does.
import { WAN } from "./bases.js";
import { SPACINGS } from "./generated_facts.js";
import { PusaError, VIDEO_FRAME, numberOf, parsePositions, quoted, resolvePosition, videoLength } from "./latent_frames.js";

export const [EVEN, SECONDS, VIDEO_FRAMES, LATENT_FRAMES] = SPACINGS;

/**
 * The latent frame of each picture.
 * @param {number | null} count number of pictures, null where it is not known yet
 * @param {number} latentFrames of the video
 * @param {string} spacing "even", "seconds", "video frames" or "latent frames"
 * @param {string} times one entry per picture, empty for "even"
 * @param {number} fps frames per second of the video, for seconds
 * @param {import("./bases.js").Base} [base]
 * @returns {number[]}
 */
export function keyframePositions(count, latentFrames, spacing, times, fps, base = WAN) {
  if (spacing === EVEN) {
    if (times.trim()) {
      throw new PusaError(`times is ${quoted(times)}, but even spacing needs none. Clear times, or choose another spacing.`);
    }
    if (count === null) throw new PusaError("How many pictures come in is known once the graph runs; even spacing depends on it.");
    return evenPositions(count, latentFrames, base);
  }
  const positions =
    spacing === SECONDS
      ? times.replaceAll(";", ",").split(",").map((entry) => atSecond(entry, latentFrames, fps, base))
      : parsePositions(times).map((frame) => resolvePosition(frame, latentFrames, spacing === VIDEO_FRAMES ? VIDEO_FRAME : undefined, base));
  if (count !== null && positions.length !== count) {
    throw new PusaError(`${positions.length} times for ${count} pictures (${times}). Write one time for each picture.`);
  }
  return positions;
}

/**
 * @param {number} count
 * @param {number} latentFrames
 * @param {import("./bases.js").Base} base
 */
function evenPositions(count, latentFrames, base) {
  if (count > latentFrames) {
    throw new PusaError(
      `${count} pictures do not fit into ${latentFrames} latent frames, one in each. Use fewer pictures, ` +
        `or set the video length to ${videoLength(count, base)} or more.`,
    );
  }
  if (count === 1) return [0];
  return Array.from({ length: count }, (_, i) => Math.floor((i * (latentFrames - 1)) / (count - 1) + 0.5));
}

/**
 * @param {string} entry
 * @param {number} latentFrames
 * @param {number} fps
 * @param {import("./bases.js").Base} base
 */
function atSecond(entry, latentFrames, fps, base) {
  const length = videoLength(latentFrames, base);
  const second = numberOf(entry);
  if (second === null) {
    throw new PusaError(`${quoted(entry.trim())} in times is not a number of seconds. Write seconds with commas between them, such as 0, 2.5, 5.`);
  }
  if (!(second * fps >= 0 && second * fps < length - 0.5)) {
    throw new PusaError(
      `${short(second)} s is outside this video of ${length} frames at ${short(fps)} per second. Use 0 to ${short((length - 1) / fps)} s.`,
    );
  }
  return resolvePosition(Math.floor(second * fps + 0.5), latentFrames, VIDEO_FRAME, base);
}

/**
 * A number in six digits as Python's format "g" writes it.
 * @param {number} value
 */
function short(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  const [digits, power] = value.toExponential(5).split("e").map(Number);
  if (power >= -4 && power < 6) return String(Number(value.toPrecision(6)));
  return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}
