// Strokes on a pad, and the 8×8 picture of them that looks like the training data: the digit fills the height, the pen is as wide.
const kCell = 4; // the data set counts the pixels of 4×4 blocks of a 32×32 bitmap
const kPen = 4.4;
const kMargin = 2;

export class Pad {
  strokes = [];
  #context;
  #changed;

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
    const { canvas } = this.#context;
    this.#context.clearRect(0, 0, canvas.width, canvas.height);
    this.#context.strokeStyle = '#ffd9a8';
    trace(this.#context, this.strokes, canvas.width / 14, (point) => point);
    this.#changed();
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
