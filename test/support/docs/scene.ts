import { execFile } from 'node:child_process';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { startFaultUpstream, type FaultUpstream } from '../upstreams/fault-upstream.js';
import { startRegistry } from '../servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../storage/scratch.js';
import { root } from './snippets.js';

const run = promisify(execFile);

/** Packages that a module in a scratch folder may import. */
const packages = ['express', 'fastify', 'koa', 'hono', '@hono/node-server', 'connect'];

/** Creates a folder in which `import 'artifactapi'` and the frameworks work as after `npm install`. */
export async function makeProject(): Promise<{ readonly folder: string; readonly remove: () => Promise<void> }> {
  const folder = await makeScratchFolder();
  await mkdir(path.join(folder, 'node_modules/@hono'), { recursive: true });
  await symlink(root, path.join(folder, 'node_modules/artifactapi'));
  for (const name of packages) {
    await symlink(path.join(root, 'node_modules', name), path.join(folder, 'node_modules', name));
  }
  return { folder, remove: () => removeScratchFolder(folder) };
}

export interface Scene {
  /** The address that replaces 127.0.0.1:5000 in scripts. */
  readonly host: string;
  readonly hub: FaultUpstream;
  /** Runs a script with bash in an empty folder. Rejects with its whole output when a command fails. */
  runScript(script: string): Promise<string>;
  close(): Promise<void>;
}

/**
 * Starts the open registry that the shell scripts in the documentation use. They address it as 127.0.0.1:5000. It has a local
 * repository `local`, a cache `hub` of an upstream with library/alpine:latest, and a virtual repository `docker` of both.
 */
export async function openScene(): Promise<Scene> {
  const hub = await startFaultUpstream();
  hub.images.addImage('library/alpine', 'latest');
  const registry = await startRegistry({
    repositories: [
      { name: 'local', type: 'local' },
      { name: 'hub', type: 'remote', url: hub.url },
      { name: 'docker', type: 'virtual', members: ['local', 'hub'], pushTo: 'local' },
    ],
    defaultRepository: 'hub',
  });
  const tools = await makeScratchFolder();
  await installCommands(tools);
  const host = `127.0.0.1:${registry.port}`;
  return {
    host,
    hub,
    runScript: async (script) => {
      const folder = await makeScratchFolder();
      const url = `http://${host}`;
      const env = { ...process.env, PATH: `${tools}:${process.env['PATH']}`, ARTIFACTAPI_URL: url };
      try {
        const text = script.replaceAll('127.0.0.1:5000', host);
        const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', text], { cwd: folder, env });
        return stdout;
      } finally {
        await removeScratchFolder(folder);
      }
    },
    close: async () => {
      await registry.close();
      await hub.close();
      await removeScratchFolder(tools);
    },
  };
}

/** Adds the commands `artifactapi` and `npx artifactapi`, as after `npm install`. */
async function installCommands(folder: string): Promise<void> {
  const command = `exec '${process.execPath}' '${path.join(root, 'dist/command/cli.js')}' "$@"\n`;
  const commands = { artifactapi: command, npx: `[ "$1" = artifactapi ] || exit 127\nshift\n${command}` };
  for (const [name, text] of Object.entries(commands)) {
    await writeFile(path.join(folder, name), `#!/bin/sh\n${text}`);
    await chmod(path.join(folder, name), 0o755);
  }
}
