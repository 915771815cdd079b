'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const byId = (id) => document.getElementById(id);
byId('name').textContent = data.name;
const dark = window.matchMedia('(prefers-color-scheme: dark)');
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
const config = { displayModeBar: false, responsive: true };
// Plotly reads a few HTML tags in texts.
const safe = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
const shorten = (text, most) => safe(text.length > most ? text.slice(0, most - 1) + '\u2026' : text);
function layout(more) {
  return Object.assign({ paper_bgcolor: color('panel'), plot_bgcolor: color('panel'),
    font: { color: color('text'), size: 12 }, showlegend: false }, more);
}
