// Following links through a graph: reroutes, bypassed nodes and subgraphs are looked through.

import { SPEED, SPEED_OUTPUTS, SPEED_WAYS } from "./generated_facts.js";

/** Where a link crosses a subgraph's boundary: numbers, and texts from frontend 1.49 on. */
export const SUBGRAPH_INPUT = "-10";
export const SUBGRAPH_OUTPUT = "-20";
const BYPASSED = 4;
const NEVER = 2;
/** More hops than any graph has: a cycle ends here. */
const LIMIT = 500;

/**
 * The parts of a node, a link and a graph that are read here; ComfyUI's own objects have them.
 * @typedef {object} Widget
 * @property {string} name
 * @property {unknown} [value]
 * @typedef {object} Slot
 * @property {string} name
 * @property {unknown} type
 * @property {number | null} [link]
 * @property {number[] | null} [links]
 * @typedef {object} Node
 * @property {number | string} id
 * @property {string} [comfyClass]
 * @property {string} [type]
 * @property {string} [title]
 * @property {number} [mode]
 * @property {Slot[]} [inputs]
 * @property {Slot[]} [outputs]
 * @property {Widget[]} [widgets]
 * @property {Graph | null} [graph]
 * @property {Graph} [subgraph] of a subgraph's instance
 * @typedef {{origin_id: number | string, origin_slot: number, target_id: number | string, target_slot: number}} Link
 * @typedef {object} Graph
 * @property {(id: number | null | undefined) => Link | undefined} getLink
 * @property {(id: number | string) => Node | null | undefined} getNodeById
 * @property {Node[]} [nodes]
 * @property {Graph} [rootGraph]
 * @property {{linkIds: number[]}[]} [inputs] of a subgraph
 * @property {{linkIds: number[]}[]} [outputs] of a subgraph
 */
/** @typedef {{node: Node, slot: number}} End One end of a link: a node and its slot's index. */

/**
 * The node and output that an input gets its value from.
 * @param {Node} node
 * @param {string | number} input name or index
 * @returns {End | null} null where nothing is connected
 */
export function sourceOf(node, input) {
  const slot = typeof input === "number" ? input : slotIndex(node.inputs, input);
  return upstream(node, slot, 0);
}

/**
 * Every node input that an output feeds.
 * @param {Node} node
 * @param {number} slot of the output
 * @returns {End[]}
 */
export function targetsOf(node, slot) {
  return downstream(node, slot, 0);
}

/**
 * Value of a widget, or of what is connected to its input.
 * @param {Node} node
 * @param {string} name
 * @returns {unknown} undefined where it cannot be known before the graph runs
 */
export function valueOf(node, name) {
  const slot = slotIndex(node.inputs, name);
  if (slot >= 0 && node.inputs?.[slot].link != null) {
    const outer = promotedWidget(node, slot);
    if (outer) return outer.value;
    const source = sourceOf(node, slot);
    const way = source && speedWay(source.node);
    if (way) return valueOf(source.node, `${way}_${SPEED_OUTPUTS[source.slot]}`);
    // Primitives hold one widget called value; of any other node we cannot tell what it will put out.
    return source?.node.widgets?.find((widget) => widget.name === "value")?.value;
  }
  return node.widgets?.find((widget) => widget.name === name)?.value;
}

/**
 * The way that a Speed or Quality node takes.
 * @param {Node} node
 * @returns {string | null} null for any other node, and where only the run decides
 */
function speedWay(node) {
  const fast = classOf(node) === SPEED ? valueOf(node, "fast") : undefined;
  return typeof fast === "boolean" ? SPEED_WAYS[fast ? 0 : 1] : null;
}

/**
 * Whether something is connected to an input, so that its widget does not decide.
 * @param {Node} node
 * @param {string} name
 */
export function isLinked(node, name) {
  return node.inputs?.some((input) => input.name === name && input.link != null) ?? false;
}

/**
 * Whether a node is in a graph or in one of its boxes. Some frontends let a box go without telling the nodes in it.
 * @param {{graph?: unknown}} node
 * @param {{subgraphs?: Map<unknown, unknown>}} root the outermost graph
 */
export function isWithin({ graph }, root) {
  return graph === root || [...(root.subgraphs?.values() ?? [])].includes(graph);
}

/**
 * Does something to all whose node is in the graph; those whose box is gone are forgotten. A node without a graph is not placed yet.
 * @template T
 * @param {Set<T>} members
 * @param {(member: T) => {graph?: unknown}} nodeOf
 * @param {{subgraphs?: Map<unknown, unknown>}} root the outermost graph
 * @param {(member: T) => void} act
 */
export function forEachWithin(members, nodeOf, root, act) {
  for (const member of members) {
    const node = nodeOf(member);
    if (isWithin(node, root)) act(member);
    else if (node.graph) members.delete(member);
  }
}

/**
 * ComfyUI's name for a node's class.
 * @param {Node} node
 */
export function classOf(node) {
  return node.comfyClass ?? node.type ?? "";
}

/**
 * @param {Slot[] | undefined} slots
 * @param {string} name
 */
export function slotIndex(slots, name) {
  return slots?.findIndex((slot) => slot.name === name) ?? -1;
}

/**
 * @param {Node} node
 * @param {number} slot
 * @param {number} hops
 * @returns {End | null}
 */
function upstream(node, slot, hops) {
  const { graph } = node;
  const link = graph?.getLink(node.inputs?.[slot]?.link);
  if (!graph || !link || hops > LIMIT) return null;
  if (String(link.origin_id) === SUBGRAPH_INPUT) {
    const instance = instanceOf(graph);
    return instance && upstream(instance, link.origin_slot, hops + 1);
  }
  const origin = graph.getNodeById(link.origin_id);
  return origin ? seenThrough(origin, link.origin_slot, hops) : null;
}

/**
 * @param {Node} node
 * @param {number} slot of its output
 * @param {number} hops
 * @returns {End | null}
 */
function seenThrough(node, slot, hops) {
  if (node.mode === NEVER) return null;
  if (node.mode === BYPASSED) {
    const input = passedInput(node, slot);
    return input < 0 ? null : upstream(node, input, hops + 1);
  }
  if (node.type === "Reroute") return upstream(node, 0, hops + 1);
  const way = SPEED_OUTPUTS[slot] === "model" && speedWay(node);
  if (way) return upstream(node, slotIndex(node.inputs, `${way}_model`), hops + 1);
  if (!node.subgraph) return { node, slot };
  const inner = node.subgraph.getLink(node.subgraph.outputs?.[slot]?.linkIds[0]);
  const origin = inner && node.subgraph.getNodeById(inner.origin_id);
  return origin && hops < LIMIT ? seenThrough(origin, inner.origin_slot, hops + 1) : null;
}

/**
 * @param {Node} node
 * @param {number} slot of its output
 * @param {number} hops
 * @returns {End[]}
 */
function downstream(node, slot, hops) {
  const { graph } = node;
  if (!graph || hops > LIMIT) return [];
  return (node.outputs?.[slot]?.links ?? []).flatMap((id) => {
    const link = graph.getLink(id);
    return link ? arrivals(graph, link, hops) : [];
  });
}

/**
 * @param {Graph} graph
 * @param {Link} link
 * @param {number} hops
 * @returns {End[]}
 */
function arrivals(graph, link, hops) {
  if (String(link.target_id) === SUBGRAPH_OUTPUT) {
    const instance = instanceOf(graph);
    return instance ? downstream(instance, link.target_slot, hops + 1) : [];
  }
  const target = graph.getNodeById(link.target_id);
  if (!target || target.mode === NEVER) return [];
  if (target.mode === BYPASSED || target.type === "Reroute") {
    return (target.outputs ?? []).flatMap((_, slot) =>
      target.type === "Reroute" || passedInput(target, slot) === link.target_slot ? downstream(target, slot, hops + 1) : [],
    );
  }
  const { subgraph } = target;
  if (!subgraph) return [{ node: target, slot: link.target_slot }];
  return (subgraph.inputs?.[link.target_slot]?.linkIds ?? []).flatMap((id) => {
    const inner = subgraph.getLink(id);
    return inner && hops < LIMIT ? arrivals(subgraph, inner, hops + 1) : [];
  });
}

/**
 * The input that a bypassed node passes on to an output: the one at the same place, else the first of the type.
 * @param {Node} node
 * @param {number} slot of the output
 */
function passedInput(node, slot) {
  const type = node.outputs?.[slot]?.type;
  const inputs = node.inputs ?? [];
  return inputs[slot]?.type === type ? slot : inputs.findIndex((input) => input.type === type);
}

/**
 * The node that stands for a subgraph, the first one where there are several.
 * @param {Graph} subgraph
 * @returns {Node | null}
 */
function instanceOf(subgraph) {
  const root = subgraph.rootGraph;
  if (!root || root === subgraph) return null;
  const waiting = [root];
  const seen = new Set(waiting);
  for (const graph of waiting) {
    for (const node of graph.nodes ?? []) {
      if (node.subgraph === subgraph) return node;
      if (node.subgraph && !seen.has(node.subgraph)) {
        seen.add(node.subgraph);
        waiting.push(node.subgraph);
      }
    }
  }
  return null;
}

/**
 * The widget on a subgraph's node that decides an inner input, if that is where its link leads.
 * @param {Node} node
 * @param {number} slot
 * @returns {Widget | null}
 */
function promotedWidget(node, slot) {
  const link = node.graph?.getLink(node.inputs?.[slot]?.link);
  if (!node.graph || !link || String(link.origin_id) !== SUBGRAPH_INPUT) return null;
  const instance = instanceOf(node.graph);
  const input = instance?.inputs?.[link.origin_slot];
  if (!instance || !input) return null;
  if (input.link != null) return promotedWidget(instance, link.origin_slot);
  return instance.widgets?.find((widget) => widget.name === input.name) ?? null;
}
