import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage, busyboxTar, writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { startDockerEngine } from './support/docker-engine.js';
import type { DockerEngine } from './support/docker-engine.js';
import { containersTool } from './support/podman.js';
import { startRegistry } from './support/registry-server.js';
import type { RegistryServer } from './support/registry-server.js';
import { openWorkspace } from './support/test-bed.js';
import type { Workspace } from './support/test-bed.js';

const needs = [
  'root',
  'docker',
  'dockerd',
  'containerd',
  'runc',
  'ip',
  'busybox',
  'podman',
  'conmon',
  'skopeo',
  'crane',
];

describeClient('a person at docker, podman, skopeo or crane whose push is refused', needs, () => {
  let bed: Workspace;
  let registry: RegistryServer;
  let engine: DockerEngine;
  let first: string;
  /** Pushes `local-only/busybox`, another image than the one that `v1` names, with each client. */
  let pushes: Readonly<Record<string, (target: string) => Promise<unknown>>>;

  beforeAll(async () => {
    bed = await openWorkspace();
    const config = {
      repositories: [
        { name: 'fixed', type: 'local', immutableTags: ['v*'] },
        { name: 'small', type: 'local', maxBytes: 1000 },
      ],
    };
    registry = await startRegistry(bed.folder, { config: { access: 'open', ...config } });
    engine = await startDockerEngine(bed);
    const tar = join(bed.folder, 'busybox.tar');
    await writeFile(tar, await busyboxTar());
    await engine.docker(['import', tar, 'local-only/busybox:1']);
    for (const name of ['first', 'second']) {
      await writeLayout(join(bed.folder, name), '1', await busyboxImage({ marker: `the ${name} image` }));
    }
    const podman = await containersTool(bed, 'podman');
    const { stdout } = await podman('pull', '--quiet', 'oci:second:1');
    const crane = (...args: string[]) => bed.run('crane', '--insecure', ...args);
    pushes = {
      docker: async (target) => {
        await engine.docker(['tag', 'local-only/busybox:1', target]);
        return engine.docker(['push', target]);
      },
      podman: (target) => podman('push', '--tls-verify=false', stdout.trim(), target),
      skopeo: (target) =>
        bed.run('skopeo', '--insecure-policy', 'copy', '--dest-tls-verify=false', 'oci:second:1', `docker://${target}`),
      crane: (target) => crane('push', join(bed.folder, 'second'), target),
    };
    await crane('push', join(bed.folder, 'first'), `${registry.host}/fixed/app:v1`);
    first = (await crane('digest', `${registry.host}/fixed/app:v1`)).stdout.trim();
  });
  afterAll(async () => {
    await engine?.stop();
    await registry?.stop();
    await bed?.close();
  });

  test.each(['docker', 'podman', 'skopeo', 'crane'])('%s shows why a tag cannot move', async (client) => {
    const said = await messageOf(pushes[client]?.(`${registry.host}/fixed/app:v1`));
    expect(said).toContain(
      `tag "v1" of "fixed/app" is immutable (pattern "v*") and names ${first}: push under another tag`,
    );
    expect(said).toMatch(/denied/i);
    await pushes[client]?.(`${registry.host}/fixed/app:latest`);
  });

  test.each(['docker', 'podman', 'skopeo', 'crane'])('%s shows that a quota is exceeded', async (client) => {
    const said = await messageOf(pushes[client]?.(`${registry.host}/small/app:v1`));
    expect(said).toMatch(
      /the quota of "small" is exceeded: \d+ bytes of 1000 bytes are used, and this push needs .+ more/,
    );
    expect(said).toContain('delete images that are no longer needed, or ask an administrator for a larger quota');
  });

  test('crane shows why a tag cannot be deleted', async () => {
    const said = await messageOf(bed.run('crane', '--insecure', 'delete', `${registry.host}/fixed/app:v1`));
    expect(said).toContain(
      `tag "v1" of "fixed/app" is immutable (pattern "v*") and names ${first}: it cannot be deleted`,
    );
  });
});

/** Returns the output of a client that failed, with quotes as the registry wrote them. */
async function messageOf(push: Promise<unknown> | undefined): Promise<string> {
  const outcome = await push?.then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  if (outcome === undefined) throw new Error('the push was not refused');
  return outcome.replaceAll('\\"', '"');
}
