// The sheet of Pusa Sweep on its node: a click on a tile takes its values over.
import { api } from "/scripts/api.js";
import { app } from "/scripts/app.js";
import { chain } from "./chain.js";
import { fit, make } from "./dom.js";
import { SWEEP } from "./generated_facts.js";
import { remember, tell, write } from "./graph_building.js";
import { takeOver } from "./sweep_values.js";
import { classOf } from "./wires.js";
import { word } from "./words.js";

/** @typedef {import("/scripts/app.js").LGraphNode} LGraphNode */
/** @typedef {import("./sweep_values.js").Tile} Tile */
/** @typedef {{filename: string, subfolder: string, type: string}} Picture */

const TYPE = "pusa_sweep";
const EDGES = 12;
/** Pixels: on a narrower node no number of a sheet can be read. */
const LEAST_WIDTH = 560;

/**
 * A node's sheet, made when it first has one.
 * @param {LGraphNode} node
 * @returns {(picture: Picture, tiles: Tile[]) => void} shows a sheet
 */
function addSheet(node) {
  const picture = make("img", { alt: word("Contact sheet of the sweep") });
  const tiles = make("div");
  const element = make("div", { class: "pusa-sweep", role: "group", "aria-label": word("Tiles of the sweep") }, picture, tiles);
  element.addEventListener("pointerdown", (event) => event.stopPropagation());
  let ratio = 0.5;
  const height = () => (node.size[0] - EDGES) * ratio + EDGES;
  const widget = node.addDOMWidget(TYPE, TYPE, element, {
    serialize: false,
    hideOnZoom: false,
    margin: 6,
    getValue: () => "",
    setValue: () => {},
    getMinHeight: height,
  });
  widget.serialize = false;
  picture.addEventListener("load", () => {
    ratio = picture.naturalHeight / picture.naturalWidth;
    node.setSize([Math.max(LEAST_WIDTH, node.size[0]), node.size[1]]); // the height follows from the width
    element.style.minHeight = `${height() - EDGES}px`;
    node.setSize([node.size[0], Math.max(node.computeSize()[1], node.size[1])]);
    node.setDirtyCanvas(true, true);
  });
  return (shown, made) => {
    picture.src = api.apiURL(`/view?${new URLSearchParams({ ...shown })}`);
    const buttons = fit(tiles, made.length, () => make("button", { type: "button", class: "pusa-tile" }));
    for (const [index, button] of buttons.entries()) {
      const tile = made[index];
      const label = word("Take over {settings}", { settings: tile.label });
      button.title = label;
      button.setAttribute("aria-label", label);
      for (const [side, share] of ["left", "top", "width", "height"].map((name, place) => [name, tile.place[place]])) {
        button.style.setProperty(String(side), `${100 * Number(share)}%`);
      }
      button.onclick = () => choose(node, tile);
    }
  };
}

/**
 * Takes a tile's values over, as one edit that undo takes back.
 * @param {LGraphNode} node
 * @param {Tile} tile
 */
function choose(node, tile) {
  const nodes = /** @type {LGraphNode[]} */ (node.graph?.nodes ?? []);
  const changes = takeOver(tile, nodes);
  if (!changes.length) {
    tell(word("No Condition Frame Injector, Vectorized Timestep Sampler or Pusa LoRA Loader in this graph takes {settings}.", { settings: tile.label }));
    return;
  }
  for (const { node: taking, name, value } of changes) write(/** @type {LGraphNode} */ (taking), name, value);
  remember();
  tell(changes.map(({ node: taking, name, value }) => `${taking.title}: ${name} ${value}`).join("; "), "info");
}

app.registerExtension({
  name: "Pusa.Sweep",
  nodeCreated(node) {
    if (classOf(node) !== SWEEP) return;
    /** @type {ReturnType<typeof addSheet> | null} */
    let show = null;
    node.onExecuted = chain(node.onExecuted, (output) => {
      const { pusa_sheet: sheet, pusa_tiles: tiles } = /** @type {{pusa_sheet?: Picture[], pusa_tiles?: Tile[]}} */ (output ?? {});
      if (!sheet?.length || !tiles) return;
      show ??= addSheet(node);
      show(sheet[0], tiles);
    });
  },
});
