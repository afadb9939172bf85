// Any model file: what is in it, a run, and where its time goes.
import { fromImage, fromNpy, imageLayout, kScales, madeUp } from './inputs.js';
import { Panel } from './panel.js';
import { showOutput, showProfile } from './show.js';

const kExamples = { 'Digits, 0.2 MB': 'models/digits/model.kiln', 'MobileNetV2, 13 MB': 'models/mobilenetv2/model.kiln', 'MiniLM, 86 MB': 'models/minilm/any.kiln' };
/** What a visitor most probably wants of a size that a model leaves open. */
const kSizes = [[/DynamicDimension\.[1-9]/, 224], [/batch|^n$|\.0$|num|count/i, 1], [/seq|tok|len|time/i, 16], [/height|width|^[hw]$|\.[23]$/i, 224]];

const find = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const typed = ({ dtype, shape }) => `${dtype}[${shape.join(' × ')}]`;

let seed = 1;
let file = { name: '', source: null };
const given = new Map(); // what the visitor chose for an input, by its name

const panel = new Panel(find('panel'), find('status'), null, ready, { offersPrecision: true, asks });
panel.enabled = ['run', 'other', 'profile'].map(find);

function open(source, name) {
  file = { name, source };
  given.clear();
  for (const id of ['about', 'trial', 'panel', 'sizes']) find(id).hidden = true;
  panel.open(source);
}

/** The model leaves sizes open: the visitor says which. */
function asks(error) {
  if (error.where !== 'dims' || !error.message.startsWith('give a size')) return false;
  const names = error.message.replace(/^.* dimensions? /, '').split(', ');
  const fields = names.map((name) => {
    const value = (kSizes.find(([pattern]) => pattern.test(name)) ?? [null, 1])[1];
    return make('label', { textContent: name }, make('input', { type: 'number', min: 1, value, name, required: true }));
  });
  find('sizes').querySelector('.fields').replaceChildren(...fields);
  find('sizes').hidden = false;
  fields[0].querySelector('input').focus();
  return true;
}

async function ready(model) {
  find('sizes').hidden = true;
  for (const id of ['about', 'trial', 'panel']) find(id).hidden = false;
  const info = model.info();
  find('name').textContent = file.name;
  find('facts').textContent = `${(info.downloadedBytes / 2 ** 20).toFixed(1)} MB, ${info.steps} steps of ${info.kernels.length} kernels`;
  const row = (kind, port) => make('tr', {}, make('td', { textContent: kind }), make('td', {}, make('code', { textContent: port.name })), make('td', {}, make('code', { textContent: typed(port) })));
  find('ports').replaceChildren(...model.inputs.map((port) => row('in', port)), ...model.outputs.map((port) => row('out', port)));
  find('operators').replaceChildren();
  find('inputs').replaceChildren(...model.inputs.map(inputField));
  await run(); // the first one is slower: engines have yet to finish the code
  await profile();
  await run();
}

function inputField(port) {
  const picture = imageLayout(port);
  const said = make('span', { className: 'quiet', textContent: 'made up' });
  const scale = make('select', { ariaLabel: 'How pixels become numbers', hidden: true }, ...Object.keys(kScales).map((text) => new Option(text)));
  const choose = make('input', { type: 'file', accept: picture ? 'image/*,.npy' : '.npy' });
  const take = async () => {
    const [blob] = choose.files;
    if (!blob) return;
    const isArray = blob.name.endsWith('.npy');
    given.set(port.name, isArray ? await fromNpy(port, blob) : await fromImage(port, blob, scale.value));
    scale.hidden = isArray || port.dtype !== 'float32';
    said.textContent = blob.name;
    await run();
  };
  choose.onchange = scale.onchange = () => panel.attempt(take);
  const button = make('label', { className: 'button', textContent: picture ? 'Image or .npy' : '.npy file' }, choose);
  return make('div', { className: 'input' }, make('code', { textContent: port.name }), make('span', { className: 'quiet', textContent: typed(port) }), make('span', { className: 'row' }, said, scale, button));
}

const inputsOf = (model) => Object.fromEntries(model.inputs.map((port, i) => [port.name, given.get(port.name) ?? madeUp(port, seed * 1000 + i)]));

async function run() {
  const { model } = panel;
  const start = performance.now();
  const outputs = await panel.run(inputsOf(model));
  find('ran').textContent = `answered in ${(performance.now() - start).toFixed(1)} ms`;
  find('outputs').replaceChildren(...model.outputs.map((port) => showOutput(port.name, outputs[port.name])));
}

async function profile() {
  find('profiled').textContent = 'Measuring every step';
  const steps = await panel.model.profile(inputsOf(panel.model), { repeats: 3 });
  const { counts, text } = showProfile(steps, panel.model.info().kernels, find('families'), find('layers'));
  find('profiled').textContent = text;
  find('operators').replaceChildren(...counts.map(([operator, count]) => make('span', {}, operator, make('b', { textContent: ` ${count}` }))));
}

find('run').onclick = () => panel.attempt(run);
find('profile').onclick = () => panel.attempt(profile);
find('other').onclick = () => {
  seed++;
  panel.attempt(run);
};
find('sizes').onsubmit = (event) => {
  event.preventDefault();
  const dims = Object.fromEntries([...new FormData(event.target)].map(([name, size]) => [name, Number(size)]));
  panel.open(file.source, dims);
};
find('file').onchange = ({ target }) => {
  if (target.files[0]) open(target.files[0], target.files[0].name);
};
for (const [text, url] of Object.entries(kExamples)) find('examples').append(make('button', { textContent: text, onclick: () => open(url, text.split(',')[0]) }));

// The whole page takes a file. A drop that misses would make the browser leave the page.
for (const kind of ['dragover', 'dragleave', 'drop']) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    find('drop').classList.toggle('over', kind === 'dragover');
    const dropped = kind === 'drop' && event.dataTransfer.files[0];
    if (dropped) open(dropped, dropped.name);
  });
}
