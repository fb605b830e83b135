// What can be done with the one element, in the table `operations`, and when it is ready for that: each operation
// answers that it is done, why not yet, or why never.

// The next picture of the page. A page that is not drawn has none, and a machine that is busy has it late; what moves
// from picture to picture stands still meanwhile, so that too little patience would take it for ready.
const frame = () => new Promise(done => {
  const late = setTimeout(done, 500);
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

  // Sets the value to a secret if the document is of one of its origins, at once: what the page does about it comes later.
  // Answers with the document's origin if it is not. The page cannot tell our world another.
  fillSecret: (element, { value, origins, force }) => {
    if (!origins.includes(self.origin)) return ok(self.origin);
    const subject = control(element);
    if (!(subject instanceof HTMLInputElement || subject instanceof HTMLTextAreaElement) || notFillable.has(subject.type)) {
      return fail(`${describe(element)} takes no secret: it is no input of text and no text area`);
    }
    const problem = force ? null : notReady(subject, ['visible', 'enabled', 'editable']);
    if (problem) return wait(problem);
    subject.focus();
    subject.value = value;
    fire(subject, 'input', 'change');
    return ok(null);
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
