// The one line of a loader's report that matters most.

/**
 * Coverage that a report tells, "300 of 300 layers", and whether all is well.
 * @param {string} report
 * @returns {{label: string, state: "good" | "partial" | "plain"}} `plain`, with no label, for a report about something else
 */
export function coverage(report) {
  const [, matched, all] = /^Layers: (\d+) of (\d+) matched/m.exec(report) ?? [];
  if (all === undefined) return { label: "", state: "plain" };
  const warned = /^(Warning|Left out): /m.test(report);
  const label = `${matched} of ${all} layers`;
  return matched === all && !warned ? { label, state: "good" } : { label: warned ? `${label}, see below` : label, state: "partial" };
}
