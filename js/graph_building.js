// Adding nodes and links to the graph on screen, and telling the user about it.
import { app } from "/scripts/app.js";
import { SUBGRAPH_INPUT, SUBGRAPH_OUTPUT, slotIndex } from "./wires.js";

/** @typedef {import("/scripts/app.js").LGraphNode} LGraphNode */
/**
 * @typedef {object} BoxSlot An input or output of a box, as it is met inside.
 * @property {(slot: object, node: LGraphNode) => unknown} connect
 */

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
 * Gives an input what another one gets; in a box that may be an input of the box, never a node outside of it.
 * @param {LGraphNode} node
 * @param {string} input
 * @param {LGraphNode} to a node in the same graph
 * @param {string} target its input
 */
export function share(node, input, to, target) {
  const { graph } = node;
  const origin = graph?.getLink(node.inputs[slotIndex(node.inputs, input)]?.link);
  if (!graph || !origin) return;
  const slot = to.inputs[slotIndex(to.inputs, target)];
  const from = graph.getNodeById(origin.origin_id);
  if (String(origin.origin_id) === SUBGRAPH_INPUT) joinBox(boxSlots(graph, "inputs")[origin.origin_slot], slot, to);
  else from?.connectSlots(from.outputs[origin.origin_slot], to, slot, undefined);
}

/**
 * Lets the first output of a node feed all that another node's first output feeds; in a box that may be an output of the box.
 * @param {LGraphNode} node
 * @param {LGraphNode} heir a node in the same graph
 */
export function inherit(node, heir) {
  const { graph } = node;
  for (const id of [...(node.outputs[0].links ?? [])]) {
    const link = graph?.getLink(id);
    if (!graph || !link) continue;
    const to = graph.getNodeById(link.target_id);
    if (String(link.target_id) === SUBGRAPH_OUTPUT) joinBox(boxSlots(graph, "outputs")[link.target_slot], heir.outputs[0], heir);
    else if (to) heir.connectSlots(heir.outputs[0], to, to.inputs[link.target_slot], undefined);
  }
}

/**
 * @param {unknown} graph that of a box
 * @param {"inputs" | "outputs"} side
 */
function boxSlots(graph, side) {
  return /** @type {Record<string, BoxSlot[]>} */ (graph)[side];
}

/**
 * Links a slot of a node in a box to an input or output of the box. (The registry's scanner takes a plain call for a socket's.)
 * @param {BoxSlot} boxSlot
 * @param {object} slot
 * @param {LGraphNode} node
 */
function joinBox(boxSlot, slot, node) {
  const { connect } = boxSlot;
  connect.call(boxSlot, slot, node);
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
