// What a Pusa node says about its last run, under its inputs: loaders tell their coverage in a badge, samplers their given frames.
import { app } from "/scripts/app.js";
import { chain } from "./chain.js";
import { coverage, reportHeight } from "./coverage.js";
import { make, say } from "./dom.js";
import { COPY_LABEL, copyButton, copyNewest, remember } from "./settings_line.js";

/** @typedef {import("/scripts/app.js").LGraphNode} LGraphNode */

const TYPE = "pusa_report";
const EDGES = 12;
/** Pixels of the button that copies a run's settings. */
const BUTTON = 26;

/**
 * A node's report, made when it first has one.
 * @param {LGraphNode} node
 * @returns {(report: string, settings: string) => void} shows a report, and a button for the run's settings where there are any
 */
function addReport(node) {
  const badge = make("div", { class: "pusa-badge" });
  const text = make("div", { class: "pusa-report-text" });
  const button = copyButton();
  const element = make("div", { class: "pusa-report", role: "group", "aria-label": "Report of the last run" }, badge, text, button.element);
  element.addEventListener("pointerdown", (event) => event.stopPropagation());
  let height = 0;
  const widget = node.addDOMWidget(TYPE, TYPE, element, {
    serialize: false,
    hideOnZoom: true,
    margin: 6,
    getValue: () => "",
    setValue: () => {},
    getMinHeight: () => height,
  });
  widget.serialize = false;
  /**
   * @param {string} report
   * @param {string} settings
   */
  function show(report, settings) {
    const { label, state } = coverage(report);
    say(badge, label);
    badge.className = `pusa-badge pusa-${state}`;
    say(text, report);
    button.offer(settings);
    const needed = reportHeight(report) + (settings ? BUTTON : 0);
    if (needed === height) return;
    height = needed;
    element.style.minHeight = `${height - EDGES}px`;
    const [least, tall] = node.computeSize();
    node.setSize([Math.max(least, node.size[0]), Math.max(tall, node.size[1])]);
  }
  return show;
}

app.registerExtension({
  name: "Pusa.Report",
  commands: [{ id: "Pusa.CopySettings", label: COPY_LABEL, icon: "pi pi-copy", function: copyNewest }],
  menuCommands: [{ path: ["Pusa"], commands: ["Pusa.CopySettings"] }],
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("Pusa")) return;
    /** @type {ReturnType<typeof addReport> | null} */
    let show = null;
    node.onExecuted = chain(node.onExecuted, (output) => {
      const said = /** @type {{text?: unknown}} */ (output ?? {}).text;
      const text = Array.isArray(said) ? said.join("\n") : "";
      if (!text && !show) return; // an empty one clears what an earlier run said
      show ??= addReport(node);
      show(text, remember(output));
      node.setDirtyCanvas(true, true);
    });
  },
});
