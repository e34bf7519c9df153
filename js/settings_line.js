// A run's settings as one line of text: the sampling nodes tell it, a button on them and a command of the menu copy it.
import { app } from "/scripts/app.js";
import { make, say } from "./dom.js";

export const COPY_LABEL = "Pusa: copy the settings of the last run";
const COPY = "Copy settings";
const COPIED = "Copied";
const MOMENT_MS = 1500;

/** What the newest run told, of any node, in boxes too. */
let newest = "";

/**
 * The settings that a node's output tells.
 * @param {unknown} output
 * @returns {string} empty where it tells none
 */
export function remember(output) {
  const [line] = /** @type {{pusa_settings?: string[]}} */ (output ?? {}).pusa_settings ?? [];
  newest = line ?? newest;
  return line ?? "";
}

/**
 * A button that copies a line, hidden until it is offered one.
 * @returns {{element: HTMLElement, offer: (line: string) => void}}
 */
export function copyButton() {
  const element = make("button", { class: "pusa-copy", type: "button", hidden: "" }, COPY);
  let offered = "";
  element.addEventListener("click", () => {
    void copy(offered).then((done) => {
      say(element, done ? COPIED : COPY);
      setTimeout(() => say(element, COPY), MOMENT_MS);
    });
  });
  return {
    element,
    offer(line) {
      offered = line;
      element.hidden = !line;
      element.title = line;
    },
  };
}

/** Copies the settings of the newest run, and says so. */
export async function copyNewest() {
  const done = newest !== "" && (await copy(newest));
  const detail = done ? newest : newest ? "The browser allows no copying here." : "No sampling node of this pack has run yet.";
  app.extensionManager.toast.add({ severity: done ? "success" : "warn", summary: done ? COPIED : COPY, detail, life: 4 * MOMENT_MS });
}

/**
 * Puts a text on the clipboard, on pages without https too.
 * @param {string} text
 * @returns {Promise<boolean>} whether it is there
 */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make("textarea", {}, text);
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
