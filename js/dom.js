// Making and updating elements without markup strings.

/**
 * A new element with attributes and children.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/**
 * Gives a parent exactly `count` children; those that stay keep their focus and pointer capture.
 * @template {HTMLElement} Child
 * @param {HTMLElement} parent
 * @param {number} count
 * @param {(index: number) => Child} makeChild
 * @returns {Child[]}
 */
export function fit(parent, count, makeChild) {
  while (parent.children.length > count) parent.lastElementChild?.remove();
  while (parent.children.length < count) parent.append(makeChild(parent.children.length));
  return /** @type {Child[]} */ ([...parent.children]);
}

/**
 * Sets a text only where it differs, so that a screen reader is not told twice.
 * @param {HTMLElement} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
