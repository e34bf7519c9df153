// A view of ours as a widget on its node, in either renderer.
import { app } from "/scripts/app.js";

/** @typedef {import("/scripts/app.js").LGraphNode} LGraphNode */

/**
 * Gives a node a view. It comes last in the list and outside of what is saved and queued: widgets_values stay those of the Python inputs.
 * @param {LGraphNode} node
 * @param {string} type a name of our own: both renderers then leave the element to us
 * @param {HTMLElement} element
 * @param {number} height pixels at zoom 1
 */
export function addView(node, type, element, height) {
  const widget = node.addDOMWidget(type, type, element, {
    serialize: false,
    hideOnZoom: false,
    margin: 6,
    getValue: () => "",
    setValue: () => {},
    getMinHeight: () => height,
  });
  widget.serialize = false;
  return widget;
}

/**
 * Nodes 2.0 keeps the elements of an earlier node where a new graph has one of the same id: ours goes in their place.
 * @param {LGraphNode} node
 * @param {HTMLElement} element
 */
export function takePlace(node, element) {
  if (element.isConnected || node.graph !== app.canvas.graph) return;
  const stale = document.querySelector(`[data-node-id="${node.id}"] .${element.classList[0]}`);
  stale?.replaceWith(element);
}

/**
 * In the classic renderer a view lies over the canvas and would swallow its zoom.
 * @param {HTMLElement} element
 * @param {WheelEvent} event
 */
export function passWheel(element, event) {
  if (element.closest("[data-node-id]")) return;
  event.preventDefault();
  app.canvas.processMouseWheel(event);
}
