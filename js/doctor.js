// The command that has the graph checked, and the doctor's findings as a message in the corner of the page.
import { app } from "/scripts/app.js";
import { chain } from "./chain.js";
import { DOCTOR } from "./generated_facts.js";
import { checkGraph, runningNodes } from "./graph_check.js";

/** @typedef {import("./wires.js").Node} Node */

const CHECK = "Pusa.CheckGraph";
const LABEL = "Pusa: check this graph";
const TOAST_MS = 10_000;
const ADVICE = "Add a Pusa Doctor node (model and latent as the sampler gets them) to have the model and the LoRA files looked at too.";

/** Whether the user asked, so that good news is told too. */
let asked = false;

app.registerExtension({
  name: "Pusa.Doctor",
  commands: [{ id: CHECK, label: LABEL, icon: "pi pi-heart", function: check }],
  menuCommands: [{ path: ["Pusa"], commands: [CHECK] }],
  getCanvasMenuItems: () => [{ content: LABEL, callback: () => void check() }],
  nodeCreated(node) {
    if (node.comfyClass !== DOCTOR) return;
    node.onExecuted = chain(node.onExecuted, (output) => {
      const { text, findings } = /** @type {{text?: string[], findings?: number[]}} */ (output ?? {});
      if (text?.[0]) announce(text[0], findings?.[0] ?? 0);
    });
  },
});

/** Queues the graph's doctors and nothing else; without one, says what the settings alone show. */
async function check() {
  const nodes = /** @type {Node[]} */ (/** @type {unknown} */ (app.graph.nodes));
  const doctors = runningNodes(nodes).filter(({ node }) => node.comfyClass === DOCTOR);
  asked = true;
  if (doctors.length) {
    await app.queuePrompt(0, 1, doctors.map(({ id }) => id));
    return;
  }
  const found = checkGraph(nodes);
  announce([...(found.length ? found : ["Nothing to report from the settings."]), ADVICE].join("\n"), found.length);
}

/**
 * A message at the corner of the page: always for findings, for good news only when it was asked for.
 * @param {string} text
 * @param {number} findings
 */
function announce(text, findings) {
  if (findings || asked) {
    app.extensionManager.toast.add({
      severity: findings ? "warn" : "success",
      summary: findings ? `Pusa Doctor: ${findings === 1 ? "1 finding" : `${findings} findings`}` : "Pusa Doctor",
      detail: headlines(text),
      life: TOAST_MS,
    });
  }
  asked = false;
}

/**
 * The first line of each finding, where they are numbered; reasons and remedies stand on the node.
 * @param {string} text
 */
function headlines(text) {
  const lines = text.split("\n");
  const numbered = lines.filter((line) => /^\d+\. /.test(line));
  return (numbered.length ? numbered : lines).join("\n");
}
