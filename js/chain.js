// Adding to a callback that others may have set.

/**
 * A function that calls the earlier callback, then ours, and returns what the earlier one returned.
 * @template {unknown[]} Args
 * @template Result
 * @param {((this: any, ...args: Args) => Result) | null | undefined} earlier
 * @param {(...args: Args) => void} ours
 * @returns {(this: any, ...args: Args) => Result | undefined}
 */
export function chain(earlier, ours) {
  return function (...args) {
    const result = earlier?.apply(this, args);
    ours(...args);
    return result;
  };
}
