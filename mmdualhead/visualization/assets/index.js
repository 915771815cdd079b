const labeled = data.clips.filter((clip) => clip.true !== null);
const right = labeled.filter((clip) => clip.true === clip.label).length;
const className = (label) => (label === null ? '' : data.classes[label]);
const state = { by: 'name', down: false, cell: null };
if (labeled.length) {
  byId('accuracy').textContent = `${right} of ${labeled.length} right, ${(100 * right / labeled.length).toFixed(1)} %`;
}
const columns = [
  ['name', 'clip', (clip) => clip.name], ['true', 'true class', (clip) => className(clip.true)],
  ['label', 'prediction', (clip) => className(clip.label)], ['confidence', 'confidence', (clip) => clip.confidence],
  ['agree', 'heads agree', (clip) => (clip.agree ? 'yes' : 'no')],
];
for (const [key, title] of columns) {
  const head = document.createElement('th');
  head.dataset.key = key;
  head.tabIndex = 0;
  head.onclick = () => { state.down = state.by === key && !state.down; state.by = key; list(); };
  head.onkeydown = (event) => { if (event.key === 'Enter') head.click(); };
  head.textContent = title;
  byId('heads').append(head);
}

function list() {
  const value = columns.find(([key]) => key === state.by)[2];
  const compare = (a, b) => (typeof a === 'number' ? a - b : a.localeCompare(b, 'en', { numeric: true }));
  const shown = data.clips.filter((clip) => (!byId('wrong').checked || (clip.true !== null && clip.true !== clip.label))
    && (!state.cell || (clip.true === state.cell[0] && clip.label === state.cell[1])));
  shown.sort((a, b) => compare(value(a), value(b)) * (state.down ? -1 : 1));
  for (const head of byId('heads').children) {
    const title = columns.find(([key]) => key === head.dataset.key)[1];
    head.textContent = title + (head.dataset.key === state.by ? (state.down ? ' \u25be' : ' \u25b4') : '');
  }
  byId('rows').replaceChildren(...shown.map(row));
  byId('count').textContent = `${shown.length} of ${data.clips.length} clips`;
  byId('clear').hidden = !state.cell;
  if (state.cell) byId('clear').textContent = `${className(state.cell[0])} \u2192 ${className(state.cell[1])} \u2715`;
}

function row(clip) {
  const line = document.createElement('tr');
  for (const [key, , value] of columns) {
    const cell = document.createElement('td');
    if (key === 'name') {
      const link = document.createElement('a');
      link.href = clip.file;
      link.textContent = clip.name;
      cell.append(link);
    } else {
      cell.textContent = key === 'confidence' ? clip.confidence.toFixed(3) : value(clip);
    }
    if (key === 'confidence') cell.className = 'number';
    if (key === 'label' && clip.true !== null) cell.className = clip.true === clip.label ? 'good' : 'bad';
    line.append(cell);
  }
  return line;
}

function drawConfusion() {
  if (!labeled.length) {
    byId('matrix').hidden = true;
    return;
  }
  const counts = data.classes.map(() => data.classes.map(() => 0));
  for (const clip of labeled) counts[clip.true][clip.label] += 1;
  const positions = data.classes.map((_, i) => i);
  const few = data.classes.length <= 30 && byId('matrix').clientWidth > 420;
  const names = data.classes.map((name, i) => shorten(name, 18));
  const ticks = few ? { tickvals: positions, ticktext: names, automargin: true } : { nticks: 12 };
  const map = { type: 'heatmap', z: counts, x: positions, y: positions, showscale: false, xgap: 1, ygap: 1,
    colorscale: [[0, color('back')], [1, color('accent')]], text: counts.map((line) => line.map((n) => n || '')),
    texttemplate: data.classes.length <= 30 ? '%{text}' : '',
    customdata: counts.map((line, t) => line.map((_, p) => `${safe(className(t))} \u2192 ${safe(className(p))}`)),
    hovertemplate: '%{customdata}: %{z}<extra></extra>' };
  Plotly.react('confusion', [map], layout({ height: Math.max(380, Math.min(byId('confusion').clientWidth, 640)),
    margin: { l: few ? 130 : 50, r: 8, t: 8, b: few ? 130 : 50 },
    xaxis: { title: { text: 'predicted' }, fixedrange: true, tickangle: few ? -60 : 0, showgrid: false, ...ticks },
    yaxis: { title: { text: few ? '' : 'true' }, autorange: 'reversed', fixedrange: true, showgrid: false, ...ticks } }), config);
}

byId('wrong').onchange = list;
byId('clear').onclick = () => { state.cell = null; list(); };
function open(event) {
  const { x, y } = event.points[0];
  state.cell = [y, x];
  byId('wrong').checked = false;
  list();
  byId('rows').closest('.panel').scrollIntoView({ block: 'nearest' });
}
list();
drawConfusion();
if (labeled.length) byId('confusion').on('plotly_click', open);
dark.addEventListener('change', drawConfusion);
