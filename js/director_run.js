// What one Director node has made: the record on disk, fetched when it may have changed, and what a run says meanwhile.
import { api } from "/scripts/api.js";
import { comparedWith, madeFromRecord, withEvent } from "./director_record.js";
import { readProject } from "./director_project.js";

/** @typedef {import("./director_project.js").Project} Project */
/** @typedef {import("./director_record.js").RunEvent} RunEvent */

const RECORD = "project.json";
/** The record is written right after a window is told. */
const SOON_MS = 250;

/** The finished and running windows of one project's folder. */
export class DirectorRun {
  /** @param {() => void} tell called when there is something new */
  constructor(tell) {
    this.tell = tell;
    this.folder = "";
    /** @type {import("./director_record.js").ProjectRecord | null} */
    this.record = null;
    /** @type {Project | null} */
    this.asRun = null;
    /** @type {Map<string, import("./director_scene.js").Made>} */
    this.known = new Map();
    /** The window that is made right now, empty where none is. */
    this.running = "";
  }

  /** Looks into another folder, where the name has changed. @param {string} folder */
  follow(folder) {
    if (folder === this.folder) return;
    this.folder = folder;
    this.take(null);
    void this.reload();
  }

  /** Reads the record anew. */
  async reload() {
    const { folder } = this;
    if (!folder) return;
    const query = new URLSearchParams({ filename: RECORD, subfolder: folder, type: "output", time: String(Date.now()) });
    const answer = await api.fetchApi(`/view?${query}`, { cache: "no-store" });
    if (folder !== this.folder) return;
    this.take(answer.ok ? await answer.json().catch(() => null) : null);
    this.tell();
  }

  /** @param {import("./director_record.js").ProjectRecord | null} record */
  take(record) {
    this.record = record;
    this.known = madeFromRecord(record, this.folder);
    const now = this.known.get(this.running);
    if (now) this.known.set(this.running, { ...now, state: "running" });
    const reading = record?.project ? readProject(JSON.stringify(record.project)) : null;
    this.asRun = reading?.readable ? reading.project : null;
  }

  /** @param {RunEvent} event */
  hear(event) {
    if (event.project !== this.folder) return;
    const isRunning = event.state === "running";
    this.known = withEvent(this.known, event, String(Date.now()));
    this.running = isRunning ? event.window : "";
    if (!isRunning) setTimeout(() => void this.reload(), SOON_MS);
    this.tell();
  }

  /** A run is over, by itself or not. */
  end() {
    if (!this.running) return;
    this.running = "";
    void this.reload();
  }

  /** @param {string} id */
  hasFile(id) {
    const made = this.known.get(id);
    return Boolean(made?.files[made.chosen]);
  }

  /**
   * @param {Project} project as typed now
   * @param {Record<string, unknown>} inputs of the node, by name
   */
  made(project, inputs) {
    return this.asRun && this.record ? comparedWith(this.known, project, this.asRun, this.record, inputs) : this.known;
  }
}
