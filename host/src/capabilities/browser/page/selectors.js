// Finding: the tables `engines` and `filters` have a function for each kind of part that a selector can have.

// Calls back with every root to search in: the scope itself and the open shadow roots below it.
function eachRoot(scope, visit) {
  visit(scope);
  if (scope.shadowRoot) eachRoot(scope.shadowRoot, visit);
  for (const element of scope.querySelectorAll('*')) if (element.shadowRoot) eachRoot(element.shadowRoot, visit);
}

function* everyElement(scope) {
  const roots = [];
  eachRoot(scope, root => roots.push(root));
  for (const root of roots) yield* root.querySelectorAll('*');
}

const filterAll = (scope, test) => [...everyElement(scope)].filter(test);
const byAttribute = name => (scope, part) =>
  filterAll(scope, element => element.hasAttribute(name) && matches(element.getAttribute(name), part));

function labelsOf(element) {
  const texts = [...(element.labels ?? [])].map(label => textOf(label, new Map()));
  if (element.hasAttribute('aria-label')) texts.push(element.getAttribute('aria-label'));
  const root = element.getRootNode();
  for (const id of (element.getAttribute('aria-labelledby') ?? '').split(/\s+/)) {
    const label = id && root.getElementById?.(id);
    if (label) texts.push(textOf(label, new Map()));
  }
  return texts;
}

// Each engine: what one scope holds that the part describes.
const engines = {
  css: (scope, part) => {
    const found = [];
    eachRoot(scope, root => found.push(...root.querySelectorAll(part.text)));
    return found;
  },
  xpath: (scope, part) => {
    const found = document.evaluate(part.text, scope, null, XPathResult.ORDERED_NODE_SNAPSHOT_TYPE);
    const nodes = Array.from({ length: found.snapshotLength }, (_, at) => found.snapshotItem(at));
    return nodes.filter(node => node.nodeType === Node.ELEMENT_NODE);
  },
  text: (scope, part) => {
    const cache = new Map();
    const has = element => !silent.has(element.tagName) && matches(textOf(element, cache), part);
    const inner = element => [...element.children, ...(element.shadowRoot?.children ?? [])];
    return filterAll(scope, element => has(element) && !inner(element).some(has));
  },
  role: (scope, part) => filterAll(scope, element =>
    roleOf(element) === part.role
    && part.conditions.every(([name, wanted]) => roleConditions[name](element, wanted))
    && !isHiddenForAria(element)),
  label: (scope, part) => filterAll(scope, element => labelsOf(element).some(text => matches(text, part))),
  placeholder: byAttribute('placeholder'),
  alt: byAttribute('alt'),
  title: byAttribute('title'),
  'test-id': byAttribute('data-testid'),
};

// Each filter: which of the elements found so far remain.
const filters = {
  nth: (found, part) => found.filter((_, at) => at === (part.place < 0 ? found.length + part.place : part.place)),
  'has-text': (found, part) => found.filter(element => matches(textOf(element, new Map()), part)),
  has: (found, part) => found.filter(element => query(part.parts, element).length > 0),
  visible: found => found.filter(isVisible),
};

// Elements that the host holds handles on, by the host's numbers.
const held = new Map();

class Gone extends Error {
  name = 'Gone';
}

function query(parts, scope = document) {
  let found = [scope];
  for (const part of parts) {
    if (part.kind === 'held') {
      const element = held.get(part.id);
      if (!element?.isConnected) throw new Gone();
      found = [element];
    } else if (part.kind in filters) {
      found = filters[part.kind](found, part);
    } else {
      const all = new Set();
      for (const one of found) for (const element of engines[part.kind](one, part)) all.add(element);
      found = [...all];
      if (all.size > 1 && parts[0] !== part) found.sort(inDocumentOrder);
    }
  }
  return found;
}

const inDocumentOrder = (a, b) => (a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1);

// An element in a few words, for messages.
function describe(element) {
  const attributes = [...element.attributes]
    .filter(({ name }) => /^(id|class|name|type|role|href|aria-label|data-testid|placeholder)$/.test(name))
    .map(({ name, value }) => ` ${name}="${value.length > 40 ? value.slice(0, 40) + '…' : value}"`).join('');
  const tag = element.tagName.toLowerCase();
  const text = squeeze(element.textContent ?? '');
  return `<${tag}${attributes}>${text.length > 40 ? text.slice(0, 40) + '…' : text}</${tag}>`;
}
