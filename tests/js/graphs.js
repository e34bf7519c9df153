// Graphs for tests, as the browser holds them.

/** @typedef {import("../../js/wires.js").Node} Node */

/**
 * Nodes of a graph; a value [id] is a link to that node's first output, any other a widget.
 * @param {Record<string, [string, Record<string, unknown>, number?]>} content by id: class, inputs, mode
 * @returns {Node[]}
 */
export function graph(content) {
  /** @type {import("../../js/wires.js").Link[]} */
  const links = [];
  /** @type {Node[]} */
  const nodes = [];
  /** @type {import("../../js/wires.js").Graph} */
  const owner = {
    nodes,
    getLink: (id) => (id == null ? undefined : links[id]),
    getNodeById: (id) => nodes.find((node) => node.id === id) ?? null,
  };
  for (const [id, [comfyClass, values, mode = 0]] of Object.entries(content)) {
    const inputs = Object.entries(values).flatMap(([name, value], slot) => {
      if (!Array.isArray(value)) return [];
      links.push({ origin_id: value[0], origin_slot: 0, target_id: id, target_slot: slot });
      return [{ name, type: "*", link: links.length - 1 }];
    });
    const widgets = Object.entries(values).flatMap(([name, value]) => (Array.isArray(value) ? [] : [{ name, value }]));
    nodes.push({ id, comfyClass, mode, inputs, widgets, outputs: [{ name: "out", type: "*", links: [] }], graph: owner });
  }
  return nodes;
}
