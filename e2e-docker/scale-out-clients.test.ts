import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startFaultProxy } from '../test/s3/support/fault-proxy.js';
import { basicAuthorization, htpasswd, loginFlags, userAndPassword } from './support/access-bed.js';
import { busyboxImage, tarOfFiles, writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { startContainerd, type Containerd } from './support/containerd.js';
import { dockerNeeds } from './support/docker-access.js';
import { startDockerEngine, type DockerEngine } from './support/docker-engine.js';
import { containersTool } from './support/podman.js';
import { RegistryHttp } from './support/registry-http.js';
import { startScaledOut, type ScaledOut } from './support/scale-out.js';
import { openWorkspace, type Workspace } from './support/test-bed.js';

const needs = [...dockerNeeds, 'ctr', 'podman', 'skopeo', 'crane', 'nginx', 'versitygw'];
/** Not compressible, and larger than two parts of an upload to the bucket. */
const large = randomBytes(14 << 20).toString('base64');
const plainHttp = '--tls-verify=false';

// With a login, because a client that sent its login along to the bucket would be refused there.
describeClient('clients that log in to three nodes', needs, () => {
  let bed: Workspace;
  let scaled: ScaledOut;
  /** GET requests with a signed URL: the ones that clients send to the bucket themselves. */
  let redirects = 0;

  beforeAll(async () => {
    bed = await openWorkspace();
    const file = join(bed.folder, 'htpasswd');
    await writeFile(file, htpasswd.join('\n'));
    scaled = await startScaledOut(bed, {
      settings: {
        repositories: ['local', 'redirected'].map((name) => ({ name, type: 'local' })),
        access: { htpasswd: file, rules: [{ users: ['ana'], names: '**', allow: ['pull', 'push'] }] },
      },
      s3: async (server) => {
        const proxy = await startFaultProxy(server);
        bed.onClose(() => proxy.stop());
        proxy.find = ({ url }) => {
          if (url.searchParams.has('X-Amz-Signature')) redirects++;
          return undefined;
        };
        const { href, port } = proxy.endpoint;
        // Another host than that of the registry, to which clients send their login.
        const publicEndpoint = `http://localhost:${port}`;
        return {
          endpoint: href,
          publicEndpoint,
          redirect: true,
          redirectRepositories: ['redirected'],
          trashSeconds: 900,
        };
      },
    });
    await writeLayout(join(bed.folder, 'layout'), '1', await busyboxImage({ marker: 'on three nodes', large }));
    await crane('auth', 'login', ...loginFlags('ana'), scaled.host);
  }, 120_000);
  afterAll(() => bed?.close());

  const crane = (...args: string[]) => bed.run('crane', '--insecure', ...args);

  /** Pushes and pulls with one program. */
  interface Client {
    push(ref: string): Promise<unknown>;
    pull(ref: string): Promise<unknown>;
    stop?(): Promise<unknown>;
  }

  async function startDocker(): Promise<Client> {
    const engine: DockerEngine = await startDockerEngine(bed);
    const docker = (...args: string[]) => engine.docker(args);
    await writeFile(join(bed.folder, 'large.tar'), await tarOfFiles({ large }));
    await docker('import', join(bed.folder, 'large.tar'), 'local-only/large:1');
    await docker('login', ...loginFlags('ana'), scaled.host);
    return {
      push: async (ref) => {
        await docker('tag', 'local-only/large:1', ref);
        await docker('push', ref);
        await docker('rmi', '--force', ref, 'local-only/large:1');
      },
      pull: async (ref) => {
        await docker('pull', ref);
        await docker('rmi', '--force', ref);
      },
      stop: () => engine.stop(),
    };
  }

  async function startCtr(): Promise<Client> {
    const containerd: Containerd = await startContainerd(bed);
    const ctr = (...args: string[]) => containerd.ctr(...args);
    const flags = ['--plain-http', '--user', userAndPassword('ana')];
    await bed.run('tar', '-C', join(bed.folder, 'layout'), '-cf', join(bed.folder, 'layout.tar'), '.');
    return {
      push: async (ref) => {
        const base = ref.slice(0, ref.lastIndexOf(':'));
        await ctr('images', 'import', '--snapshotter=native', '--base-name', base, join(bed.folder, 'layout.tar'));
        await ctr('images', 'push', ...flags, ref);
        await ctr('images', 'remove', '--sync', ref);
      },
      pull: async (ref) => {
        await ctr('images', 'pull', '--snapshotter=native', ...flags, ref);
        await ctr('images', 'remove', '--sync', ref);
      },
      stop: () => containerd.stop(),
    };
  }

  async function startPodman(): Promise<Client> {
    const podman = await containersTool(bed, 'podman');
    const flags = [plainHttp, '--creds', userAndPassword('ana')];
    return {
      push: async (ref) => {
        const { stdout } = await podman('pull', '--quiet', 'oci:layout:1');
        await podman('push', ...flags, stdout.trim(), ref);
        await podman('rmi', '--force', stdout.trim());
      },
      pull: async (ref) => {
        await podman('pull', ...flags, ref);
        await podman('rmi', '--force', ref);
      },
    };
  }

  function startSkopeo(): Client {
    const skopeo = (...args: string[]) => bed.run('skopeo', '--insecure-policy', 'copy', ...args);
    const creds = userAndPassword('ana');
    return {
      push: (ref) => skopeo('--dest-tls-verify=false', '--dest-creds', creds, 'oci:layout:1', `docker://${ref}`),
      pull: async (ref) => {
        await skopeo('--src-tls-verify=false', '--src-creds', creds, `docker://${ref}`, 'dir:skopeo');
        await rm(join(bed.folder, 'skopeo'), { recursive: true });
      },
    };
  }

  function startCrane(): Client {
    return {
      push: (ref) => crane('push', 'layout', ref),
      pull: (ref) => crane('pull', ref, 'crane.tar'),
    };
  }

  test.each([
    ['docker', startDocker],
    ['ctr', startCtr],
    ['podman', startPodman],
    ['skopeo', startSkopeo],
    ['crane', startCrane],
  ])('%s pushes large layers, and pulls them from the nodes and by redirects from the bucket', async (name, start) => {
    const client: Client = await start();
    const ref = (repository: string): string => `${scaled.host}/${repository}/${name}:1`;
    try {
      const before = redirects;
      await client.push(ref('local'));
      await client.pull(ref('local'));
      expect(redirects).toBe(before);
      // Mounts the blobs.
      await crane('copy', ref('local'), ref('redirected'));
      await client.pull(ref('redirected'));
      expect(redirects).toBeGreaterThan(before);
    } finally {
      await client.stop?.();
    }
    const digests = new Set<string>();
    for (const { origin } of scaled.nodes) {
      const node = new RegistryHttp(origin, undefined, { authorization: basicAuthorization('ana') });
      digests.add(await node.pullTag(`local/${name}`, '1'));
    }
    expect(digests.size).toBe(1);
  });
});
