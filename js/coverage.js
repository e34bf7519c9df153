// The one line of a report that matters most: a loader's coverage, a sampler's given frames.

/** @typedef {{label: string, state: "good" | "partial" | "plain"}} Badge `plain`, with no label, for a report about something else */

const NOTHING_GIVEN = "No given frames";
const LINE_LETTERS = 48;
const LINE_HEIGHT = 15;
const BADGE_AND_EDGES = 40;
const HEIGHTS = { least: 64, most: 150 };

/**
 * Coverage that a report tells, "300 of 300 layers", or given frames, "2 given frames", and whether all is well.
 * @param {string} report
 * @returns {Badge}
 */
export function coverage(report) {
  const [, matched, all] = /^Layers: (\d+) of (\d+) matched/m.exec(report) ?? [];
  const warned = /^(Warning|Left out): /m.test(report);
  if (all === undefined) return givenFrames(report, warned);
  const label = `${matched} of ${all} layers`;
  return matched === all && !warned ? { label, state: "good" } : { label: warned ? `${label}, see below` : label, state: "partial" };
}

/**
 * @param {string} report as pusa_core/given_frames.py writes it
 * @param {boolean} warned
 * @returns {Badge}
 */
function givenFrames(report, warned) {
  const [label] = /^(\d+ given frames?|No given frames)(?=:)/.exec(report) ?? [];
  if (warned) return { label: label ? `${label}, see below` : "See below", state: "partial" };
  return label && label !== NOTHING_GIVEN ? { label, state: "good" } : { label: "", state: "plain" };
}

/**
 * Height of a report's box: of all its lines, within limits.
 * @param {string} report
 * @returns {number} pixels
 */
export function reportHeight(report) {
  const lines = report.split("\n").reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / LINE_LETTERS)), 0);
  return Math.min(HEIGHTS.most, Math.max(HEIGHTS.least, BADGE_AND_EDGES + lines * LINE_HEIGHT));
}
