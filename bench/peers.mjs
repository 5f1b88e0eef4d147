import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './server-process.mjs';

/**
 * One of the servers that are measured.
 * @typedef {object} Peer
 * @property {string} id
 * @property {string} title With its version.
 * @property {string} prefix What names of repositories begin with.
 * @property {(folder: string) => Promise<import('./server-process.mjs').Command>} command To serve what is in the folder.
 */

/**
 * @param {string} program
 * @param {string} version
 * @returns {Peer}
 */
export function ours(program, version) {
  const settings = ['--host', '127.0.0.1', '--port', '0', '--log-level', 'error'];
  return {
    id: 'ours',
    title: `artifactapi ${version}`,
    prefix: 'local/',
    command: async (folder) => ({
      program: process.execPath,
      args: [program, 'serve', ...settings, '--data', join(folder, 'data')],
    }),
  };
}

/**
 * The CNCF distribution, whose settings are the same from 2 to 3.
 * @param {string} id
 * @param {string} program
 * @param {string} version
 * @returns {Peer}
 */
export function distribution(id, program, version) {
  return {
    id,
    title: `distribution ${version}`,
    prefix: '',
    command: async (folder) => {
      const port = await freePort();
      const config = join(folder, 'config.yml');
      await mkdir(folder, { recursive: true });
      await writeFile(config, distributionConfig(join(folder, 'data'), port));
      return { program, args: ['serve', config], environment: { OTEL_TRACES_EXPORTER: 'none' }, port };
    },
  };
}

/**
 * As fast as it goes: no access log, and descriptors kept in memory.
 * @param {string} folder
 * @param {number} port
 */
function distributionConfig(folder, port) {
  return `version: 0.1
log:
  accesslog:
    disabled: true
  level: error
storage:
  filesystem:
    rootdirectory: ${JSON.stringify(folder)}
  cache:
    blobdescriptor: inmemory
  delete:
    enabled: true
  maintenance:
    uploadpurging:
      enabled: false
http:
  addr: 127.0.0.1:${port}
`;
}
