// What is known of an element by itself: its text, and whether it is visible, enabled, editable or checked.

const squeeze = text => text.replace(/[\u200b\u00ad]/g, '').replace(/\s+/g, ' ').trim();
const parentOf = node => node.parentElement ?? (node.parentNode instanceof ShadowRoot ? node.parentNode.host : null);
const silent = new Set(['SCRIPT', 'NOSCRIPT', 'STYLE', 'HEAD', 'TITLE', 'META', 'TEMPLATE']);

// The text of an element as `text=` sees it: also of buttons that are inputs, and inside open shadow roots.
function textOf(element, cache) {
  const known = cache.get(element);
  if (known !== undefined) return known;
  let text = '';
  if (element instanceof HTMLInputElement && /^(submit|button|reset)$/.test(element.type)) {
    text = element.value;
  } else if (!silent.has(element.tagName)) {
    const take = node => {
      if (node.nodeType === Node.TEXT_NODE) text += node.nodeValue;
      else if (node.nodeType === Node.ELEMENT_NODE) text += textOf(node, cache);
    };
    element.childNodes.forEach(take);
    element.shadowRoot?.childNodes.forEach(take);
  }
  cache.set(element, text);
  return text;
}

// Whether a text matches `{text, exact, fold}`: exactly, or by containing it, ignoring case if folded.
function matches(text, wanted) {
  let [have, want] = [squeeze(text), squeeze(wanted.text)];
  if (wanted.fold) [have, want] = [have.toLowerCase(), want.toLowerCase()];
  return wanted.exact ? have === want : have.includes(want);
}

function isVisible(element) {
  if (!element.isConnected) return false;
  if (getComputedStyle(element).display === 'contents') return [...element.children].some(isVisible);
  if (!element.checkVisibility({ visibilityProperty: true })) return false;
  const { width, height } = element.getBoundingClientRect();
  return width > 0 && height > 0;
}

// A label stands for what it labels, as far as state goes.
const control = element => (element instanceof HTMLLabelElement && element.control) || element;

function isDisabled(element) {
  if (element.matches(':disabled')) return true;
  for (let at = element; at; at = parentOf(at)) if (at.getAttribute('aria-disabled') === 'true') return true;
  return false;
}

function isEditable(element) {
  if (isDisabled(element)) return false;
  if (element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement) return !element.readOnly;
  if (element instanceof HTMLSelectElement) return true;
  return element.isContentEditable && element.getAttribute('aria-readonly') !== 'true';
}

// `true`, `false`, or nothing where an element cannot be checked.
function isChecked(element) {
  if (element instanceof HTMLInputElement && /^(checkbox|radio)$/.test(element.type)) return element.checked;
  if (/^(checkbox|radio|switch|menuitemcheckbox|menuitemradio|option|treeitem)$/.test(roleOf(element) ?? '')) {
    return element.getAttribute('aria-checked') === 'true';
  }
}

function activeElement() {
  let active = document.activeElement;
  while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement;
  return active;
}

const states = {
  visible: isVisible,
  hidden: element => !isVisible(element),
  enabled: element => !isDisabled(control(element)),
  disabled: element => isDisabled(control(element)),
  editable: element => isEditable(control(element)),
  checked: element => isChecked(control(element)) === true,
  focused: element => activeElement() === element && document.hasFocus(),
};
