const film = byId('film');
const who = (persons) => persons.join('+');
const clock = (time) => {
  const tenths = Math.round(10 * time);
  return `${Math.floor(tenths / 600)}:${(tenths % 600 / 10).toFixed(1).padStart(4, '0')}`;
};
const rows = [...data.persons.map((person) => String(person.id)),
  ...new Set(data.segments.filter((one) => one.persons.length > 1).map((one) => who(one.persons)))];
const names = [...new Set(data.segments.map((one) => one.class_name))];
// Hues that differ most from those before; text on them is dark in both schemes.
const hue = (name) => `hsl(${(names.indexOf(name) * 137.5 + 205) % 360}, 62%, 72%)`;
byId('summary').textContent = `${data.persons.length} person${data.persons.length === 1 ? '' : 's'}, `
  + `${data.segments.length} segment${data.segments.length === 1 ? '' : 's'}, ${clock(data.duration)}`
  + (data.stopped ? ', stopped before its end' : '');
for (const line of data.about) {
  const item = document.createElement('li');
  item.textContent = line;
  byId('about').append(item);
}

let time = 0;
const cursor = () => [{ type: 'line', x0: time, x1: time, yref: 'paper', y0: 0, y1: 1, line: { color: color('bad'), width: 2 } }];
const height = 40 * Math.max(rows.length, 1) + 60;

function draw() {
  if (!rows.length) {
    byId('none').textContent = 'There is no person in this video.';
    return;
  }
  const sights = { type: 'bar', orientation: 'h', y: data.persons.map((one) => String(one.id)), base: data.persons.map((one) => one.begin),
    x: data.persons.map((one) => one.end - one.begin), marker: { color: color('line') }, width: 0.12,
    hovertemplate: 'person %{y} in sight<extra></extra>' };
  const bars = { type: 'bar', orientation: 'h', y: data.segments.map((one) => who(one.persons)), base: data.segments.map((one) => one.begin),
    x: data.segments.map((one) => one.end - one.begin), width: 0.72, marker: { color: data.segments.map((one) => hue(one.class_name)),
      line: { width: 1, color: color('panel') } },
    text: data.segments.map((one) => `${shorten(one.class_name, 40)} ${(100 * one.score).toFixed(0)} %`), textposition: 'inside',
    insidetextanchor: 'middle', textangle: 0, textfont: { color: '#1b1f24' }, cliponaxis: true,
    customdata: data.segments.map((one) => [safe(one.class_name), clock(one.begin), clock(one.end), (100 * one.score).toFixed(1)]),
    hovertemplate: '%{customdata[0]}<br>%{customdata[1]} to %{customdata[2]}, score %{customdata[3]} %<extra></extra>' };
  Plotly.react('timeline', [sights, bars], layout({ height, barmode: 'overlay', margin: { l: 70, r: 14, t: 6, b: 40 }, shapes: cursor(),
    uniformtext: { minsize: 11, mode: 'hide' }, dragmode: 'zoom',
    xaxis: { range: [0, Math.max(data.duration, 0.1)], gridcolor: color('line'), zeroline: false, title: { text: 'seconds' } },
    yaxis: { type: 'category', categoryorder: 'array', categoryarray: rows, autorange: 'reversed', fixedrange: true, gridcolor: color('line'),
      title: { text: 'person' } } }), config);
}

function seek(to) {
  time = to;
  if (!byId('player').hidden) film.currentTime = to;
  show();
}
function show() {
  if (rows.length) Plotly.relayout('timeline', { shapes: cursor() });
  // Where one segment ends and the next one begins, the next one counts.
  const latest = new Map(data.segments.filter((one) => one.begin <= time && time <= one.end).map((one) => [who(one.persons), one]));
  const current = data.segments.filter((one) => latest.get(who(one.persons)) === one);
  byId('now').textContent = current.length
    ? current.map((one) => `${who(one.persons)}: ${one.class_name} ${(100 * one.score).toFixed(0)} %`).join('   \u00b7   ') : '\u2013';
  [...byId('rows').children].forEach((line, i) => line.classList.toggle('current', current.includes(data.segments[i])));
}

for (const one of data.segments) {
  const line = document.createElement('tr');
  [who(one.persons), one.class_name, clock(one.begin), clock(one.end), `${(100 * one.score).toFixed(1)} %`].forEach((text) => {
    const cell = document.createElement('td');
    cell.textContent = text;
    line.append(cell);
  });
  line.tabIndex = 0;
  line.onclick = () => seek(one.begin);
  line.onkeydown = (event) => { if (event.key === 'Enter') seek(one.begin); };
  byId('rows').append(line);
}

if (data.film) {
  film.onloadeddata = () => { byId('player').hidden = film.videoWidth === 0; };
  film.onerror = () => { byId('player').hidden = true; };
  film.ontimeupdate = () => { time = film.currentTime; show(); };
  film.src = data.film;
}
draw();
show();
if (rows.length) byId('timeline').on('plotly_click', (event) => seek(event.points[0].base + 0));
dark.addEventListener('change', draw);
