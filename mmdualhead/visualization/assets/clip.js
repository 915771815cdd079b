const flat = data.persons.length > 0 && data.persons[0][0][0].length === 2;
const frames = data.persons.length ? data.persons[0].length : 0;
const state = { frame: 0, playing: false };
window.viewer = state;

byId('label').textContent = `${data.label} (${(100 * data.confidence).toFixed(1)} %)`;
byId('true').textContent = data.true === null ? 'not known' : data.true;
if (data.true !== null) byId('label').className = data.true === data.label ? 'good' : 'bad';
for (const [key, text] of [['index', 'all clips'], ['previous', 'previous'], ['next', 'next']]) {
  if (!data[key]) continue;
  const link = document.createElement('a');
  link.href = data[key];
  link.textContent = text;
  byId('around').append(link);
}

function strengths() {
  if (!data.where) return data.joints.map(() => 0.3);
  const least = Math.min(...data.where), most = Math.max(...data.where);
  // Differences that are next to nothing are not blown up.
  return data.where.map((w) => (w - (least + most) / 2) / Math.max(most - least, 0.1) + 0.5);
}
const strength = strengths();
const scale = () => (dark.matches ? 'Viridis' : [[0, '#c3d1de'], [0.5, '#ec9448'], [1, '#a8101c']]);

function coordinates(person, frame) {
  const joints = data.persons[person][frame];
  const axes = flat ? ['x', 'y'] : ['x', 'y', 'z'];
  const points = {}, lines = {};
  axes.forEach((axis, i) => {
    points[axis] = joints.map((joint) => joint[i]);
    lines[axis] = data.bones.flatMap(([a, b]) => [joints[a][i], joints[b][i], null]);
  });
  return [lines, points];
}

function traces() {
  const type = flat ? 'scatter' : 'scatter3d';
  return data.persons.flatMap((_, person) => {
    const [lines, points] = coordinates(person, state.frame);
    return [
      { type, mode: 'lines', hoverinfo: 'skip', connectgaps: false, ...lines,
        line: { width: flat ? 3 : 5, color: person ? color('soft') : color('accent') } },
      { type, mode: 'markers', hoverinfo: 'text', ...points,
        text: data.joints.map((name, i) => safe(name) + (data.where ? ' ' + data.where[i].toFixed(3) : '')),
        marker: { size: strength.map((s) => (flat ? 6 : 4) + 10 * s), color: strength, cmin: 0, cmax: 1, opacity: 1,
          colorscale: scale(),
          line: { width: 1, color: color('soft') } } },
    ];
  });
}

function bounds() {
  const size = flat ? 2 : 3;
  const low = Array(size).fill(Infinity), high = Array(size).fill(-Infinity);
  for (const person of data.persons) for (const frame of person) for (const joint of frame) {
    joint.forEach((value, i) => {
      if (value === null) return;
      low[i] = Math.min(low[i], value);
      high[i] = Math.max(high[i], value);
    });
  }
  return low.map((value, i) => {
    const pad = 0.05 * Math.max(high[i] - value, 1e-3) + 0.02;
    return [value - pad, high[i] + pad];
  });
}
const ranges = bounds();

function skeletonLayout() {
  const margin = { l: 0, r: 0, t: 0, b: 0 };
  const axis = (range) => ({ range, autorange: false, showticklabels: false, title: { text: '' }, zeroline: false,
    gridcolor: color('line'), color: color('soft'), showspikes: false, backgroundcolor: color('panel') });
  if (flat) {
    return layout({ margin, dragmode: 'pan', xaxis: axis(ranges[0]),
      yaxis: Object.assign(axis(ranges[1]), { scaleanchor: 'x' }) });
  }
  const spans = ranges.map(([low, high]) => high - low);
  const [x, y, z] = spans.map((span) => span / Math.max(...spans));
  return layout({ margin, uirevision: 'keep', scene: { aspectmode: 'manual', aspectratio: { x, y, z }, dragmode: 'turntable',
    xaxis: axis(ranges[0]), yaxis: axis(ranges[1]), zaxis: axis(ranges[2]),
    camera: { eye: { x: 0.4, y: -1.5, z: 0.25 }, up: { x: 0, y: 0, z: 1 } } } });
}

const marginWhen = { l: 46, r: 10, t: 6, b: 30 };
const cursor = () => [{ type: 'line', x0: state.frame, x1: state.frame, yref: 'paper', y0: 0, y1: 1,
  line: { color: color('bad'), width: 2 } }];

function drawWhen() {
  if (!data.when) {
    byId('when').style.display = 'none';
    byId('unknown').textContent = 'This answer carries no attention over frames.';
    return;
  }
  const line = { type: 'scatter', mode: 'lines+markers', connectgaps: true, x: data.when.map((_, i) => i), y: data.when,
    line: { color: color('accent'), width: 1 }, marker: { size: 5 }, hoverinfo: 'x+y' };
  Plotly.react('when', [line], layout({ margin: marginWhen, dragmode: false, shapes: cursor(),
    xaxis: { range: [0, Math.max(frames - 1, 1)], fixedrange: true, gridcolor: color('line'), title: { text: '' } },
    yaxis: { fixedrange: true, gridcolor: color('line'), nticks: 4 } }), config);
}

function drawBars() {
  const heads = Object.entries(data.heads);
  const height = heads.reduce((sum, [, guesses]) => sum + 24 * guesses.length + 44, 0);
  const plots = heads.map(([head, guesses], i) => {
    const suffix = i ? i + 1 : '';
    return { type: 'bar', orientation: 'h', xaxis: 'x', yaxis: 'y' + suffix, textposition: 'outside', cliponaxis: false,
      x: guesses.map((g) => g.score), y: guesses.map((_, rank) => rank),
      text: guesses.map((g) => (100 * g.score).toFixed(1)), hoverinfo: 'skip',
      marker: { color: guesses.map((g) => color(data.true === null ? 'accent' : g.name === data.true ? 'good' : 'soft')) } };
  });
  const more = { height, margin: { l: 150, r: 44, t: 22, b: 26 }, annotations: [],
    xaxis: { range: [0, 1], fixedrange: true, gridcolor: color('line'), tickformat: '.0%',
      anchor: 'y' + (heads.length > 1 ? heads.length : '') } };
  let top = 1;
  heads.forEach(([head, guesses], i) => {
    const share = (24 * guesses.length + 44) / height;
    more['yaxis' + (i ? i + 1 : '')] = { domain: [Math.max(top - share + 34 / height, 0), top], autorange: 'reversed',
      fixedrange: true, tickvals: guesses.map((_, rank) => rank), ticktext: guesses.map((g) => shorten(g.name, 22)) };
    more.annotations.push({ text: '<b>' + safe(head) + '</b>', xref: 'paper', yref: 'paper', x: 0, y: top, showarrow: false,
      xanchor: 'left', yanchor: 'bottom' });
    top -= share;
  });
  Plotly.react('bars', plots, layout(more), config);
}

function drawWhere() {
  if (!data.where) {
    byId('joints').hidden = true;
    return;
  }
  const order = data.where.map((_, i) => i).sort((a, b) => data.where[b] - data.where[a]);
  const bars = { type: 'bar', orientation: 'h', x: order.map((i) => data.where[i]), y: order.map((_, rank) => rank),
    marker: { color: order.map((i) => strength[i]), cmin: 0, cmax: 1, colorscale: scale(),
      line: { width: 1, color: color('line') } }, hoverinfo: 'x' };
  Plotly.react('where', [bars], layout({ height: 15 * order.length + 40, margin: { l: 150, r: 20, t: 4, b: 26 },
    xaxis: { fixedrange: true, gridcolor: color('line') },
    yaxis: { autorange: 'reversed', fixedrange: true, tickfont: { size: 10 }, tickvals: order.map((_, rank) => rank),
      ticktext: order.map((i) => shorten(data.joints[i], 22)) } }), config);
}

function show(frame) {
  state.frame = Math.max(0, Math.min(frames - 1, frame));
  byId('slider').value = state.frame;
  byId('frame').textContent = `${state.frame + 1} / ${frames}`;
  const update = { x: [], y: [] };
  if (!flat) update.z = [];
  data.persons.forEach((_, person) => coordinates(person, state.frame).forEach((part) => {
    for (const axis of Object.keys(update)) update[axis].push(part[axis]);
  }));
  if (data.persons.length) Plotly.restyle('skeleton', update);
  if (data.when) Plotly.relayout('when', { shapes: cursor() });
}

let last = 0;
function tick(now) {
  if (!state.playing) return;
  const due = 1000 / (data.frame_rate * Number(byId('speed').value));
  if (now - last >= due) {
    const passed = Math.max(1, Math.min(10, Math.floor((now - last) / due)));
    last = now;
    show((state.frame + passed) % frames);
  }
  requestAnimationFrame(tick);
}
function play(on) {
  state.playing = on && frames > 1;
  byId('play').textContent = state.playing ? 'Pause' : 'Play';
  last = performance.now();
  if (state.playing) requestAnimationFrame(tick);
}

byId('slider').max = Math.max(frames - 1, 0);
byId('play').onclick = () => play(!state.playing);
byId('back').onclick = () => { play(false); show(state.frame - 1); };
byId('forward').onclick = () => { play(false); show(state.frame + 1); };
byId('slider').oninput = (event) => { play(false); show(Number(event.target.value)); };
document.addEventListener('keydown', (event) => {
  if (['INPUT', 'SELECT', 'BUTTON'].includes(event.target.tagName)) return;
  if (event.key === ' ') { event.preventDefault(); play(!state.playing); }
  if (event.key === 'ArrowLeft') byId('back').click();
  if (event.key === 'ArrowRight') byId('forward').click();
});
let scrubbing = false;
function scrub(event) {
  const box = byId('when').getBoundingClientRect();
  const share = (event.clientX - box.left - marginWhen.l) / (box.width - marginWhen.l - marginWhen.r);
  play(false);
  show(Math.round(share * (frames - 1)));
}
byId('when').addEventListener('pointerdown', (event) => { scrubbing = true; scrub(event); }, true);
window.addEventListener('pointermove', (event) => { if (scrubbing) scrub(event); });
window.addEventListener('pointerup', () => { scrubbing = false; });

function draw() {
  if (data.persons.length) Plotly.react('skeleton', traces(), skeletonLayout(), { ...config, scrollZoom: true });
  drawWhen();
  drawBars();
  drawWhere();
  show(state.frame);
}
dark.addEventListener('change', draw);
draw();
