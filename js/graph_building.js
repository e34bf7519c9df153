// Adding nodes and links to the graph on screen, and telling the user about it.
import { app } from "/scripts/app.js";
import { slotIndex } from "./wires.js";

/** @typedef {import("/scripts/app.js").LGraphNode} LGraphNode */

const GAP = 40;
const ROW = 120;

/**
 * A new node left of another one.
 * @param {string} type
 * @param {LGraphNode} beside
 * @param {number} row how many rows under the other node's top
 * @returns {LGraphNode | null} null where ComfyUI has no such node
 */
export function newNode(type, beside, row) {
  const node = LiteGraph.createNode(type);
  if (!node || !beside.graph) return null;
  node.pos = [beside.pos[0] - Math.max(node.size[0], 270) - GAP, beside.pos[1] + row * ROW];
  beside.graph.add(node);
  return node;
}

/**
 * Links an output to an input by the input's name.
 * @param {LGraphNode} from
 * @param {number} slot
 * @param {LGraphNode} to
 * @param {string} input
 */
export function link(from, slot, to, input) {
  from.connectSlots(from.outputs[slot], to, to.inputs[slotIndex(to.inputs, input)], undefined);
}

/**
 * Writes a widget as if the user had typed it.
 * @param {LGraphNode} node
 * @param {string} name
 * @param {string | number} value
 */
export function write(node, name, value) {
  const widget = node.widgets?.find((each) => each.name === name);
  if (!widget || widget.value === value) return;
  widget.value = value;
  widget.callback?.(value, app.canvas, node);
  node.setDirtyCanvas(true, true);
}

/** Lets ComfyUI's undo see a finished edit. */
export function remember() {
  app.extensionManager.workflow?.activeWorkflow?.changeTracker?.checkState();
}

/**
 * A message in the corner of the page.
 * @param {string} detail
 * @param {"info" | "warn"} [severity]
 */
export function tell(detail, severity = "warn") {
  app.extensionManager.toast.add({ severity, summary: "Pusa", detail, life: 6000 });
}
