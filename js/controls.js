// Parts that every view of the pack is made of: buttons, fields, drags, and the fence between a view and the canvas below it.
import { make } from "./dom.js";

/**
 * @param {string} text
 * @param {string} title
 * @param {() => void} click
 */
export function button(text, title, click) {
  const element = make("button", { type: "button", title }, text);
  element.addEventListener("click", click);
  return element;
}

/**
 * A moment of the video in seconds.
 * @param {number} frame pixel frame
 * @param {number} fps
 */
export function seconds(frame, fps) {
  return `${(frame / fps).toFixed(2)} s`;
}

/**
 * Keeps the left button and the keys that would delete the node to the view: the canvas below would drag the node or pan. The middle button still pans.
 * @param {HTMLElement} element
 * @param {(event: WheelEvent) => void} wheel what becomes of the wheel
 */
export function fence(element, wheel) {
  for (const name of /** @type {const} */ (["pointerdown", "pointermove", "pointerup"])) {
    element.addEventListener(name, (event) => {
      if (event.button !== 1 && (event.buttons & 4) === 0) event.stopPropagation();
    });
  }
  element.addEventListener("wheel", wheel);
  element.addEventListener("keydown", keepKey);
}

/**
 * A click on a view selects its node: ComfyUI would delete it by a key that no part of the view has taken, and take the letters that search a
 * list for its shortcuts. It leaves text fields alone by itself.
 * @param {KeyboardEvent} event
 */
function keepKey(event) {
  const { target, key, ctrlKey, metaKey, altKey } = event;
  if (target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement) return;
  const deletes = key === "Delete" || key === "Backspace";
  if (deletes) event.preventDefault();
  if (deletes || (target instanceof HTMLSelectElement && !ctrlKey && !metaKey && !altKey)) event.stopPropagation();
}

/**
 * Calls back while the left button drags an element, and once when it is let go.
 * @param {HTMLElement} element
 * @param {{start: (event: PointerEvent) => boolean, move: (event: PointerEvent) => void, end: () => void}} drag start: false declines
 */
export function onDrag(element, { start, move, end }) {
  let dragged = false;
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !start(event)) return;
    dragged = true;
    element.setPointerCapture(event.pointerId);
  });
  element.addEventListener("pointermove", (event) => {
    if (dragged) move(event);
  });
  for (const name of /** @type {const} */ (["pointerup", "pointercancel", "lostpointercapture"])) {
    element.addEventListener(name, () => {
      if (!dragged) return;
      dragged = false;
      end();
    });
  }
}

/**
 * The file that a drag carries; while it is still in the air only its kind is known.
 * @param {DragEvent} event
 * @param {string[]} kinds such as "image"
 * @returns {File | true | null}
 */
export function carriedFile({ dataTransfer }, kinds) {
  const fits = (/** @type {string} */ type) => kinds.some((kind) => type.startsWith(`${kind}/`));
  const file = [...(dataTransfer?.files ?? [])].find(({ type }) => fits(type));
  if (file) return file;
  return [...(dataTransfer?.items ?? [])].some(({ kind, type }) => kind === "file" && fits(type)) || null;
}
