// The expert of a loader, and how its node says it; pusa_core/lora/experts.py reads names in the same way.
import { AUTO, EXPERT_NAME_PATTERNS, EXPERT_WHOLE_TERMS, HIGH_NOISE, LOW_NOISE, WAN21, WAN21_PATTERN, WAN22_PATTERN } from "./generated_facts.js";

/** @typedef {"high_noise" | "low_noise" | null} Expert */

/** Header colours, the hues of the timeline's rows. */
export const COLOURS = { high_noise: "#7a4a1c", low_noise: "#23497a" };
const WORDS = { high_noise: "high noise", low_noise: "low noise" };

/**
 * The expert that a loader's inputs name: its choice, else the file's name.
 * @param {{widgets?: {name: string, value?: unknown}[]}} node
 * @returns {Expert}
 */
export function expertOf({ widgets }) {
  const value = (/** @type {string} */ name) => String(widgets?.find((widget) => widget.name === name)?.value ?? "");
  const chosen = value("expert");
  const expert = chosen === AUTO ? expertOfFile(value("lora_name")) : chosen;
  return expert === HIGH_NOISE || expert === LOW_NOISE ? expert : null;
}

/**
 * The model that a file's name says it is for: its own name, else its folders'. Its metadata is Python's to read.
 * @param {string} file below models/loras
 * @returns {string | null} "high_noise", "low_noise", "wan2.1", or null where nothing tells
 */
export function expertOfFile(file) {
  return expertIn(file.split(/[\\/]/).at(-1) ?? "") ?? expertIn(file);
}

/** @param {string} text */
function expertIn(text) {
  const found = /** @type {(keyof typeof EXPERT_NAME_PATTERNS)[]} */ (Object.keys(EXPERT_NAME_PATTERNS)).filter((expert) => EXPERT_NAME_PATTERNS[expert].test(text));
  const saysWan21 = WAN21_PATTERN.test(text) && !WAN22_PATTERN.test(text);
  if (found.length === 1 && !(saysWan21 && !EXPERT_WHOLE_TERMS[found[0]].test(text))) return found[0];
  return saysWan21 && found.length < 2 ? WAN21 : null; // Wan2.1 has no experts: there a lone "low" speaks of something else
}

/**
 * A node's title with its expert, unless the user gave it another one.
 * @param {string} title as it is
 * @param {string} plain the node's display name
 * @param {Expert} expert
 */
export function titleFor(title, plain, expert) {
  const ours = [plain, ...Object.values(WORDS).map((word) => `${plain} (${word})`)];
  if (!ours.includes(title)) return title;
  return expert ? `${plain} (${WORDS[expert]})` : plain;
}

/**
 * A node's colour for its expert, unless the user gave it another one.
 * @param {Expert} expert
 * @param {string | undefined} colour as it is
 */
export function colourOf(expert, colour) {
  if (colour !== undefined && !Object.values(COLOURS).includes(colour)) return colour;
  return expert ? COLOURS[expert] : undefined;
}
