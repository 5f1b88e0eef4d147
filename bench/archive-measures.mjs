/** Measures the import of archives, compared with pushes of the same bytes to the same program. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { recyclePages, warmMemory } from './workspace.mjs';

/** @typedef {import('./measures.mjs').Measure} Measure */

const execute = promisify(execFile);
const client = join(import.meta.dirname, 'archive-client.mjs');
/** With large blobs of 1 GiB, 5 GiB are sent. */
const layerCount = 5;

/** @type {Measure[]} */
export const archiveMeasures = [
  importMeasure('archives-tar', 'import of 5 large layers as the body', 'tar'),
  importMeasure('archives-form', 'import of 5 large layers as the file of a form', 'form'),
];

/**
 * @param {string} name
 * @param {string} title
 * @param {'tar' | 'form'} way
 * @returns {Measure}
 */
function importMeasure(name, title, way) {
  return {
    name,
    title,
    mode: 'archives',
    unit: 'MB/s',
    cpuUnit: 's/GiB',
    needs: [],
    writes: true,
    sources: layerCount,
    run: async ({ id, server, prefix, sources, warmSource, workspace }) => {
      const repository = prefix.slice(0, -1);
      const run = async (/** @type {import('./sources.mjs').Source[]} */ files) => {
        const layers = files.flatMap(({ digest, size, path }) => [digest, String(size), path]);
        const args = [client, String(server.port), id === 'post-put' ? 'post-put' : way, repository, ...layers];
        const { stdout } = await execute(process.execPath, args, { maxBuffer: 1024 * 1024 });
        return /** @type {{ seconds: number }} */ (JSON.parse(stdout));
      };
      await run([warmSource]);
      const bytes = sources.reduce((sum, { size }) => sum + size, 0);
      await recyclePages(sources.map(({ path }) => path));
      await warmMemory(workspace, bytes);
      const cpuBefore = await server.cpuSeconds();
      const { seconds } = await run(sources);
      const cpu = ((await server.cpuSeconds()) - cpuBefore) / (bytes / 1024 ** 3);
      return { value: bytes / seconds / 1e6, cpu, memoryMb: await server.peakMb() };
    },
  };
}
