// What the host runs inside a page: it finds elements, waits until they are ready, and reads them.
//
// It lives in an isolated world of each frame: it shares the document with the page's own scripts, but no JavaScript
// object, so a page can neither see it nor break it. The host parses selectors and passes them as parts; everything
// here answers with plain JSON. `run` is the one way in; the tables `engines` and `operations` say what it can do.
(() => {
  'use strict';

  // ---- Text, visibility, state -----------------------------------------------------------------------------------

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

  // ---- Roles and names (WAI-ARIA 1.2, HTML-AAM) --------------------------------------------------------------------

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

  // ---- Finding -----------------------------------------------------------------------------------------------------

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

  // ---- Being ready -------------------------------------------------------------------------------------------------

  const frame = () => new Promise(done => {
    const late = setTimeout(done, 100);
    requestAnimationFrame(() => { clearTimeout(late); done(); });
  });
  const boxOf = element => { const { x, y, width, height } = element.getBoundingClientRect(); return { x, y, width, height }; };
  const same = (a, b) => a.x === b.x && a.y === b.y && a.width === b.width && a.height === b.height;

  async function isStable(element) {
    const before = boxOf(element);
    await frame();
    const between = boxOf(element);
    if (!same(before, between)) return false;
    await frame();
    return element.isConnected && same(between, boxOf(element));
  }

  function deepElementFromPoint(x, y) {
    let at = document.elementFromPoint(x, y);
    while (at?.shadowRoot) {
      const inner = at.shadowRoot.elementFromPoint(x, y);
      if (!inner || inner === at) break;
      at = inner;
    }
    return at;
  }

  // What would receive the event instead of the element; nothing if the element would.
  function obstacle(element, hit) {
    for (let at = hit; at; at = parentOf(at)) {
      if (at === element) return null;
      if (at instanceof HTMLLabelElement && at.control === element) return null;
    }
    return hit ?? document.documentElement;
  }

  // Where to act on an element: at the position asked for, or in the middle of its first box.
  function pointIn(element, position) {
    const box = element.getBoundingClientRect();
    if (position) return { x: box.x + position.x, y: box.y + position.y };
    const first = [...element.getClientRects()].find(rect => rect.width > 0 && rect.height > 0) ?? box;
    const left = Math.max(first.left, 0), right = Math.min(first.right, innerWidth);
    const top = Math.max(first.top, 0), bottom = Math.min(first.bottom, innerHeight);
    if (left < right && top < bottom) return { x: (left + right) / 2, y: (top + bottom) / 2 };
    return { x: (first.left + first.right) / 2, y: (first.top + first.bottom) / 2 };
  }

  const inView = ({ x, y }) => x >= 0 && y >= 0 && x < innerWidth && y < innerHeight;
  const alignments = [null, 'center', 'end', 'start'];

  // ---- What can be done with the one element -----------------------------------------------------------------------

  const ok = value => ({ ok: value });
  const wait = reason => ({ wait: reason });
  const fail = message => ({ fail: message });
  const notReady = (element, needs) => {
    const subject = control(element);
    if (needs.includes('visible') && !isVisible(element)) return 'it is not visible';
    if (needs.includes('enabled') && isDisabled(subject)) return 'it is not enabled';
    if (needs.includes('editable') && !isEditable(subject)) return 'it is not editable';
    return null;
  };

  const typed = new Set(['color', 'date', 'datetime-local', 'month', 'range', 'time', 'week']);
  const notFillable = new Set(['button', 'checkbox', 'file', 'image', 'radio', 'reset', 'submit']);
  const fire = (element, ...types) => types.forEach(type => element.dispatchEvent(new Event(type, { bubbles: true, composed: true })));
  const bytesOf = base64 => Uint8Array.from(atob(base64), character => character.charCodeAt(0));

  const operations = {
    textContent: element => ok(element.textContent ?? ''),
    innerText: element => ok(element.innerText ?? element.textContent ?? ''),
    innerHtml: element => ok(element.innerHTML),
    attribute: (element, { name }) => ok(element.getAttribute(name)),
    attributes: element => ok([...element.attributes].map(({ name, value }) => [name, value])),
    box: element => {
      const box = boxOf(element);
      return ok(element.getClientRects().length ? box : null);
    },
    state: (element, { state }) => ok(states[state](element)),
    value: element => {
      const subject = control(element);
      return 'value' in subject && /^(INPUT|TEXTAREA|SELECT)$/.test(subject.tagName)
        ? ok(subject.value) : fail(`${describe(element)} is no input, text area or select`);
    },
    focus: element => { element.focus(); return ok(null); },
    // Already scrolled to: the frame's own part of making something visible.
    scroll: async element => {
      if (!await isStable(element)) return wait('it is moving');
      element.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
      return ok(boxOf(element));
    },
    dispatch: (element, { type, init }) => {
      const kinds = [
        [/^(auxclick|click|contextmenu|dblclick|mouse.*)$/, MouseEvent], [/^key/, KeyboardEvent],
        [/^pointer|^(got|lost)pointercapture$/, PointerEvent], [/^drag|^drop$/, DragEvent], [/^touch/, TouchEvent],
        [/^(focus|blur|focusin|focusout)$/, FocusEvent], [/^(input|beforeinput)$/, InputEvent], [/^wheel$/, WheelEvent],
      ];
      const [, Kind] = kinds.find(([pattern]) => pattern.test(type)) ?? [null, Event];
      element.dispatchEvent(new Kind(type, { bubbles: true, cancelable: true, composed: true, ...init }));
      return ok(null);
    },

    // Readies the element for a pointer and says where to point. `attempt` chooses another way to scroll each time,
    // because what covers an element may be a header that sticks to one edge.
    point: async (element, { needs, position, force, attempt }) => {
      const problem = force ? null : notReady(element, needs);
      if (problem) return wait(problem);
      if (!force && !await isStable(element)) return wait('it is moving');
      const alignment = alignments[attempt % alignments.length];
      if (alignment || !inView(pointIn(element, position))) {
        element.scrollIntoView({ block: alignment ?? 'center', inline: alignment ?? 'center', behavior: 'instant' });
        if (!force && !await isStable(element)) return wait('it is moving');
      }
      const point = pointIn(element, position);
      if (!inView(point)) return force ? fail(`${describe(element)} cannot be scrolled into view`) : wait('it is outside of the viewport');
      if (!force) {
        const covered = obstacle(element, deepElementFromPoint(point.x, point.y));
        if (covered) return wait(`${describe(covered)} covers it`);
        guard(element);
      }
      return ok(point);
    },
    // Whether the check box, radio button or the like is checked.
    checked: element => {
      const checked = isChecked(control(element));
      return checked === undefined ? fail(`${describe(element)} is no check box or radio button`) : ok(checked);
    },

    // Sets the value as far as the page can; `ok('type')` leaves the text selected for the host to type over.
    fill: (element, { value, force }) => {
      const subject = control(element);
      const isField = subject instanceof HTMLInputElement || subject instanceof HTMLTextAreaElement;
      if (!isField && !subject.isContentEditable) return fail(`${describe(element)} is no input, text area or editable element`);
      const problem = force ? null : notReady(subject, ['visible', 'enabled', 'editable']);
      if (problem) return wait(problem);
      if (subject instanceof HTMLInputElement) {
        if (notFillable.has(subject.type)) return fail(`an input of type ${subject.type} cannot be filled`);
        if (subject.type === 'number' && Number.isNaN(Number(value))) return fail(`${JSON.stringify(value)} is no number`);
        subject.focus();
        if (typed.has(subject.type)) {
          subject.value = value;
          if (subject.value !== value) return fail(`${JSON.stringify(value)} is no ${subject.type} value`);
          fire(subject, 'input', 'change');
          return ok('done');
        }
        subject.select();
      } else if (subject instanceof HTMLTextAreaElement) {
        subject.focus();
        subject.select();
      } else {
        subject.focus();
        getSelection().selectAllChildren(subject);
      }
      return ok('type');
    },

    // Selects options, once all of them are there.
    select: (element, { wanted, force }) => {
      const subject = control(element);
      if (!(subject instanceof HTMLSelectElement)) return fail(`${describe(element)} is no select`);
      const problem = force ? null : notReady(subject, ['visible', 'enabled']);
      if (problem) return wait(problem);
      const options = [...subject.options];
      const is = (option, want, index) => ({
        value: () => option.value === want.value,
        label: () => squeeze(option.label) === squeeze(want.value),
        either: () => option.value === want.value || squeeze(option.label) === squeeze(want.value),
        index: () => index === want.value,
      })[want.by]();
      const chosen = wanted.map(want => options.find((option, index) => is(option, want, index)));
      const missing = chosen.findIndex(option => !option);
      if (missing >= 0) return wait(`it has no option ${JSON.stringify(wanted[missing].value)}`);
      if (chosen.some(option => option.matches(':disabled')) && !force) return wait('the option is not enabled');
      if (chosen.length > 1 && !subject.multiple) return fail('this select takes one option only');
      options.forEach(option => { option.selected = chosen.includes(option); });
      subject.focus();
      fire(subject, 'input', 'change');
      return ok([...subject.selectedOptions].map(option => option.value));
    },

    upload: (element, { files, force }) => {
      const input = control(element);
      if (!(input instanceof HTMLInputElement) || input.type !== 'file') return fail(`${describe(element)} is no file input`);
      if (!force && isDisabled(input)) return wait('it is not enabled');
      if (files.length > 1 && !input.multiple) return fail('this input takes one file only');
      const transfer = new DataTransfer();
      for (const { name, type, data } of files) transfer.items.add(new File([bytesOf(data)], name, { type }));
      input.files = transfer.files;
      fire(input, 'input', 'change');
      return ok(null);
    },

    // For the host to take the element itself.
    element: element => ({ element }),
  };

  // ---- Watching an act ---------------------------------------------------------------------------------------------

  const pointerEvents = ['mousemove', 'pointermove', 'mousedown', 'pointerdown', 'mouseup', 'pointerup', 'click', 'auxclick', 'dblclick', 'contextmenu'];
  let guarded = null;

  // From now on swallows pointer events that would hit something else than this element: between the check and the
  // click, a page may move. What was swallowed is told by `unguard`.
  function guard(element) {
    unguard();
    const state = { element, missed: null, hit: false };
    state.listener = event => {
      if (!event.isTrusted) return;
      // Once the first press has hit, what follows belongs to the page: the element may react by moving.
      if (state.hit) return;
      const covered = obstacle(element, deepElementFromPoint(event.clientX, event.clientY));
      if (!covered) {
        state.hit = event.type === 'mousedown' || event.type === 'pointerdown';
        return;
      }
      state.missed ??= describe(covered);
      event.preventDefault();
      event.stopImmediatePropagation();
    };
    pointerEvents.forEach(type => window.addEventListener(type, state.listener, { capture: true, passive: false }));
    guarded = state;
  }

  // Ends the guard; says what was hit instead, if something was.
  function unguard() {
    const state = guarded;
    guarded = null;
    if (!state) return null;
    pointerEvents.forEach(type => window.removeEventListener(type, state.listener, { capture: true }));
    return state.hit ? null : state.missed;
  }

  // ---- The way in --------------------------------------------------------------------------------------------------

  const pause = () => new Promise(done => setTimeout(done, 20));

  // Looks for the one element and does `request.op` with it, again and again for `slice` milliseconds until it can be
  // done. Answers {ok}, {wait: why not yet}, {many: [...]}, {fail: why never} or {gone: true}.
  async function run(parts, request, slice) {
    const end = performance.now() + slice;
    for (let attempt = request.attempt ?? 0; ; attempt++) {
      let answer;
      try {
        const found = query(parts);
        if (found.length > 1) return { many: found.slice(0, 10).map(describe), count: found.length };
        answer = found.length ? await operations[request.op](found[0], { ...request, attempt }) : { wait: null };
      } catch (error) {
        if (error instanceof Gone) return { gone: true };
        return { fail: String(error?.message ?? error) };
      }
      if (!('wait' in answer) || performance.now() >= end) return { ...answer, attempt: attempt + 1 };
      await pause();
    }
  }

  // Waits for a selector to be in a state; answers {ok: true} or {wait: what is seen instead}.
  async function waitFor(parts, state, slice) {
    const end = performance.now() + slice;
    for (;;) {
      let found;
      try {
        found = query(parts);
      } catch (error) {
        if (error instanceof Gone) return /^(detached|hidden)$/.test(state) ? { ok: true } : { gone: true };
        return { fail: String(error?.message ?? error) };
      }
      const visible = found.filter(isVisible).length;
      if (state === 'visible' && found.length > 1) return { many: found.slice(0, 10).map(describe), count: found.length };
      const reached = {
        attached: found.length > 0, detached: found.length === 0, visible: visible === 1, hidden: visible === 0,
      }[state];
      if (reached) return { ok: true };
      if (performance.now() >= end) return { wait: found.length ? `${found.length} found, ${visible} visible` : null };
      await pause();
    }
  }

  // Whether the one match is visible, at once: no match is not visible.
  function visibleNow(parts) {
    const found = query(parts);
    if (found.length > 1) return { many: found.slice(0, 10).map(describe), count: found.length };
    return { ok: found.length === 1 && isVisible(found[0]) };
  }

  return {
    run, waitFor, visibleNow, unguard,
    count: parts => query(parts).length,
    all: (parts, op) => query(parts).map(element => operations[op](element, {}).ok),
    elements: parts => {
      const found = query(parts);
      // For the host, which takes one element or learns how many there are.
      Object.defineProperty(found, 'one', { value: found.length === 1 ? found[0] : found.length });
      return found;
    },
    hold: (parts, first) => query(parts).map((element, at) => { held.set(first + at, element); return first + at; }),
    release: id => { held.delete(id); },
    // Replaces the document's content; loading goes on after this returns.
    write: html => { window.stop(); document.open(); document.write(html); document.close(); },
    // Lets everything that the last act has set off get going: tasks and microtasks that it queued.
    settle: () => new Promise(done => setTimeout(() => setTimeout(done, 0), 0)),
  };
})()
