import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { forEachWithin, isWithin, sourceOf, targetsOf, valueOf } from "../../js/wires.js";

/**
 * A latent node whose link leads into a subgraph with an injector and out of it to a sampler.
 * @param {(id: number) => number | string} boundary how the frontend writes the ids of the boundary: numbers, from 1.49 on texts
 */
function aroundASubgraph(boundary) {
  /** @type {import("../../js/wires.js").Graph} */
  const root = { nodes: [], getLink: () => undefined, getNodeById: (id) => root.nodes?.find((node) => node.id === id) };
  /** @type {import("../../js/wires.js").Graph} */
  const inner = {
    nodes: [],
    rootGraph: root,
    getLink: () => undefined,
    getNodeById: (id) => inner.nodes?.find((node) => node.id === id),
    inputs: [{ linkIds: [1] }, { linkIds: [2] }],
    outputs: [{ linkIds: [3] }],
  };
  /** @type {Record<number, import("../../js/wires.js").Link>} */
  const rootLinks = {
    1: { origin_id: 1, origin_slot: 0, target_id: 2, target_slot: 0 },
    2: { origin_id: 2, origin_slot: 0, target_id: 3, target_slot: 0 },
  };
  /** @type {Record<number, import("../../js/wires.js").Link>} */
  const innerLinks = {
    1: { origin_id: boundary(-10), origin_slot: 0, target_id: 5, target_slot: 0 },
    2: { origin_id: boundary(-10), origin_slot: 1, target_id: 5, target_slot: 1 },
    3: { origin_id: 5, origin_slot: 0, target_id: boundary(-20), target_slot: 0 },
  };
  root.getLink = (id) => (id == null ? undefined : rootLinks[id]);
  inner.getLink = (id) => (id == null ? undefined : innerLinks[id]);
  const latent = { id: 1, comfyClass: "EmptyHunyuanLatentVideo", graph: root, outputs: [{ name: "LATENT", type: "LATENT", links: [1] }] };
  const instance = {
    id: 2,
    graph: root,
    subgraph: inner,
    inputs: [{ name: "latent", type: "LATENT", link: 1 }, { name: "positions", type: "STRING", link: null }],
    widgets: [{ name: "positions", value: "0, -1" }],
    outputs: [{ name: "latent", type: "LATENT", links: [2] }],
  };
  const sampler = { id: 3, comfyClass: "PusaSampler", graph: root, inputs: [{ name: "latent", type: "LATENT", link: 2 }] };
  const injector = {
    id: 5,
    comfyClass: "PusaConditionFrames",
    graph: inner,
    inputs: [{ name: "latent", type: "LATENT", link: 1 }, { name: "positions", type: "STRING", link: 2 }],
    widgets: [{ name: "positions", value: "7" }],
    outputs: [{ name: "latent", type: "LATENT", links: [3] }],
  };
  root.nodes?.push(latent, instance, sampler);
  inner.nodes?.push(injector);
  return { latent, sampler, injector };
}

for (const [frontend, boundary] of /** @type {[string, (id: number) => number | string][]} */ ([["numbers", Number], ["texts, as from frontend 1.49 on", String]])) {
  describe(`through a subgraph whose boundary ids are ${frontend}`, () => {
    const { latent, sampler, injector } = aroundASubgraph(boundary);
    test("an inner input is followed to the node outside", () => assert.equal(sourceOf(injector, "latent")?.node, latent));
    test("an inner output is followed to the node outside", () => assert.equal(targetsOf(injector, 0)[0]?.node, sampler));
    test("from outside both ways lead inside", () => {
      assert.equal(targetsOf(latent, 0)[0]?.node, injector);
      assert.equal(sourceOf(sampler, "latent")?.node, injector);
    });
    test("a promoted value is the one on the subgraph's node", () => assert.equal(valueOf(injector, "positions"), "0, -1"));
  });
}

test("a node is within a graph that holds it, or one of whose boxes does", () => {
  const [inner, outer] = [{}, { subgraphs: new Map() }];
  assert.equal(isWithin({ graph: outer }, outer), true);
  assert.equal(isWithin({ graph: inner }, outer), false);
  outer.subgraphs.set("box", inner);
  assert.equal(isWithin({ graph: inner }, outer), true);
  assert.equal(isWithin({ graph: null }, outer), false);
});

test("what has no graph yet is passed over, what has one that is gone is forgotten", () => {
  const root = { subgraphs: new Map() };
  const [placed, unplaced, gone] = [{ graph: root }, { graph: null }, { graph: {} }];
  const members = new Set([placed, unplaced, gone]);
  /** @type {unknown[]} */
  const seen = [];
  forEachWithin(members, (node) => node, root, (node) => seen.push(node));
  assert.deepEqual(seen, [placed]);
  assert.deepEqual([...members], [placed, unplaced]);
});
