// Files of ComfyUI's server: their addresses, and new ones for its input folder.
import { api } from "/scripts/api.js";
import { tell } from "./graph_building.js";

/**
 * @typedef {object} ServerFile
 * @property {string} filename
 * @property {string} subfolder
 * @property {string} type "input", "output" or "temp"
 * @property {string} [version] changes with the content of a file that keeps its name
 */

/**
 * Address of a file.
 * @param {ServerFile} file
 * @param {Record<string, string>} [more] further parameters
 */
export function address({ filename, subfolder, type, version }, more = {}) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type, ...(version ? { version } : {}), ...more })}`);
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
