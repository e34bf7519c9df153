// Files of ComfyUI's server: their addresses, and new ones for its input folder.
import { api } from "/scripts/api.js";
import { tell } from "./graph_building.js";

/** @typedef {{filename: string, subfolder: string, type: string}} ServerFile type: "input", "output" or "temp" */

/**
 * Address of a file.
 * @param {ServerFile} file
 * @param {Record<string, string>} [more] further parameters
 */
export function address({ filename, subfolder, type }, more = {}) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type, ...more })}`);
}

/**
 * Address of a picture, packed small.
 * @param {ServerFile} file
 */
export function thumbnail(file) {
  return address(file, { preview: "webp;70" });
}

/**
 * Gives the server a file for its input folder.
 * @param {File} file
 * @returns {Promise<string | null>} its name for nodes that load it
 */
export async function upload(file) {
  const body = new FormData();
  body.append("image", file);
  const answer = await api.fetchApi("/upload/image", { method: "POST", body });
  if (answer.status !== 200) {
    tell(`ComfyUI did not take ${file.name}: ${answer.status} ${answer.statusText}.`);
    return null;
  }
  const { name, subfolder } = await answer.json();
  return subfolder ? `${subfolder}/${name}` : name;
}
