import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { bytesNeeded, takeMeasures } from './bench.mjs';
import { judge } from './gates.mjs';
import { makeLineUps } from './line-ups.mjs';
import { describeMachine } from './machine.mjs';
import { chooseMeasures } from './measures.mjs';
import { readOptions, usage } from './options.mjs';
import { formatResults, formatVerdicts, titlesOf } from './report.mjs';
import { buildDrain } from './tools.mjs';
import { makeWorkspace } from './workspace.mjs';

const root = join(import.meta.dirname, '..');
const artifacts = join(root, 'artifacts', 'bench');

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

/**
 * @param {string[]} args
 * @returns {Promise<number>} The exit status.
 */
async function main(args) {
  const options = readOptions(args);
  const measures = chooseMeasures(options.only);
  if (options.help || options.list) {
    process.stdout.write(options.help ? usage : measures.map(({ name, title }) => `${name}: ${title}\n`).join(''));
    return 0;
  }
  if (measures.length === 0) throw new Error(`no measure matches "${options.only.join(',')}": see --list`);
  const machine = describeMachine();
  const tools = join(artifacts, 'tools');
  const drain = await buildDrain(tools);
  const lineUps = await makeLineUps(root, tools, resolve(options.server), options);
  const workspace = await makeWorkspace(options.folder, bytesNeeded({ measures, lineUps, options }));
  const begin = performance.now();
  const say = (/** @type {string} */ line) => {
    process.stderr.write(`[${((performance.now() - begin) / 1000).toFixed(0).padStart(4)} s] ${line}\n`);
  };
  const results = await takeMeasures({ options, drain, workspace, lineUps, measures, say });
  const verdicts = judge(results);
  const logs = options.accessLog ? 'All registries logged each request.\n' : '';
  const table = `${formatResults(results, lineUps)}\n${logs}\n${formatVerdicts(verdicts)}\n`;
  const seconds = Math.round((performance.now() - begin) / 1000);
  const servers = titlesOf(results, lineUps);
  await save({ machine, options, seconds, servers, results, verdicts }, table);
  say('done');
  process.stdout.write(`\n${table}${options.quick ? 'This was a quick run: the figures are rough.\n' : ''}`);
  return options.gates && verdicts.some(({ verdict }) => verdict !== 'pass') ? 1 : 0;
}

/**
 * @param {{ machine: { date: string }, [key: string]: unknown }} record
 * @param {string} table
 */
async function save(record, table) {
  const stamp = record.machine.date.slice(0, 19).replaceAll(':', '');
  await mkdir(artifacts, { recursive: true });
  for (const name of [`bench-${stamp}`, 'latest']) {
    await writeFile(join(artifacts, `${name}.json`), `${JSON.stringify(record, undefined, 1)}\n`);
    await writeFile(join(artifacts, `${name}.txt`), table);
  }
}
