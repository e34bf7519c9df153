// Latent frames and what a user typed about them: the same rules and sentences as pusa_core/frames.py.

import { WAN } from "./bases.js";
import { LATENT_FRAME, VIDEO_FRAME } from "./generated_facts.js";

export { LATENT_FRAME, VIDEO_FRAME };

/** @typedef {import("./bases.js").Base} Base */

/** A text or a number that the node would refuse; the message is the node's own. */
export class PusaError extends Error {}

/**
 * Latent frames of a video, for Wan 1 -> 1, 5 -> 2, 81 -> 21; frames of an unfinished group at the end are left over.
 * @param {number} length pixel frames, >= 1
 * @param {Base} [base]
 */
export function latentFrameCount(length, base = WAN) {
  return Math.floor((length - 1) / base.stride) + 1;
}

/**
 * Pixel frames that a latent decodes to: 1 -> 1, 21 -> 81.
 * @param {number} latentFrames
 * @param {Base} [base]
 */
export function videoLength(latentFrames, base = WAN) {
  return base.stride * (latentFrames - 1) + 1;
}

/**
 * First pixel frame of a latent frame.
 * @param {number} latentFrame
 * @param {Base} [base]
 */
export function firstPixelFrame(latentFrame, base = WAN) {
  return Math.max(0, base.stride * (latentFrame - 1) + 1);
}

/**
 * Last pixel frame of a latent frame: 0 -> 0, 1 -> 4, 20 -> 80.
 * @param {number} latentFrame
 * @param {Base} [base]
 */
export function lastPixelFrame(latentFrame, base = WAN) {
  return base.stride * latentFrame;
}

/**
 * Latent frame that holds a pixel frame: 0 -> 0, 1 to 4 -> 1, 80 -> 20.
 * @param {number} pixelFrame
 * @param {Base} [base]
 */
export function latentFrameOf(pixelFrame, base = WAN) {
  return Math.ceil(pixelFrame / base.stride);
}

/**
 * Number of things a position can name in a latent.
 * @param {number} latentFrames
 * @param {string} unit "latent frame" or "video frame"
 * @param {Base} [base]
 */
export function positionCount(latentFrames, unit, base = WAN) {
  return unit === VIDEO_FRAME ? videoLength(latentFrames, base) : latentFrames;
}

/**
 * Latent frame in [0, latentFrames) for a typed position; negative counts from the end.
 * @param {number} position
 * @param {number} latentFrames
 * @param {string} [unit] "latent frame" or "video frame"
 * @param {Base} [base]
 */
export function resolvePosition(position, latentFrames, unit = LATENT_FRAME, base = WAN) {
  const count = positionCount(latentFrames, unit, base);
  if (position < -count || position >= count) {
    const last = position >= 0 ? position : -position - 1;
    const needed = videoLength((unit === VIDEO_FRAME ? latentFrameOf(last, base) : last) + 1, base);
    throw new PusaError(
      `Position ${position} is outside this latent of ${count} ${unit}s. ` +
        `Use ${-count} to ${count - 1}, or set the video length to ${needed} or more.`,
    );
  }
  const fromStart = position < 0 ? position + count : position;
  return unit === VIDEO_FRAME ? latentFrameOf(fromStart, base) : fromStart;
}

/**
 * Positions as typed: "0, 10, -1" -> [0, 10, -1].
 * @param {string} text
 * @returns {number[]}
 */
export function parsePositions(text) {
  return entries(text, "positions", "0, 10, -1").map((entry) => {
    if (!/^[+-]?\d{1,9}$/.test(entry)) {
      throw new PusaError(
        `${quoted(entry)} in positions is not a whole number. Write frame numbers with commas between them, ` +
          "such as 0, 10, -1 (negative counts from the end).",
      );
    }
    return Number(entry);
  });
}

/**
 * Noise multipliers as typed: one for all ("0.2"), one per position ("0.2, 0.5") or a ramp ("0..0.2").
 * @param {string} text
 * @param {number} count number of positions
 * @returns {number[]} `count` values, each in [0, 1]
 */
export function parseMultipliers(text, count) {
  const found = entries(text, "noise_multipliers", "0.2, 0.5");
  if (isRamp(text)) {
    const middle = found[0].indexOf("..");
    const [first, last] = [found[0].slice(0, middle), found[0].slice(middle + 2)].map(multiplier);
    return Array.from({ length: count }, (_, i) => first + ((last - first) * i) / Math.max(1, count - 1));
  }
  const values = found.map(multiplier);
  if (values.length === 1) return Array(count).fill(values[0]);
  if (values.length !== count) {
    throw new PusaError(
      `${values.length} noise_multipliers for ${count} positions. ` +
        "Give one value for all of them, or exactly one per position.",
    );
  }
  return values;
}

/**
 * Whether the multipliers are written as a ramp, "0..0.2".
 * @param {string} text
 */
export function isRamp(text) {
  const found = split(text);
  return found.length === 1 && found[0].includes("..");
}

/**
 * Number of entries in a list as typed; a ramp and a single value count as one.
 * @param {string} text
 */
export function listLength(text) {
  return split(text).length;
}

/** @param {string} entry */
function multiplier(entry) {
  const value = numberOf(entry);
  if (value === null) {
    throw new PusaError(
      `${quoted(entry.trim())} in noise_multipliers is not a number. Write values from 0 to 1 with commas between them, ` +
        "such as 0.2, 0.5, or a ramp such as 0..0.2.",
    );
  }
  if (!(value >= 0 && value <= 1)) throw new PusaError(`noise_multiplier is ${written(value)}; use 0 (kept clean) to 1 (free).`);
  return value;
}

/**
 * A typed number as Python reads it.
 * @param {string} text
 * @returns {number | null} null where it is none
 */
export function numberOf(text) {
  const typed = text.trim().toLowerCase();
  const named = /^([+-]?)(nan|inf|infinity)$/.exec(typed);
  if (named) return named[2] === "nan" ? NaN : named[1] === "-" ? -Infinity : Infinity;
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(typed) ? Number(typed) : null;
}

/**
 * A number as Python writes it.
 * @param {number} value
 */
function written(value) {
  if (Number.isInteger(value)) return `${value}.0`;
  return Number.isFinite(value) ? String(value) : String(value).toLowerCase().replace("infinity", "inf");
}

/**
 * @param {string} text
 * @param {string} name
 * @param {string} example
 */
function entries(text, name, example) {
  const found = split(text);
  if (found.length === 0 || found.includes("")) {
    throw new PusaError(`${name} is ${quoted(text)}, which has an empty entry; write it like ${example}.`);
  }
  return found;
}

/**
 * Entries between commas or semicolons; a separator at the very end is forgiven.
 * @param {string} text
 */
function split(text) {
  const found = text.replaceAll(";", ",").split(",").map((entry) => entry.trim());
  if (found[found.length - 1] === "") found.pop();
  return found;
}

/**
 * Text in quotes as Python writes it.
 * @param {string} text
 */
export function quoted(text) {
  const escaped = text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\t", "\\t");
  if (!text.includes("'")) return `'${escaped}'`;
  return text.includes('"') ? `'${escaped.replaceAll("'", "\\'")}'` : `"${escaped}"`;
}
