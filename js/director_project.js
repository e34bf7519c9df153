// The Director's text: the project that it holds, and the text that an edit leaves.
import { WAN } from "./bases.js";
import { checkProject, written } from "./director_check.js";
import { checkPlan } from "./director_plan_check.js";
import { PROJECT_VERSION } from "./generated_facts.js";
import { PusaError } from "./latent_frames.js";

/**
 * @typedef {object} Lora
 * @property {string} name file in the folder loras
 * @property {number} [strength] 1 where it is absent
 * @property {string} [expert] "auto", "high_noise" or "low_noise"
 *
 * @typedef {object} ProjectWindow One run of the model; what is absent is the video's own.
 * @property {string} id
 * @property {string} [prompt]
 * @property {string} [negative]
 * @property {number} [length] video frames
 * @property {number} [overlap] video frames shared with the window before
 * @property {number | bigint} [seed]
 * @property {number} [steps]
 * @property {number} [cfg]
 * @property {string} [noise_multipliers]
 * @property {Lora[]} [loras]
 * @property {boolean} [lock] never made again
 * @property {boolean} [bridge] made between its two neighbours
 * @property {number} [retake] how often it was taken again
 * @property {number} [candidates] how many to make
 * @property {number} [chosen] which one is in the video, from 0
 *
 * @typedef {{at: number, picture: string, multiplier?: number}} Key
 * @typedef {{at: number, file: string, from?: number, frames?: number, multiplier?: number}} Clip
 * @typedef {{at: number, text: string}} TimedPrompt
 *
 * @typedef {object} Project
 * @property {number} version
 * @property {number} [window] video frames of a window
 * @property {number} [overlap] video frames that neighbours share
 * @property {string} [negative]
 * @property {string} [noise_multipliers]
 * @property {string} [colour]
 * @property {string} [resize]
 * @property {string} [prompts_by] "window" or "frame": what follows a prompt as a whole
 * @property {ProjectWindow[]} windows
 * @property {Key[]} [keys] at: video frame
 * @property {Clip[]} [clips] at: video frame
 * @property {TimedPrompt[]} [prompts] at: second
 * @property {{picture: string, multiplier?: number}} [anchor]
 * @property {{file: string, from?: number}} [sound]
 *
 * @typedef {object} Reading
 * @property {Project} project an empty one where the text cannot be read
 * @property {string} problem the sentence the node would refuse with, empty where it would not
 * @property {boolean} readable false where the text is shown, never edited
 */

/** The lists of a project whose entries lie at a place of the video. */
export const PLACED = /** @type {const} */ (["keys", "clips", "prompts"]);
const LISTS = ["windows", ...PLACED];
const OBJECTS = ["anchor", "sound"];

/**
 * Reads the text as the node will; a project with a fault in it can be drawn and mended as long as its parts can be told.
 * @param {string | undefined} text undefined where it is linked and only the run knows it
 * @param {import("./bases.js").Base} [base]
 * @returns {Reading}
 */
export function readProject(text, base = WAN) {
  /** @type {Project} */
  const empty = { version: PROJECT_VERSION, windows: [] };
  if (text === undefined) return { project: empty, problem: "project comes from another node and is known once the graph runs.", readable: false };
  let value;
  try {
    value = JSON.parse(text, wholeNumbers);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const problem =
      `project is no JSON: ${error.message}. Mend it there, or empty it and begin ` +
      `with {"version": ${PROJECT_VERSION}, "windows": [{"id": "w1", "prompt": "..."}]}.`;
    // nothing typed is nothing to lose: it can be filled from the tracks
    return { project: empty, problem, readable: !text.trim() };
  }
  const problem = refusal(() => {
    checkProject(value);
    checkPlan(value, base);
  });
  return isDrawable(value) ? { project: { ...value, windows: value.windows ?? [] }, problem, readable: true } : { project: empty, problem, readable: false };
}

/**
 * JSON's reviver for seeds that are larger than JavaScript's whole numbers.
 * @param {string} _name
 * @param {unknown} value
 * @param {{source?: string}} [context] newer browsers tell what was written
 */
function wholeNumbers(_name, value, context) {
  const isLarge = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "");
  return isLarge ? BigInt(/** @type {string} */ (context?.source)) : value;
}

/** @param {any} value */
function isDrawable(value) {
  if (!isObject(value) || value.version !== PROJECT_VERSION) return false;
  const lists = LISTS.map((name) => value[name] ?? []);
  return (
    lists.every((list) => Array.isArray(list) && list.every(isObject)) &&
    lists[0].every((/** @type {any} */ { id, loras }) => typeof id === "string" && (Array.isArray(loras ?? []) && (loras ?? []).every(isObject))) &&
    new Set(lists[0].map((/** @type {any} */ { id }) => id)).size === lists[0].length &&
    lists.slice(1).flat().every(({ at }) => typeof at === "number") &&
    OBJECTS.every((name) => isObject(value[name] ?? {}))
  );
}

/**
 * @param {() => void} act
 * @returns {string}
 */
function refusal(act) {
  try {
    act();
    return "";
  } catch (error) {
    if (error instanceof PusaError) return error.message;
    throw error;
  }
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, any>}
 */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The text of a project: a line for each entry of its lists, so that people can read it.
 * @param {Project} project
 */
export function writeProject(project) {
  const entries = Object.entries(project).filter(([name, value]) => value !== undefined && (name === "windows" || !(Array.isArray(value) && value.length === 0)));
  const lines = entries.map(([name, value]) => {
    if (!Array.isArray(value)) return ` ${JSON.stringify(name)}: ${written(value)}`;
    return ` ${JSON.stringify(name)}: [${value.map((each) => `\n  ${written(each)}`).join(",")}${value.length > 0 ? "\n " : ""}]`;
  });
  return `{\n${lines.join(",\n")}\n}`;
}
