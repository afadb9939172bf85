// Strokes on a pad, and the 8×8 picture of them that looks like the training data: the digit fills the height, the pen is as wide.
const kCell = 4; // the data set counts the pixels of 4×4 blocks of a 32×32 bitmap
const kPen = 4.4;
const kMargin = 2;

const kStep = 1 / 20; // of the pad, for each press of an arrow key
const kArrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pad {
  strokes = [];
  #context;
  #changed;
  #pen = null; // where the keyboard's pen is, and whether it is down

  constructor(canvas, changed) {
    this.#context = canvas.getContext('2d');
    this.#changed = changed;
    const at = (event) => [(event.offsetX / canvas.clientWidth) * canvas.width, (event.offsetY / canvas.clientHeight) * canvas.height];
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.strokes.push([at(event)]);
      this.#update();
    });
    canvas.addEventListener('pointermove', (event) => {
      if (event.buttons === 0 || this.strokes.length === 0) return;
      for (const each of event.getCoalescedEvents?.() ?? [event]) this.strokes.at(-1).push(at(each));
      this.#update();
    });
    canvas.addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.#press(event.key, canvas)) return;
      event.preventDefault();
      this.#update();
    });
    canvas.addEventListener('blur', () => {
      this.#pen = null;
      this.#paint();
    });
  }

  /** Whether the key is one of the pad's. */
  #press(key, { width, height }) {
    if (key === 'Escape') {
      this.strokes = [];
      this.#pen = null;
      return true;
    }
    if (key !== ' ' && !kArrows[key]) return false;
    this.#pen ??= { at: [width / 2, height / 4], down: false };
    const pen = this.#pen;
    if (key === ' ') {
      pen.down = !pen.down;
      if (pen.down) this.strokes.push([[...pen.at]]);
      return true;
    }
    const [x, y] = kArrows[key];
    const within = (value, most) => Math.min(most, Math.max(0, value));
    pen.at = [within(pen.at[0] + x * kStep * width, width), within(pen.at[1] + y * kStep * height, height)];
    if (pen.down) this.strokes.at(-1).push([...pen.at]);
    return true;
  }

  clear() {
    this.strokes = [];
    this.#update();
  }

  /** 64 intensities in 0…1, or null when nothing is drawn. */
  picture() {
    const points = this.strokes.flat();
    if (points.length === 0) return null;
    const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const room = 8 * kCell - 2 * kMargin;
    const scale = room / Math.max(right - left, bottom - top, 60);
    const place = ([x, y]) => [16 + (x - (left + right) / 2) * scale, 16 + (y - (top + bottom) / 2) * scale];
    const context = new OffscreenCanvas(32, 32).getContext('2d');
    context.strokeStyle = '#fff';
    trace(context, this.strokes, kPen, place);
    const { data } = context.getImageData(0, 0, 32, 32);
    return Float32Array.from({ length: 64 }, (_, i) => block(data, (i % 8) * kCell, (i >> 3) * kCell));
  }

  #update() {
    this.#paint();
    this.#changed();
  }

  #paint() {
    const { canvas } = this.#context;
    this.#context.clearRect(0, 0, canvas.width, canvas.height);
    this.#context.strokeStyle = '#ffd9a8';
    trace(this.#context, this.strokes, canvas.width / 14, (point) => point);
    if (!this.#pen) return;
    this.#context.strokeStyle = this.#pen.down ? '#f0875f' : '#8d7d73';
    this.#context.lineWidth = 4;
    this.#context.beginPath();
    this.#context.arc(...this.#pen.at, canvas.width / 24, 0, 2 * Math.PI);
    this.#context.stroke();
  }
}

function block(data, x, y) {
  let sum = 0;
  for (let i = 0; i < kCell * kCell; i++) sum += data[4 * ((y + (i >> 2)) * 32 + x + (i & 3)) + 3];
  return sum / (255 * kCell * kCell);
}

function trace(context, strokes, width, place) {
  context.lineWidth = width;
  context.lineCap = context.lineJoin = 'round';
  for (const stroke of strokes) {
    context.beginPath();
    context.moveTo(...place(stroke[0]));
    for (const point of stroke) context.lineTo(...place(point));
    context.stroke();
  }
}
