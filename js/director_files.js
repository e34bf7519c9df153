// Asking a person for a file of their own.
import { make } from "./dom.js";

/** What the tracks take. */
const KINDS = { keys: "image/*", clips: "video/*", sound: "audio/*" };

/**
 * @param {keyof typeof KINDS} lane
 * @returns {Promise<File | null>} null where nothing was chosen
 */
export function pickFile(lane) {
  const input = make("input", { type: "file", accept: KINDS[lane] });
  return new Promise((resolve) => {
    input.addEventListener("change", () => resolve(input.files?.[0] ?? null));
    input.addEventListener("cancel", () => resolve(null));
    input.click();
  });
}
