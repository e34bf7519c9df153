// What a Pusa node says about its last run, under its inputs: loaders tell their coverage in a badge.
import { app } from "/scripts/app.js";
import { chain } from "./chain.js";
import { coverage } from "./coverage.js";
import { make, say } from "./dom.js";

/** @typedef {import("/scripts/app.js").LGraphNode} LGraphNode */

const TYPE = "pusa_report";
const HEIGHT = 150;

/**
 * The elements of a node's report, made when it first has one.
 * @param {LGraphNode} node
 */
function addReport(node) {
  const badge = make("div", { class: "pusa-badge" });
  const text = make("div", { class: "pusa-report-text" });
  const element = make("div", { class: "pusa-report", role: "group", "aria-label": "Report of the last run" }, badge, text);
  element.addEventListener("pointerdown", (event) => event.stopPropagation());
  const widget = node.addDOMWidget(TYPE, TYPE, element, {
    serialize: false,
    hideOnZoom: true,
    margin: 6,
    getValue: () => "",
    setValue: () => {},
    getMinHeight: () => HEIGHT,
  });
  widget.serialize = false;
  const [width, height] = node.computeSize();
  node.setSize([Math.max(width, node.size[0]), Math.max(height, node.size[1])]);
  return { badge, text };
}

app.registerExtension({
  name: "Pusa.Report",
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("Pusa")) return;
    /** @type {ReturnType<typeof addReport> | null} */
    let report = null;
    node.onExecuted = chain(node.onExecuted, (output) => {
      const said = /** @type {{text?: unknown}} */ (output ?? {}).text;
      const text = Array.isArray(said) ? said.join("\n") : "";
      if (!text && !report) return; // an empty one clears what an earlier run said
      report ??= addReport(node);
      const { label, state } = coverage(text);
      say(report.badge, label);
      report.badge.className = `pusa-badge pusa-${state}`;
      say(report.text, text);
      node.setDirtyCanvas(true, true);
    });
  },
});
