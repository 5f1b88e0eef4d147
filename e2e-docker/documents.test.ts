import { afterAll, beforeAll, test } from 'vitest';
import { placeOf, snippetsWith } from '../test/docs/snippets.js';
import { busyboxImage } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { run } from './support/commands.js';
import { startDockerEngine } from './support/docker-engine.js';
import type { DockerEngine } from './support/docker-engine.js';
import { RegistryHttp } from './support/registry-http.js';
import { startRegistry } from './support/registry-server.js';
import type { RegistryServer } from './support/registry-server.js';
import { openWorkspace } from './support/test-bed.js';
import type { Workspace } from './support/test-bed.js';

const engineNeeds = ['docker', 'dockerd', 'containerd', 'containerd-shim-runc-v2', 'runc', 'ip'];

describeClient('docker commands of the documentation', ['root', ...engineNeeds, 'bash', 'busybox'], () => {
  let bed: Workspace;
  let registry: RegistryServer;
  let engine: DockerEngine;

  // One open registry stands in for those that the pages start. `docker pull alpine` gets its image through the mirror.
  beforeAll(async () => {
    bed = await openWorkspace();
    const locals = ['local', 'docker-internal', 'hub'].map((name) => ({ name, type: 'local' }));
    const docker = { name: 'docker', type: 'virtual', members: ['local', 'hub'], pushTo: 'local' };
    const config = { access: 'open', repositories: [...locals, docker], defaultRepository: 'hub' };
    registry = await startRegistry(bed.folder, { config });
    bed.onClose(() => registry.stop());
    const alpine = await busyboxImage({ marker: 'alpine' });
    await new RegistryHttp(registry.origin).pushImage('hub/library/alpine', 'latest', alpine);
    engine = await startDockerEngine(bed, JSON.stringify({ 'registry-mirrors': [registry.origin] }));
    bed.onClose(() => engine.stop());
  });
  afterAll(() => bed?.close());

  test.each(snippetsWith('docker').map((snippet) => [placeOf(snippet), snippet.text] as const))(
    'at %s run without an error',
    async (_place, text) => {
      const script = text.replaceAll('127.0.0.1:5000', registry.host);
      await run('bash', ['-euo', 'pipefail', '-c', script], { env: engine.env, cwd: bed.folder });
    },
  );
});
