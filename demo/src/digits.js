import { Tensor } from 'wasmkiln';
import { Pad } from './ink.js';
import { Panel } from './panel.js';

const find = (id) => document.getElementById(id);
const kModel = '/models/digits';

const classes = Array.from({ length: 10 }, (_, digit) => {
  const item = document.createElement('li');
  item.innerHTML = `<span>${digit}</span><span class="bar"><i></i></span><b>–</b>`;
  find('classes').append(item);
  return item;
});

function paint(pixels) {
  const context = find('seen').getContext('2d');
  const image = context.createImageData(8, 8);
  pixels.forEach((value, i) => image.data.set([255, 217, 168, 255 * value], 4 * i));
  context.putImageData(image, 0, 0);
}

function softmax(logits) {
  const most = Math.max(...logits);
  const powers = Array.from(logits, (x) => Math.exp(x - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((x) => x / sum);
}

function show(chances) {
  const best = chances ? chances.indexOf(Math.max(...chances)) : -1;
  find('best').textContent = best < 0 ? '?' : String(best);
  classes.forEach((item, digit) => {
    item.classList.toggle('top', digit === best);
    item.querySelector('i').style.width = chances ? `${100 * chances[digit]}%` : '0';
    item.querySelector('b').textContent = chances ? `${(100 * chances[digit]).toFixed(1)}%` : '–';
  });
}

const logitsOf = async (pixels, run = (inputs) => panel.run(inputs)) => (await run({ image: new Tensor('float32', pixels, [1, 1, 8, 8]) })).logits.data;

/** Strokes come faster than answers may: while one is under way only the newest picture waits. */
let busy = false;
let waiting = null;
async function classify(pixels) {
  if (pixels) paint(pixels);
  waiting = { pixels };
  if (busy) return;
  busy = true;
  try {
    while (waiting && panel.model) {
      const { pixels: current } = waiting;
      waiting = null;
      show(current && softmax(await logitsOf(current)));
    }
  } finally {
    busy = false;
  }
}

/** The held-out digit that stands in the place of a drawing. */
let shown = null;
const pad = new Pad(find('pad'), () => {
  shown = null;
  find('hint').hidden = pad.strokes.length > 0;
  find('says').textContent = 'What the network sees is 8 × 8 pixels.';
  if (pad.strokes.length === 0) paint(new Float32Array(64));
  void classify(pad.picture());
});
const panel = new Panel(find('panel'), find('status'), `${kModel}/model.kiln`, () => classify(shown ?? pad.picture()));
panel.enabled = [find('sample'), find('all')];

const heldOut = (async () => {
  const [about, rows] = await Promise.all([fetch(`${kModel}/heldout.json`).then((r) => r.json()), fetch(`${kModel}/heldout.bin`).then((r) => r.arrayBuffer())]);
  const bytes = new Uint8Array(rows);
  const row = (i) => ({ pixels: Float32Array.from(bytes.subarray(i * 66, i * 66 + 64), (p) => p / about.max_pixel), label: bytes[i * 66 + 64] });
  return { ...about, row };
})();

find('clear').onclick = () => pad.clear();
find('sample').onclick = () =>
  panel.attempt(async () => {
    const { count, row } = await heldOut;
    const { pixels, label } = row(Math.floor(Math.random() * count));
    pad.clear();
    shown = pixels;
    await classify(pixels);
    find('says').textContent = `A digit that training never saw; its label is ${label}.`;
  });
find('all').onclick = () =>
  panel.attempt(async () => {
    const { count, accuracy, row } = await heldOut;
    let right = 0;
    const start = performance.now();
    for (let i = 0; i < count; i++) {
      const { pixels, label } = row(i);
      const logits = await logitsOf(pixels, (inputs) => panel.model.run(inputs));
      if (logits.indexOf(Math.max(...logits)) === label) right++;
    }
    const took = performance.now() - start;
    find('accuracy').textContent = `${((100 * right) / count).toFixed(1)}% of ${count} right in ${took.toFixed(0)} ms (PyTorch: ${(100 * accuracy).toFixed(1)}%)`;
  });

heldOut.catch(() => undefined); // who asks for a digit hears of it
await panel.load();
