// Loads a model and shows how that went: times, threads, memory, what is missing, and the schedule of every kernel.
import { loadModel } from 'wasmkiln';

const kTuningMs = 1500;
const milliseconds = (ms) => (ms >= 100 ? `${ms.toFixed(0)} ms` : ms >= 1 ? `${ms.toFixed(1)} ms` : `${(ms * 1000).toFixed(0)} µs`);
const megabytes = (bytes) => (bytes >= 1e6 ? `${(bytes / 2 ** 20).toFixed(1)} MB` : `${(bytes / 1024).toFixed(0)} KB`);

const kLayout = `
  <h2>What happened</h2>
  <div class="row">
    <label for="threads" style="margin:0">Threads</label><select id="threads"></select>
    <label for="precision" style="margin:0" hidden>Precision</label><select id="precision" hidden><option>exact</option><option selected>balanced</option><option>fast</option></select>
    <button id="tune">Measure kernels here</button><button id="again">Load again</button>
    <span class="quiet" id="missing"></span>
  </div>
  <dl class="tiles" id="tiles" style="margin-top:.75rem"></dl>
  <details><summary>For engineers: every kernel and its schedule</summary>
  <div class="table"><table><thead><tr><th>Kernel</th><th>Schedule</th><th>Chosen by</th></tr></thead><tbody id="kernels"></tbody></table></div></details>
  <footer></footer>`;
const kStatus = `
  <p class="quiet" id="stage" role="status"></p>
  <progress id="progress" max="1" aria-labelledby="stage"></progress>
  <button id="cancel">Cancel</button>
  <div id="error" class="error" role="alert" hidden><p></p><button id="retry">Try again</button></div>`;

const kStages = { download: 'Downloading', compile: 'Compiling while the weights arrive', tune: 'Measuring kernels on this machine' };

export class Panel {
  model = null;
  /** Buttons that work only while there is a model. */
  enabled = [];
  #url;
  #ready;
  #options;
  #asks;
  #abort = new AbortController();
  #others = new Map();
  #runs = [];

  /**
   * `status` says, beside what the visitor came for, how far a load is and what went wrong. `ready(model)` is called after every load.
   * `offersPrecision`: how far a model may round is the visitor's choice. `dims`: sizes that the model leaves open. `asks(error)` is true if the page
   * takes up with the visitor why a load failed.
   */
  constructor(element, status, url, ready, { offersPrecision = false, dims, asks = () => false } = {}) {
    element.innerHTML = kLayout;
    status.className = 'status';
    status.innerHTML = kStatus;
    this.#url = url;
    this.#ready = ready;
    this.#options = { dims };
    this.#asks = asks;
    const threads = this.#find('threads');
    const cores = globalThis.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
    for (let n = 1; n <= Math.min(cores, 8); n++) threads.add(new Option(String(n), String(n)));
    threads.value = String(threads.length);
    threads.onchange = () => this.load();
    const precision = this.#find('precision');
    for (const each of [precision, ...precision.labels]) each.hidden = !offersPrecision;
    precision.onchange = () => this.load();
    this.#find('tune').onclick = () => this.load(kTuningMs);
    this.#find('again').onclick = this.#find('retry').onclick = () => this.load();
    this.#find('cancel').onclick = () => this.#abort.abort();
    this.#busy(false);
  }

  /** Another model: a URL or a file. */
  open(source, dims) {
    this.#url = source;
    this.#options = { dims };
    return this.load();
  }

  /** Does what a visitor asked for; what fails is said where the eye is. */
  async attempt(work) {
    try {
      await work();
    } catch (error) {
      if (error.code !== 'disposed') this.#fail(error); // else a new load is under way
    }
  }

  async load(budgetMs = 0) {
    this.#abort.abort();
    const { signal } = (this.#abort = new AbortController());
    this.model?.dispose();
    for (const other of this.#others.values()) other.then((model) => model.dispose(), () => {});
    this.model = null;
    this.#others.clear();
    this.#runs = [];
    this.#busy(true);
    try {
      this.#options = { ...this.#options, threads: Number(this.#find('threads').value), precision: this.#find('precision').value };
      this.model = await loadModel(this.#url, { ...this.#options, tuning: { budgetMs }, signal, onProgress: (event) => this.#progress(event) });
      this.#show();
      await this.#ready(this.model);
    } catch (error) {
      if (this.#abort.signal === signal && !this.#asks(error)) this.#fail(error); // else another load has begun
    } finally {
      if (this.#abort.signal === signal) this.#busy(false);
    }
  }

  /** The same model for other sizes: loaded when it is first asked for, gone when the panel loads again. */
  sized(dims) {
    const key = JSON.stringify(dims);
    if (!this.#others.has(key)) {
      const other = loadModel(this.#url, { ...this.#options, dims });
      this.#others.set(key, other);
      other.catch(() => this.#others.delete(key)); // who asks again loads again
    }
    return this.#others.get(key);
  }

  /** Runs the model and keeps the time. */
  async run(inputs) {
    const start = performance.now();
    const outputs = await this.model.run(inputs);
    this.#runs = [...this.#runs.slice(-99), performance.now() - start];
    this.#tile('Run', milliseconds(this.#median()), `median of ${this.#runs.length}`);
    return outputs;
  }

  #median() {
    return [...this.#runs].sort((a, b) => a - b)[this.#runs.length >> 1];
  }

  #find(id) {
    return document.getElementById(id);
  }

  #busy(busy) {
    for (const id of ['threads', 'precision', 'tune', 'again']) this.#find(id).disabled = busy;
    for (const button of this.enabled) button.disabled = busy || !this.model;
    this.#find('progress').hidden = this.#find('cancel').hidden = !busy;
    this.#find('progress').removeAttribute('value');
    this.#find('stage').textContent = busy ? 'Loading the model' : '';
    if (busy) this.#find('error').hidden = true;
  }

  #fail(error) {
    this.#find('error').hidden = false;
    this.#find('error').firstElementChild.textContent = error.code === 'aborted' ? 'Cancelled.' : `${error.message} (${error.code ?? error.name})`;
  }

  #progress(event) {
    if (event.stage === 'ready') return;
    const [done, all] = event.stage === 'download' ? [event.loadedBytes, event.totalBytes] : event.stage === 'tune' ? [event.elapsedMs, event.budgetMs] : [];
    if (all) this.#find('progress').value = Math.min(1, done / all);
    const detail = event.stage === 'tune' ? `: ${event.candidates} tried` : event.stage === 'download' && all ? `: ${megabytes(done)} of ${megabytes(all)}` : '';
    this.#find('stage').textContent = kStages[event.stage] + detail;
  }

  #tile(name, value, note) {
    const tiles = this.#find('tiles');
    let tile = [...tiles.children].find((each) => each.dataset.name === name);
    if (!tile) {
      tile = document.createElement('div');
      tile.dataset.name = name;
      tile.innerHTML = '<dt></dt><dd><span></span><small></small></dd>';
      tile.querySelector('dt').textContent = name;
      tiles.append(tile);
    }
    tile.querySelector('span').textContent = value;
    tile.querySelector('small').textContent = note;
  }

  #show() {
    const info = this.model.info();
    const memory = this.model.memory();
    const { timings } = info;
    const measured = info.kernels.filter(({ origin }) => origin !== 'prior').length;
    this.#tile('Load', milliseconds(timings.totalMs), `${megabytes(info.downloadedBytes)} fetched`);
    this.#tile('Compile', milliseconds(timings.compileMs), `${info.steps} steps, ${megabytes(info.moduleBytes)} of code`);
    this.#tile('Tuning', timings.tuneMs >= 1 ? milliseconds(timings.tuneMs) : 'none', `${measured} of ${info.kernels.length} kernels measured`);
    this.#tile('Run', '–', 'not yet');
    this.#tile('Threads', String(info.threads), info.relaxedSimd ? 'relaxed SIMD' : 'SIMD, no fused multiply-add');
    this.#tile('Memory', megabytes(memory.total), `${megabytes(memory.weights)} weights, ${megabytes(memory.arena)} arena`);
    this.#find('missing').textContent = info.missing.map(({ feature, why }) => `No ${feature}: ${why}.`).join(' ');
    this.#find('kernels').replaceChildren(...info.kernels.map((kernel) => row(kernel)));
  }
}

function row({ spec, schedule, origin }) {
  const line = document.createElement('tr');
  line.innerHTML = '<td><code></code></td><td><code></code></td><td class="origin"></td>';
  const [what, how, by] = line.children;
  what.firstChild.textContent = spec;
  how.firstChild.textContent = schedule;
  by.textContent = origin;
  return line;
}
