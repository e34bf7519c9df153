// The expert of a loader, and how its node says it.

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
  if (chosen === "high_noise" || chosen === "low_noise") return chosen;
  if (chosen !== "auto") return null;
  const file = value("lora_name").toLowerCase();
  const high = /(^|[^a-z])high([^a-z]|$)|high_?noise/.test(file);
  const low = /(^|[^a-z])low([^a-z]|$)|low_?noise/.test(file);
  if (high === low) return null;
  return high ? "high_noise" : "low_noise";
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
