// What the node refuses in a project, in its own sentences: the rules of pusa_core/project/text.py.
import { EXPERT_CHOICES, MOST_CANDIDATES, MOST_WINDOWS, PROJECT_COLOURS, PROJECT_RESIZES, PROJECT_VERSION, PROMPT_STEPS } from "./generated_facts.js";
import { PusaError, quoted } from "./latent_frames.js";

/** @typedef {(place: string, value: any) => void} Check */
/** @typedef {{required?: string[], checks: Record<string, Check>, lists?: Record<string, Rules>}} Rules What an object takes. */

const SEED_END = 2n ** 64n - 1n;
const LONGEST = 10_001;

/** @type {Check} */
const text = (place, value) => {
  if (typeof value !== "string") refuse(place, value, "text in quotes");
};
/** @type {Check} */
const name = (place, value) => {
  if (typeof value !== "string" || !value.trim()) refuse(place, value, "the name of a file");
};
/** @type {Check} */
const windowId = (place, value) => {
  if (typeof value !== "string" || !/^[A-Za-z0-9_-]{1,32}$/.test(value)) refuse(place, value, "1 to 32 letters, digits, _ and -");
};
/** @type {Check} */
const truth = (place, value) => {
  if (typeof value !== "boolean") refuse(place, value, "true or false");
};

/** @type {(least: number, most?: number | bigint) => Check} */
const number = (least, most) => (place, value) => {
  if (!isNumber(value) || !isWithin(value, least, most)) refuse(place, value, `a number ${range(least, most)}`);
};
/** @type {(least: number, most?: number | bigint) => Check} */
const whole = (least, most) => (place, value) => {
  const isWhole = typeof value === "bigint" || Number.isInteger(value);
  if (!isWhole || !isWithin(value, least, most)) refuse(place, value, `a whole number ${range(least, most)}`);
};
/** @type {(choices: string[]) => Check} */
const oneOf = (choices) => (place, value) => {
  if (!choices.includes(value)) refuse(place, value, `one of ${choices.join(", ")}`);
};
const share = number(0, 1);

/** @type {Rules} */
const LORA = { required: ["name"], checks: { name, strength: number(-20, 20), expert: oneOf(EXPERT_CHOICES) } };
/** @type {Rules} */
const WINDOW = {
  required: ["id"],
  checks: {
    id: windowId,
    prompt: text,
    negative: text,
    length: whole(1, LONGEST),
    overlap: whole(1, LONGEST),
    seed: whole(0, SEED_END),
    steps: whole(1, 1000),
    cfg: number(0, 100),
    noise_multipliers: text,
    lock: truth,
    bridge: truth,
    retake: whole(0, 1_000_000),
    candidates: whole(1, MOST_CANDIDATES),
    chosen: whole(0, MOST_CANDIDATES - 1),
  },
  lists: { loras: LORA },
};
/** @type {Record<string, Rules>} */
const LISTS = {
  keys: { required: ["at", "picture"], checks: { at: whole(0), picture: name, multiplier: share } },
  clips: { required: ["at", "file"], checks: { at: whole(0), file: name, from: number(0), frames: whole(1), multiplier: share } },
  prompts: { required: ["at", "text"], checks: { at: number(0), text } },
};
/** @type {Record<string, Rules>} */
const OBJECTS = {
  anchor: { required: ["picture"], checks: { picture: name, multiplier: share } },
  sound: { required: ["file"], checks: { file: name, from: number(0) } },
};
/** @type {Record<string, Check>} */
const VIDEO = { window: whole(1, LONGEST), overlap: whole(1, LONGEST), negative: text, noise_multipliers: text, colour: oneOf(PROJECT_COLOURS), resize: oneOf(PROJECT_RESIZES), only: windowId, prompts_by: oneOf(PROMPT_STEPS) };

/**
 * Throws the first sentence that the node would refuse a project with.
 * @param {any} value
 */
export function checkProject(value) {
  mustBeObject("project", value);
  if (isAbsent(value.version)) throw new PusaError(`project has no version. Write "version": ${PROJECT_VERSION}.`);
  whole(1)("version", value.version);
  if (value.version !== PROJECT_VERSION) {
    throw new PusaError(
      `project has version ${value.version}; this ComfyUI-Pusa reads version ${PROJECT_VERSION}. ` +
        (value.version > PROJECT_VERSION ? "Update ComfyUI-Pusa." : `Write "version": ${PROJECT_VERSION}.`),
    );
  }
  const windows = checkList("windows", value.windows, WINDOW);
  if (windows.length === 0) throw new PusaError('project has no windows. Add at least one, such as {"id": "w1", "prompt": "..."}.');
  if (windows.length > MOST_WINDOWS) throw new PusaError(`project has ${windows.length} windows; ${MOST_WINDOWS} is the most.`);
  for (const [list, rules] of Object.entries(LISTS)) checkList(list, value[list], rules);
  for (const [one, rules] of Object.entries(OBJECTS)) {
    if (isAbsent(value[one])) continue;
    mustBeObject(one, value[one]);
    checkEntry(one, value[one], rules);
  }
  checkEntry("project", value, { checks: VIDEO }, ["version", "windows", ...Object.keys(LISTS), ...Object.keys(OBJECTS)]);
  checkTogether(value);
}

/**
 * @param {string} place
 * @param {any} value
 * @param {Rules} rules
 * @returns {any[]}
 */
function checkList(place, value, rules) {
  if (isAbsent(value)) return [];
  if (!Array.isArray(value)) refuse(place, value, "a list in [ ]");
  value.forEach((/** @type {any} */ each, /** @type {number} */ i) => mustBeObject(`${place}[${i}]`, each));
  value.forEach((/** @type {any} */ each, /** @type {number} */ i) => checkEntry(`${place}[${i}]`, each, rules));
  return value;
}

/**
 * @param {string} place
 * @param {any} entry
 * @param {Rules} rules
 * @param {string[]} [others] keys that were looked at already
 */
function checkEntry(place, entry, { required = [], checks, lists = {} }, others = []) {
  const inside = (/** @type {string} */ key) => (place === "project" ? key : `${place}.${key}`);
  for (const [list, rules] of Object.entries(lists)) checkList(inside(list), entry[list], rules);
  const known = [...Object.keys(checks), ...Object.keys(lists), ...others].sort();
  const [unknown] = Object.keys(entry).filter((key) => !known.includes(key)).sort();
  if (unknown !== undefined) throw new PusaError(`${inside(unknown)} is not known. ${place} takes: ${known.join(", ")}.`);
  const missing = required.find((key) => isAbsent(entry[key]));
  if (missing !== undefined) throw new PusaError(`${inside(missing)} is missing. Write it; ${place} needs it.`);
  for (const [key, check] of Object.entries(checks)) if (!isAbsent(entry[key])) check(inside(key), entry[key]);
}

/** What no entry can tell alone. @param {any} project */
function checkTogether({ windows, prompts, colour, anchor, only }) {
  const first = new Map();
  windows.forEach((/** @type {any} */ { id, chosen, candidates, bridge }, /** @type {number} */ i) => {
    const place = `windows[${i}]`;
    const twin = first.get(id.toLowerCase());
    if (twin !== undefined) {
      throw new PusaError(
        `${place}.id is ${quoted(id)}, as windows[${twin}].id is; files are named after it, and some disks take capital and ` +
          "small letters for one. Give each window an id of its own.",
      );
    }
    first.set(id.toLowerCase(), i);
    const made = candidates ?? 1;
    if ((chosen ?? 0) >= made) {
      throw new PusaError(
        `${place}.chosen is ${chosen ?? 0}, but ${made} ${made === 1 ? "is" : "are"} made, counted from 0. Use 0 to ${made - 1}, or more candidates.`,
      );
    }
    if (bridge && i === 0) throw new PusaError(`${place} is a bridge, but nothing is before it. Take bridge out, or move it behind another window.`);
    if (bridge && i === windows.length - 1) throw new PusaError(`${place} is a bridge, but nothing is after it. Take bridge out, or add a window behind it.`);
  });
  if (colour === "anchor" && isAbsent(anchor)) {
    throw new PusaError('colour is "anchor", but the project has no anchor. Add "anchor": {"picture": "..."}, or use another colour.');
  }
  if (!isAbsent(only) && !windows.some((/** @type {any} */ { id }) => id === only)) {
    throw new PusaError(`only is ${quoted(only)}, but no window has this id. Write the id of one of windows.`);
  }
  const starts = (prompts ?? []).map((/** @type {any} */ { at }) => at).sort((/** @type {number} */ a, /** @type {number} */ b) => a - b);
  const twice = starts.find((/** @type {number} */ at, /** @type {number} */ i) => i > 0 && starts[i - 1] === at);
  if (twice !== undefined) throw new PusaError(`Two prompts hold from second ${twice}. Give each a second of its own.`);
}

/**
 * @param {string} place
 * @param {unknown} value
 */
function mustBeObject(place, value) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(place, value, "an object in { }");
}

/** @param {unknown} value */
function isAbsent(value) {
  return value === undefined || value === null;
}

/** @param {unknown} value */
function isNumber(value) {
  return typeof value === "bigint" || (typeof value === "number" && Number.isFinite(value));
}

/**
 * @param {number | bigint} value
 * @param {number} least
 * @param {number | bigint} [most]
 */
function isWithin(value, least, most) {
  return value >= least && (most === undefined || value <= (typeof value === "number" ? Number(most) : most));
}

/**
 * @param {number} least
 * @param {number | bigint} [most]
 */
function range(least, most) {
  return most === undefined ? `from ${least} on` : `from ${least} to ${most}`;
}

/**
 * @param {string} place
 * @param {unknown} value
 * @param {string} wanted
 * @returns {never}
 */
function refuse(place, value, wanted) {
  const shown = [...written(value)];
  throw new PusaError(`${place} is ${shown.length <= 60 ? shown.join("") : `${shown.slice(0, 57).join("")}...`}; use ${wanted}.`);
}

/**
 * One value as JSON on one line, spaced as Python and people write it.
 * @param {unknown} value
 * @returns {string}
 */
export function written(value) {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map(written).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  return `{${entries.map(([key, each]) => `${JSON.stringify(key)}: ${written(each)}`).join(", ")}}`;
}
