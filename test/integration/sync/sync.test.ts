import { afterEach, describe, expect, it } from 'vitest';
import {
  describeBytes,
  describeManifest,
  digest,
  indexManifest,
  manifestOf,
  someBytes,
  types,
} from '../../support/content/content.js';
import { startSync, type SyncScene } from '../../support/upstreams/sync-scene.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

/** Returns whether the target answers a manifest and all blobs that it names with the right bytes. */
async function isComplete({ client }: SyncScene, image: string, reference: string): Promise<boolean> {
  const manifest = await client.get(`/v2/mirror/${image}/manifests/${reference}`);
  if (manifest.status !== 200) return false;
  const { config, layers = [] } = manifest.json() as { config?: { digest: string }; layers?: { digest: string }[] };
  for (const { digest: key } of [...(config === undefined ? [] : [config]), ...layers]) {
    const blob = await client.get(`/v2/mirror/${image}/blobs/${key}`);
    if (blob.status !== 200 || digest(blob.body) !== key) return false;
  }
  return true;
}

describe('a sync', () => {
  it('copies the chosen images and tags, and copies nothing again', async () => {
    const scene = await startSync(cleanups);
    const { fault, define, run, tagsOf } = scene;
    fault.images.addImage('team/app', 'v1', [1000, 2000]);
    fault.images.addImage('team/app', 'v2', [1000, 2000]);
    fault.images.addImage('team/app', 'dev');
    fault.images.addImage('team/tool', 'v1');
    fault.images.addImage('other', 'v1');
    await define({ images: ['team/**'], tags: ['v*'] });
    const first = await run();
    expect(first).toMatchObject({
      state: 'succeeded',
      report: { sync: 's', images: 2, tags: 3, copied_tags: 3, copied_manifests: 3, copied_blobs: 8, failed: 0 },
    });
    expect([await tagsOf('team/app'), await tagsOf('team/tool'), await tagsOf('other')]).toEqual([
      ['v1', 'v2'],
      ['v1'],
      undefined,
    ]);
    expect(await isComplete(scene, 'team/app', 'v2')).toBe(true);
    const [gets, blobs] = [fault.count('/manifests/', 'GET'), fault.count('/blobs/')];
    const again = await run();
    expect(again).toMatchObject({ state: 'succeeded', report: { unchanged_tags: 3, copied_tags: 0, copied_bytes: 0 } });
    expect([fault.count('/manifests/', 'GET'), fault.count('/blobs/')]).toEqual([gets, blobs]);
    const { pulls } = (await scene.get('repositories/mirror/images/team/app/tags')).json() as { pulls?: number };
    expect(pulls).toBeUndefined();
  });

  it('follows a tag that moved, and chooses versions by range', async () => {
    const { fault, define, run, tagsOf, client } = await startSync(cleanups);
    for (const tag of ['1.1.0', 'v1.2.3', '1.3.0-rc.1', '1.4', 'latest', '2.0.0']) fault.images.addImage('app', tag);
    await define({ images: ['app'], semver: '>=1.2 <2' });
    expect((await run()).report).toMatchObject({ tags: 1, copied_tags: 1 });
    expect(await tagsOf('app')).toEqual(['v1.2.3']);
    const { manifest } = fault.images.addImage('app', 'v1.2.3', [500], 'new content');
    expect((await run()).report).toMatchObject({ copied_tags: 1, copied_blobs: 2 });
    expect((await client.get('/v2/mirror/app/manifests/v1.2.3')).body.equals(manifest.bytes)).toBe(true);
  });

  it('copies an index with the wanted platforms only, under its own digest', async () => {
    const scene = await startSync(cleanups);
    const { fault, define, run, client } = scene;
    const children = ['amd64', 'arm64', 's390x'].map((architecture) => {
      const { manifest } = fault.images.addImage('app', architecture, [700]);
      return { ...manifest, platform: { os: 'linux', architecture } };
    });
    const [amd64, arm64, s390x] = children;
    const attestation = fault.images.addImage('app', 'attestation').manifest;
    const entries = [
      ...children.map(({ platform, type, bytes }) => ({ ...describeBytes(type, bytes), platform })),
      {
        ...describeBytes(attestation.type, attestation.bytes),
        platform: { os: 'unknown', architecture: 'unknown' },
        annotations: { 'vnd.docker.reference.digest': arm64?.digest ?? '' },
      },
    ];
    const index = manifestOf(types.ociIndex, { manifests: entries });
    fault.images.addManifest('app', index, 'v1');
    const status = async (key = ''): Promise<number> => (await client.get(`/v2/mirror/app/manifests/${key}`)).status;
    await define({ images: ['app'], tags: ['v1'], platforms: ['linux/arm64/v8'] });
    expect((await run()).state).toBe('succeeded');
    expect((await client.get('/v2/mirror/app/manifests/v1')).body.equals(index.bytes)).toBe(true);
    expect([await status(arm64?.digest), await status(attestation.digest)]).toEqual([200, 200]);
    expect([await status(amd64?.digest), await status(s390x?.digest)]).toEqual([404, 404]);
    expect(await isComplete(scene, 'app', arm64?.digest ?? '')).toBe(true);
    // A platform that is added later is copied although the tag did not move.
    await define({ images: ['app'], tags: ['v1'], platforms: ['linux/arm64', 'linux/amd64'] });
    expect((await run()).report).toMatchObject({ unchanged_tags: 1, copied_manifests: 1, copied_blobs: 2 });
    expect([await status(amd64?.digest), await status(s390x?.digest)]).toEqual([200, 404]);
  });

  it('reports an index that has none of the wanted platforms, instead of a tag that nobody can pull', async () => {
    const { fault, define, run, tagsOf } = await startSync(cleanups);
    const { type, bytes } = fault.images.addImage('app', 'amd64', [700]).manifest;
    const child = { ...describeBytes(type, bytes), platform: { os: 'linux', architecture: 'amd64' } };
    fault.images.addManifest('app', manifestOf(types.ociIndex, { manifests: [child] }), 'v1');
    fault.images.addManifest('app', manifestOf(types.ociIndex, { manifests: [] }), 'v0');
    await define({ images: ['app'], tags: ['v*'], platforms: ['linux/amd46', 'linux/arm64'] });
    const error = 'the index has none of the platforms linux/amd46, linux/arm64: it has linux/amd64';
    expect((await run()).report).toMatchObject({ copied_tags: 1, problems: [{ image: 'app', tag: 'v1', error }] });
    expect(await tagsOf('app')).toEqual(['v0']);
  });

  it('copies referrers and the tags of cosign when asked', async () => {
    const { fault, define, run, client, tagsOf } = await startSync(cleanups);
    const { manifest } = fault.images.addImage('app', 'v1');
    const subject = describeBytes(manifest.type, manifest.bytes);
    const config = describeBytes('application/vnd.oci.empty.v1+json', Buffer.from('{}'));
    fault.images.addBlob('app', Buffer.from('{}'));
    const layer = someBytes('sbom', 300);
    fault.images.addBlob('app', layer);
    const sbom = manifestOf(types.ociImage, {
      artifactType: 'application/spdx+json',
      config,
      layers: [describeBytes('application/spdx+json', layer)],
      subject,
    });
    fault.images.addManifest('app', sbom);
    const signature = manifestOf(types.ociImage, {
      artifactType: 'application/signature',
      config,
      layers: [],
      subject: describeBytes(sbom.type, sbom.bytes),
    });
    fault.images.addManifest('app', signature);
    const cosign = `${manifest.digest.replace(':', '-')}.sig`;
    fault.images.addImage('app', cosign);
    await define({ images: ['app'], tags: ['v*'] });
    await run();
    expect(await tagsOf('app')).toEqual(['v1']);
    await define({ images: ['app'], tags: ['v*'], referrers: true });
    expect((await run()).state).toBe('succeeded');
    const referrersOf = async (key: string): Promise<string[]> => {
      const answer = await client.get(`/v2/mirror/app/referrers/${key}`);
      return (answer.json() as { manifests: { digest: string }[] }).manifests.map((one) => one.digest);
    };
    expect(await referrersOf(manifest.digest)).toEqual([sbom.digest]);
    expect(await referrersOf(sbom.digest)).toEqual([signature.digest]);
    expect(await tagsOf('app')).toEqual([cosign, 'v1'].sort());
  });

  it('mounts blobs that another image has, after the upstream confirmed them under this name', async () => {
    const { fault, define, run } = await startSync(cleanups);
    const layer = someBytes('shared', 4000);
    for (const name of ['a', 'b']) {
      fault.images.addBlob(name, layer);
      const config = Buffer.from(JSON.stringify({ name }));
      fault.images.addBlob(name, config);
      const content = {
        config: describeBytes(types.ociConfig, config),
        layers: [describeBytes(types.ociLayer, layer)],
      };
      fault.images.addManifest(name, manifestOf(types.ociImage, content), 'v1');
    }
    await define({ images: ['a'] });
    await run();
    await define({ images: ['b'] });
    expect((await run()).report).toMatchObject({ copied_blobs: 2, copied_bytes: Buffer.byteLength('{"name":"b"}') });
    expect(fault.count(`/v2/b/blobs/${digest(layer)}`, 'HEAD')).toBe(1);
    expect(fault.count(`/v2/b/blobs/${digest(layer)}`, 'GET')).toBe(0);
    // An upstream that only names the digest of another image's blob gets nothing.
    const thief = manifestOf(types.ociImage, {
      config: describeBytes(types.ociConfig, layer),
      layers: [describeBytes(types.ociLayer, layer)],
    });
    fault.images.addManifest('c', thief, 'v1');
    await define({ images: ['c'] });
    expect(await run()).toMatchObject({ state: 'partly', report: { failed_tags: 1 } });
  });

  it('reports in a dry run which changes it would make', async () => {
    const { fault, define, run, tagsOf, get } = await startSync(cleanups);
    fault.images.addImage('app', 'v1');
    await define({ images: ['app'] });
    const job = await run({ dry_run: true });
    expect(job).toMatchObject({ state: 'succeeded', report: { copied_tags: 1, copied_blobs: 0, copied_manifests: 0 } });
    expect(await tagsOf('app')).toBeUndefined();
    expect((await get('syncs/s')).json()).toMatchObject({ status: {} });
  });

  it('shows its last run with the problems of each image', async () => {
    const { fault, define, run, get } = await startSync(cleanups);
    fault.images.addImage('app', 'v1');
    await define({ images: ['app', 'gone'], every_seconds: 3600 });
    const job = await run();
    const document = (await get('syncs/s')).json() as {
      status: { last_run: { started_at: string }; next_run_at: string };
    };
    expect(document).toMatchObject({
      name: 's',
      origin: 'managed',
      images: ['app', 'gone'],
      every_seconds: 3600,
      status: {
        last_run: {
          job: job.id,
          state: 'partly',
          report: {
            copied_tags: 1,
            problems: [{ image: 'gone', error: expect.stringContaining('does not have this image') as string }],
          },
        },
      },
    });
    const { last_run: lastRun, next_run_at: next } = document.status;
    expect(Date.parse(next) - Date.parse(lastRun.started_at)).toBe(3_600_000);
    expect((await get('syncs')).json()).toEqual({ syncs: [document] });
  });
});

describe('a sync with delete', () => {
  it('deletes tags that the upstream reports as absent, and no others', async () => {
    const { fault, define, run, tagsOf } = await startSync(cleanups);
    for (const tag of ['v1', 'v2', 'dev']) fault.images.addImage('app', tag);
    fault.images.addImage('old', 'v1');
    await define({ images: ['**'] });
    await run();
    fault.images.tags.delete('app:v1');
    fault.images.tags.delete('app:dev');
    fault.images.tags.delete('old:v1');
    for (const key of fault.images.manifests.keys()) if (key.startsWith('old@')) fault.images.manifests.delete(key);
    expect((await run()).report).toMatchObject({ deleted_tags: 0 });
    expect(await tagsOf('app')).toEqual(['dev', 'v1', 'v2']);
    await define({ images: ['**'], tags: ['v*'], delete: true });
    expect((await run({ dry_run: true })).report).toMatchObject({ deleted_tags: 2 });
    expect(await tagsOf('app')).toEqual(['dev', 'v1', 'v2']);
    expect(await run()).toMatchObject({ state: 'succeeded', report: { deleted_tags: 2 } });
    expect(await tagsOf('app')).toEqual(['dev', 'v2']);
    expect(await tagsOf('old')).toEqual([]);
  });

  it.each([
    { failure: 'the upstream answers 500', fault: { status: 500 } },
    { failure: 'the upstream answers 403', fault: { status: 403 } },
    { failure: 'the upstream limits the rate', fault: { status: 429 } },
    { failure: 'the connection breaks', fault: { reset: true } },
  ])('deletes nothing when $failure', async ({ fault: kind }) => {
    const { fault, define, run, tagsOf } = await startSync(cleanups);
    fault.images.addImage('app', 'v1');
    await define({ images: ['**', 'app'], delete: true });
    await run();
    fault.fault('/tags/list', kind);
    expect(await run()).toMatchObject({ state: 'partly', report: { deleted_tags: 0 } });
    fault.fault('_catalog', kind);
    expect(await run()).toMatchObject({ state: 'partly', report: { deleted_tags: 0 } });
    expect(await tagsOf('app')).toEqual(['v1']);
  });

  it('deletes nothing when a later page of the tags is missing', async () => {
    const { fault, define, run, tagsOf } = await startSync(cleanups);
    for (const tag of ['v1', 'v2', 'v3']) fault.images.addImage('app', tag);
    await define({ images: ['app'], delete: true });
    await run();
    fault.images.pageSize = 2;
    fault.fault(/tags\/list.*last=/, { status: 404 });
    expect(await run()).toMatchObject({ state: 'partly', report: { deleted_tags: 0 } });
    expect(await tagsOf('app')).toEqual(['v1', 'v2', 'v3']);
  });
});

it('an index may name children that the upstream lacks, as BuildKit caches and sparse indexes do', async () => {
  const { fault, define, run, client } = await startSync(cleanups);
  const { manifest } = fault.images.addImage('app', 'child');
  const blob = someBytes('cache', 800);
  fault.images.addBlob('app', blob);
  const missing = manifestOf(types.ociImage, { layers: [] });
  const index = indexManifest([
    describeManifest(manifest),
    describeManifest(missing),
    describeBytes(types.ociLayer, blob),
  ]);
  fault.images.addManifest('app', index, 'v1');
  await define({ images: ['app'], tags: ['v1'] });
  expect((await run()).state).toBe('succeeded');
  expect((await client.get(`/v2/mirror/app/blobs/${digest(blob)}`)).body.equals(blob)).toBe(true);
  expect((await client.get('/v2/mirror/app/manifests/v1')).status).toBe(200);
});
