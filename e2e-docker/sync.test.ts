import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { describeClient } from './support/client-suite.js';
import { freshImage, pushMultiArch, startCache } from './support/mirror-bed.js';
import { RegistryHttp } from './support/registry-http.js';
import { openWorkspace } from './support/test-bed.js';
import type { Workspace } from './support/test-bed.js';
import { startDistribution, upstreamAccount as account } from './support/upstreams.js';

interface Job {
  readonly id: string;
  readonly state: string;
  readonly report?: object;
}

let workspace: Workspace;

beforeEach(async () => {
  workspace = await openWorkspace();
});
afterEach(() => workspace?.close());

describeClient("Debian's docker-registry as the upstream of a sync", ['docker-registry'], () => {
  test('is copied by pattern with a login, is not copied again, and nothing is deleted when it fails', async () => {
    const folder = join(workspace.folder, 'upstream');
    const upstream = await startDistribution(folder, { basic: true });
    workspace.onClose(() => upstream.stop());
    const password = `Basic ${Buffer.from(`${account.username}:${account.password}`).toString('base64')}`;
    const origin = new RegistryHttp(upstream.origin, undefined, { authorization: password });
    const images = [await freshImage('amd64', 300_000), await freshImage('amd64', 300_000)] as const;
    await origin.pushImage('team/app', '1.0.0', images[0]);
    await origin.pushImage('team/app', '1.1.0', images[1]);
    await origin.pushImage('other', '1.0.0', images[0]);
    await pushMultiArch(origin, 'team/multi', '2.0.0');
    const { username, password: secret } = account;
    const hub = { name: 'hub', type: 'remote', url: upstream.origin, credentials: { username, password: secret } };
    const sync = { name: 's', from: 'hub', to: 'mirror', images: ['team/**'], semver: '>=1', everySeconds: 0 };
    const config = { repositories: [hub, { name: 'mirror', type: 'local' }], sync: [{ ...sync, delete: true }] };
    const server = await startCache(workspace, { config });
    const mirror = new RegistryHttp(server.origin);
    expect(await runSync(mirror)).toMatchObject({
      state: 'succeeded',
      report: { images: 2, tags: 3, copied_tags: 3, failed: 0 },
    });
    await mirror.pullImage('mirror/team/app', '1.1.0', images[1]);
    expect(await mirror.tagDigest('mirror/team/multi', '2.0.0')).toBe(await origin.tagDigest('team/multi', '2.0.0'));
    expect(await mirror.tagDigest('mirror/other', '1.0.0')).toBeUndefined();
    expect(await runSync(mirror)).toMatchObject({
      state: 'succeeded',
      report: { copied_tags: 0, unchanged_tags: 3, copied_bytes: 0, deleted_tags: 0 },
    });
    // distribution moves the tag: 1.0.0 now names the other image.
    await origin.pushImage('team/app', '1.0.0', images[1]);
    expect(await runSync(mirror)).toMatchObject({ report: { copied_tags: 1, copied_bytes: 0 } });
    await mirror.pullImage('mirror/team/app', '1.0.0', images[1]);
    await upstream.stop();
    expect(await runSync(mirror)).toMatchObject({ state: 'partly', report: { deleted_tags: 0 } });
    await mirror.pullImage('mirror/team/app', '1.0.0', images[1]);
  });
});

async function runSync(mirror: RegistryHttp): Promise<Job> {
  const body = JSON.stringify({ kind: 'sync', sync: 's' });
  const headers = { 'content-type': 'application/json' };
  let job: Job | undefined;
  await expect
    .poll(async () => {
      const answer = await mirror.send('/api/v1/jobs', { method: 'POST', headers, body });
      // The job before may still be tidied up.
      if (answer.status === 202) job = JSON.parse(answer.body.toString()) as Job;
      return answer.status;
    })
    .toBe(202);
  const path = `/api/v1/jobs/${job?.id}`;
  const read = async (): Promise<Job> => JSON.parse((await mirror.send(path)).body.toString()) as Job;
  await expect.poll(async () => (await read()).state).not.toBe('running');
  return read();
}
