/**
 * Draws the figures of figures.json, which are those of the README, as a chart: each bar is a share of the best of its group.
 *
 *   node bench/chart.mjs > docs/images/performance.svg
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** @typedef {{ servers: string[], measures: { title: string, unit: string, values: number[] }[] }} Figures */

const width = 760;
const labelWidth = 250;
const barHeight = 13;
const groupGap = 14;
const top = 46;
const barWidth = width - labelWidth - 120;
/** Ours first; each has enough contrast on white. */
const colors = ['#0b6e4f', '#5b7fb5', '#9db4d6', '#c9a36b'];

/** @type {Figures} */
const figures = JSON.parse(await readFile(join(import.meta.dirname, 'figures.json'), 'utf8'));
process.stdout.write(draw(figures));

/** @param {Figures} figures */
function draw({ servers, measures }) {
  const groupHeight = servers.length * barHeight + groupGap;
  const height = top + measures.length * groupHeight;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" role="img">`,
    '<title>artifactapi and other registries: more is better</title>',
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...servers.map(drawKey),
    ...measures.map((measure, i) => drawGroup(measure, top + i * groupHeight)),
    '</svg>',
    '',
  ].join('\n');
}

/** @param {string} server @param {number} i */
function drawKey(server, i) {
  const x = 16 + i * 170;
  return `<rect x="${x}" y="14" width="12" height="12" fill="${colors[i]}"/><text x="${x + 18}" y="24">${server}</text>`;
}

/** @param {Figures['measures'][number]} measure @param {number} y */
function drawGroup({ title, unit, values }, y) {
  const best = Math.max(...values);
  const middle = y + (values.length * barHeight) / 2 + 4;
  const bars = values.map((value, i) => {
    const length = Math.max(1, Math.round((barWidth * value) / best));
    const at = y + i * barHeight;
    return (
      `<rect x="${labelWidth}" y="${at}" width="${length}" height="${barHeight - 2}" fill="${colors[i]}"/>` +
      `<text x="${labelWidth + length + 6}" y="${at + 10}" font-size="11">${value.toLocaleString('en')} ${unit}</text>`
    );
  });
  return `<text x="${labelWidth - 12}" y="${middle}" text-anchor="end">${title}</text>${bars.join('')}`;
}
