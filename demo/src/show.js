// Outputs and profiles as pictures.
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const milliseconds = (ms) => (ms >= 10 ? `${ms.toFixed(0)} ms` : ms >= 1 ? `${ms.toFixed(1)} ms` : `${(ms * 1000).toFixed(0)} µs`);
const short = (x) => (Number.isInteger(x) ? String(x) : x.toPrecision(4));
const kBins = 32, kTop = 5, kLayers = 24;

/** A type of 16 bits as numbers. */
const kWiden = {
  bfloat16: (bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0],
  float16: (bits) => {
    const exponent = (bits >> 10) & 31, fraction = bits & 1023, sign = bits & 0x8000 ? -1 : 1;
    return exponent === 31 ? (fraction ? NaN : sign * Infinity) : sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
  },
};

/** Name, shape, least, mean, most, the distribution, and the largest entries of a vector of scores. */
export function showOutput(name, { type, data, shape }) {
  const values = Float64Array.from(data, kWiden[type] ?? Number);
  const finite = values.filter(Number.isFinite);
  const least = finite.reduce((a, b) => Math.min(a, b), Infinity), most = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  const mean = finite.reduce((a, b) => a + b, 0) / finite.length;
  const facts = values.length === 0 ? 'no elements' : finite.length === 0 ? 'no finite numbers' : `${short(least)} to ${short(most)}, mean ${short(mean)}`;
  const strange = values.length - finite.length ? `, ${values.length - finite.length} not finite` : '';
  const parts = [make('p', {}, make('code', { textContent: name }), ` ${type}[${shape.join(' × ')}]`), make('p', { className: 'quiet', textContent: facts + strange })];
  if (most > least) parts.push(histogram(finite, least, most));
  const last = shape.at(-1) ?? 1;
  if (values.length === last && last > kTop && last <= 100_000) parts.push(largest(values));
  else if (values.length <= 16 && values.length) parts.push(make('p', { className: 'numbers', textContent: [...values].map(short).join('  ') }));
  return make('div', { className: 'output' }, ...parts);
}

function histogram(values, least, most) {
  const counts = new Array(kBins).fill(0);
  for (const value of values) counts[Math.min(kBins - 1, Math.floor(((value - least) / (most - least)) * kBins))]++;
  const highest = Math.max(...counts);
  const bars = counts.map((count) => {
    const bar = make('i');
    bar.style.height = `${count ? Math.max(4, (100 * count) / highest) : 0}%`;
    return bar;
  });
  const picture = make('div', { className: 'histogram' }, ...bars);
  picture.setAttribute('role', 'img');
  picture.setAttribute('aria-label', `How often values occur, from ${short(least)} to ${short(most)}`);
  return picture;
}

function largest(values) {
  const order = [...values.keys()].sort((a, b) => values[b] - values[a]).slice(0, kTop);
  return make('p', { className: 'chips' }, 'largest', ...order.map((at) => make('span', {}, `#${at}`, make('b', { textContent: ` ${short(values[at])}` }))));
}

/** Of `conv aten.convolution.default (model.py:3 in forward)` the operator, `convolution`, and where it stands. What the planner adds has no operator. */
function parts(label) {
  const [, operator, where] = /^\w+ (?:aten|onnx)\.([\w.]+?)(?:\.default)?(?: \((.*)\))?$/.exec(label) ?? [];
  return { operator, where: where ?? '', name: operator ?? label };
}

/** The families' shares of the time as one bar, and the steps in order as bars. Returns how often each operator occurs, and a sentence. */
export function showProfile(steps, kernels, familiesElement, layersElement) {
  const all = steps.reduce((sum, { ms }) => sum + ms, 0) || 1;
  const families = new Map(), counts = new Map();
  for (const { ms, kernel, label } of steps) {
    const family = kernels[kernel].spec.split(' ')[0];
    families.set(family, (families.get(family) ?? 0) + ms);
    const { operator } = parts(label);
    if (operator) counts.set(operator, (counts.get(operator) ?? 0) + 1);
  }
  const shares = [...families].sort(([, a], [, b]) => b - a);
  familiesElement.replaceChildren(
    ...shares.map(([family, ms], i) => {
      const part = make('span', { title: `${family}: ${milliseconds(ms)}` }, (100 * ms) / all > 9 ? `${family} ${((100 * ms) / all).toFixed(0)} %` : '');
      part.style.flexGrow = String(ms / all);
      part.style.opacity = String(1 - 0.6 * (i / Math.max(1, shares.length)));
      return part;
    }),
  );
  familiesElement.setAttribute('aria-label', shares.map(([family, ms]) => `${family} ${((100 * ms) / all).toFixed(0)} %`).join(', '));
  const slowest = new Set([...steps.keys()].sort((a, b) => steps[b].ms - steps[a].ms).slice(0, kLayers));
  const most = Math.max(...steps.map(({ ms }) => ms)) || 1;
  layersElement.replaceChildren(
    ...[...steps.entries()].filter(([i]) => slowest.has(i)).map(([i, { label, ms, gflops }]) => {
      const bar = make('i');
      bar.style.width = `${(100 * ms) / most}%`;
      const speed = gflops >= 1 ? `${gflops.toFixed(0)} GFLOP/s` : '';
      const { name, where } = parts(label);
      return make('li', { value: i, title: label }, make('span', { className: 'name' }, make('b', { textContent: name }), ` ${where}`), make('span', { className: 'bar' }, bar), make('span', { className: 'time', textContent: milliseconds(ms) }), make('small', { textContent: speed }));
    }),
  );
  const rest = steps.length - slowest.size;
  const text = `${milliseconds(all)} in ${steps.length} steps, each measured by itself${rest > 0 ? `; the ${slowest.size} slowest in order` : ''}`;
  return { counts: [...counts].sort(([, a], [, b]) => b - a), text };
}
