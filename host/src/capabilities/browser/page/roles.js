// Roles and names (WAI-ARIA 1.2, HTML-AAM, accname-1.2), as `role=` asks for them.

const inputRoles = {
  button: 'button', checkbox: 'checkbox', image: 'button', number: 'spinbutton', radio: 'radio', range: 'slider',
  reset: 'button', search: 'searchbox', submit: 'button', hidden: null, color: null, file: null,
};
const tagRoles = {
  ARTICLE: 'article', ASIDE: 'complementary', BLOCKQUOTE: 'blockquote', BUTTON: 'button', CAPTION: 'caption',
  CODE: 'code', DATALIST: 'listbox', DD: 'definition', DEL: 'deletion', DETAILS: 'group', DFN: 'term',
  DIALOG: 'dialog', DT: 'term', EM: 'emphasis', FIELDSET: 'group', FIGURE: 'figure', H1: 'heading', H2: 'heading',
  H3: 'heading', H4: 'heading', H5: 'heading', H6: 'heading', HR: 'separator', HTML: 'document', INS: 'insertion',
  LI: 'listitem', MAIN: 'main', MARK: 'mark', MATH: 'math', MENU: 'list', METER: 'meter', NAV: 'navigation',
  OL: 'list', OPTGROUP: 'group', OPTION: 'option', OUTPUT: 'status', P: 'paragraph', PROGRESS: 'progressbar',
  SEARCH: 'search', STRONG: 'strong', SUB: 'subscript', SUMMARY: 'button', SUP: 'superscript', SVG: 'img',
  TABLE: 'table', TBODY: 'rowgroup', TEXTAREA: 'textbox', TFOOT: 'rowgroup', THEAD: 'rowgroup', TIME: 'time',
  TR: 'row', UL: 'list',
};
const inSection = 'article, aside, main, nav, section';

function roleOf(element) {
  const explicit = element.getAttribute('role')?.trim().split(/\s+/)[0];
  if (explicit) return explicit === 'none' ? 'presentation' : explicit;
  const tag = element.tagName.toUpperCase();
  switch (tag) {
    case 'A': case 'AREA': return element.hasAttribute('href') ? 'link' : null;
    case 'FOOTER': return element.closest(inSection) ? null : 'contentinfo';
    case 'HEADER': return element.closest(inSection) ? null : 'banner';
    case 'FORM': return isNamed(element) ? 'form' : null;
    case 'SECTION': return isNamed(element) ? 'region' : null;
    case 'IMG': return element.getAttribute('alt') === '' && !isNamed(element) ? 'presentation' : 'img';
    case 'INPUT':
      if (element.type in inputRoles) return inputRoles[element.type];
      return element.list ? 'combobox' : 'textbox';
    case 'SELECT': return element.multiple || element.size > 1 ? 'listbox' : 'combobox';
    case 'TD': return element.closest('[role=grid], [role=treegrid]') ? 'gridcell' : 'cell';
    case 'TH': return /^row/.test(element.scope) ? 'rowheader' : 'columnheader';
    default: return tagRoles[tag] ?? null;
  }
}

const isNamed = element => ['aria-label', 'aria-labelledby', 'title'].some(name => element.hasAttribute(name));
const namedByContent = new Set([
  'button', 'caption', 'cell', 'checkbox', 'columnheader', 'gridcell', 'heading', 'link', 'listitem', 'menuitem',
  'menuitemcheckbox', 'menuitemradio', 'option', 'radio', 'row', 'rowheader', 'switch', 'tab', 'term', 'tooltip',
  'treeitem',
]);

// The accessible name, after accname-1.2: label, native label, content, title, placeholder.
function nameOf(element, seen = new Set()) {
  if (seen.has(element)) return '';
  seen.add(element);
  const references = element.getAttribute('aria-labelledby');
  if (references && seen.size === 1) {
    const root = element.getRootNode();
    const parts = references.split(/\s+/).map(id => root.getElementById?.(id)).filter(Boolean);
    if (parts.length) return squeeze(parts.map(part => contentName(part, new Set(seen))).join(' '));
  }
  const label = squeeze(element.getAttribute('aria-label') ?? '');
  if (label) return label;
  if (element.labels?.length) return squeeze([...element.labels].map(part => contentName(part, seen)).join(' '));
  const native = nativeName(element, seen);
  if (native) return native;
  if (namedByContent.has(roleOf(element))) {
    const content = squeeze(contentName(element, seen));
    if (content) return content;
  }
  return squeeze(element.getAttribute('title') ?? element.getAttribute('placeholder') ?? '');
}

function nativeName(element, seen) {
  const child = tag => {
    const found = [...element.children].find(one => one.tagName === tag);
    return found ? squeeze(contentName(found, seen)) : '';
  };
  switch (element.tagName.toUpperCase()) {
    case 'INPUT':
      if (/^(submit|button|reset)$/.test(element.type)) {
        return squeeze(element.value || { submit: 'Submit', reset: 'Reset' }[element.type] || '');
      }
      return element.type === 'image' ? squeeze(element.alt || element.value || 'Submit') : '';
    case 'IMG': case 'AREA': return squeeze(element.alt ?? '');
    case 'FIELDSET': return child('LEGEND');
    case 'FIGURE': return child('FIGCAPTION');
    case 'TABLE': return child('CAPTION');
    case 'SVG': return squeeze(element.querySelector(':scope > title')?.textContent ?? '');
    default: return '';
  }
}

// The name that the content gives: texts, and the names of what is inside.
function contentName(element, seen) {
  let name = '';
  for (const node of element.shadowRoot?.childNodes ?? element.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) {
      name += node.nodeValue;
    } else if (node.nodeType === Node.ELEMENT_NODE && !silent.has(node.tagName) && !isHiddenForAria(node)) {
      const own = node.getAttribute('aria-label') || nativeName(node, seen);
      const part = own || contentName(node, seen);
      name += getComputedStyle(node).display === 'inline' ? part : ` ${part} `;
    }
  }
  return name;
}

function isHiddenForAria(element) {
  // The options of a closed select are not drawn, and can be chosen all the same.
  if (/^(OPTION|OPTGROUP)$/.test(element.tagName)) element = element.closest('select') ?? element;
  for (let at = element; at; at = parentOf(at)) {
    if (at.getAttribute('aria-hidden') === 'true') return true;
  }
  return getComputedStyle(element).display !== 'contents' && !element.checkVisibility({ visibilityProperty: true });
}

const flag = (element, name) => element.getAttribute(name) === 'true';
const roleConditions = {
  name: (element, wanted) => matches(nameOf(element), wanted),
  checked: (element, wanted) => (isChecked(element) ?? false) === wanted,
  disabled: (element, wanted) => isDisabled(element) === wanted,
  expanded: (element, wanted) => {
    const owner = element.tagName === 'SUMMARY' ? element.parentElement : element;
    return (owner instanceof HTMLDetailsElement ? owner.open : flag(element, 'aria-expanded')) === wanted;
  },
  pressed: (element, wanted) => flag(element, 'aria-pressed') === wanted,
  selected: (element, wanted) =>
    (element instanceof HTMLOptionElement ? element.selected : flag(element, 'aria-selected')) === wanted,
  level: (element, wanted) =>
    Number(/^H[1-6]$/.test(element.tagName) && !element.hasAttribute('aria-level')
      ? element.tagName[1] : element.getAttribute('aria-level')) === wanted,
};
