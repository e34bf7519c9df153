// The form of App Mode: frontends before it have an earlier view under the same mark, so there our templates open as graphs.
import { app } from "/scripts/app.js";

/** The first frontend that is known to make a form of what linearData lists. */
const FIRST = [1, 49];

app.registerExtension({
  name: "Pusa.AppForm",
  /** @param {{extra?: Record<string, unknown>, nodes?: {properties?: {cnr_id?: string}}[]}} graph */
  async beforeConfigureGraph({ extra, nodes }) {
    if (extra?.linearData && !hasForms() && nodes?.some(({ properties }) => properties?.cnr_id === "pusa")) delete extra.linearMode;
  },
});

/** Whether this frontend makes forms; one that does not tell its version is a new one. */
function hasForms() {
  const version = /** @type {{__COMFYUI_FRONTEND_VERSION__?: string}} */ (/** @type {unknown} */ (window)).__COMFYUI_FRONTEND_VERSION__;
  const [major, minor] = (version ?? "9.0").split(".").map(Number);
  return major > FIRST[0] || (major === FIRST[0] && minor >= FIRST[1]);
}
