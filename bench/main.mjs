import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { bytesNeeded, takeMeasures } from './bench.mjs';
import { judge } from './gates.mjs';
import { describeMachine } from './machine.mjs';
import { chooseMeasures } from './measures.mjs';
import { readOptions, usage } from './options.mjs';
import { ours } from './peers.mjs';
import { formatResults, formatVerdicts } from './report.mjs';
import { buildDrain, findPeers } from './tools.mjs';
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
 * @returns {Promise<number>} The status to end with.
 */
async function main(args) {
  const options = readOptions(args);
  const measures = chooseMeasures(options.only);
  if (options.help || options.list) {
    process.stdout.write(options.help ? usage : measures.map(({ name, title }) => `${name}: ${title}\n`).join(''));
    return 0;
  }
  if (measures.length === 0) throw new Error(`no measure has ${options.only.join(' or ')} in its name: see --list`);
  const machine = describeMachine();
  const tools = join(artifacts, 'tools');
  const drain = await buildDrain(tools);
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const servers = [ours(resolve(options.server), version), ...(await findPeers(tools, options.without))];
  const workspace = await makeWorkspace(options.folder, bytesNeeded(servers.length, measures, options));
  const begin = performance.now();
  const say = (/** @type {string} */ line) => {
    process.stderr.write(`[${((performance.now() - begin) / 1000).toFixed(0).padStart(4)} s] ${line}\n`);
  };
  const results = await takeMeasures({ options, drain, workspace, servers, measures, say });
  const verdicts = judge(results);
  const table = `${formatResults(results, servers)}\n\n${formatVerdicts(verdicts)}\n`;
  await save({ machine, options, servers: servers.map(({ id, title }) => ({ id, title })), results, verdicts }, table);
  process.stdout.write(`\n${table}${options.quick ? 'A quick run: these figures say little.\n' : ''}`);
  return options.gates && verdicts.some(({ verdict }) => verdict !== 'pass') ? 1 : 0;
}

/**
 * @param {{ machine: { date: string } }} record
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
