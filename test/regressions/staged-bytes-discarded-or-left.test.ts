import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RepositoryWriter } from '../../src/ports/repository.js';
import { digestOf } from '../../src/protocol/digest.js';
import { discardLeftovers, isTransient } from '../../src/repositories/content/transient-staging.js';
import { createMemoryDisk, MemoryBlobStore } from '../support/storage/memory-blob-store.js';
import { FsBlobStore } from '../../src/storage/files/fs-blob-store.js';
import { Client } from '../support/clients/client.js';
import { someBytes, startUpload } from '../support/content/content.js';
import { startRegistry } from '../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { anyone, Domain, hour, imageOf, pullBlob, pushImage, uploadExpiry } from '../support/storage/domain.js';

/** More than a store keeps in memory before it writes. */
const half = 1024 * 1024;
const layer = someBytes('layer', 2 * half);
const layerDigest = digestOf(layer);

describe('the staged bytes of one request', () => {
  let domain: Domain;
  beforeEach(async () => {
    domain = await Domain.open();
    await domain.addRepository('local');
  });
  afterEach(() => domain.dispose());

  const stagedSizes = () => [...domain.disk.staged.values()].map(({ bytes }) => bytes.length);

  /** A source that has brought half of the layer, and rests. */
  async function takeHalf<T>(take: (source: Readable) => Promise<T>): Promise<[PassThrough, Promise<T>]> {
    const source = new PassThrough();
    source.write(layer.subarray(0, half));
    const taking = take(source);
    await expect.poll(stagedSizes).toEqual([half]);
    return [source, taking];
  }

  const takes: [string, (writer: RepositoryWriter, source: Readable) => Promise<unknown>][] = [
    ['a file of an archive', (writer, source) => writer.receiveBlob(anyone, source, 'sha256')],
    ['a whole blob', (writer, source) => writer.putBlob(anyone, 'team/app', layerDigest, source)],
  ];

  it.each(takes)('are not discarded by the collector during the request: %s', async (_title, take) => {
    const [source, taking] = await takeHalf((from) => take(domain.writer('local'), from));
    domain.runtime.advance(uploadExpiry + hour);
    await domain.collector.collect();
    expect(stagedSizes()).toEqual([half]);
    source.end(layer.subarray(half));
    await taking;
    expect([...stagedSizes(), (await domain.blobs.stat(layerDigest))?.size]).toContain(layer.length);
  });

  it('are not discarded between the files of an archive and their publication', async () => {
    const received = await domain.writer('local').receiveBlob(anyone, Readable.from([layer]), 'sha256');
    domain.runtime.advance(uploadExpiry + hour);
    await domain.collector.collect();
    await received.publish(['team/app']);
    const pulled = await pullBlob(domain.repository('local'), 'team/app', layerDigest);
    expect(pulled?.equals(layer)).toBe(true);
  });

  it.each(takes)('are discarded by the next start after the process was killed: %s', async (_title, take) => {
    const [source, taking] = await takeHalf((from) => take(domain.writer('local'), from));
    const disk = createMemoryDisk();
    for (const [id, file] of domain.disk.staged) disk.staged.set(id, file);
    await discardLeftovers({ blobs: new MemoryBlobStore(disk), runtime: domain.runtime });
    expect([...disk.staged.keys()]).toEqual([]);
    source.end(layer.subarray(half));
    await taking;
  });

  it('have an id that marks them, also for a manifest', async () => {
    const ids: string[] = [];
    const actor = domain.actor(async (method, [id]) => {
      if (method === 'stage') ids.push(id as string);
    });
    const image = imageOf('image', [layer]);
    await pushImage(actor.writer('local'), 'team/app', image, 'v1');
    expect(ids).toHaveLength(image.blobs.length + 1);
    expect(ids.filter((id) => !isTransient(id))).toEqual([]);
    expect(await domain.repository('local').getManifest(anyone, 'team/app', image.manifest)).toBeDefined();
  });
});

describe('a start of the registry', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await makeScratchFolder();
  });
  afterEach(() => removeScratchFolder(folder));

  it('discards bytes that no client can resume, and keeps the bytes of sessions', async () => {
    const first = await startRegistry({ storage: folder });
    const pusher = new Client(first.url);
    const location = await startUpload(pusher, 'local/team/app');
    await pusher.patch(location, { body: layer.subarray(0, half) });
    await pusher.close();
    await first.close();
    const blobs = await FsBlobStore.open(folder);
    for (const id of ['once-1', 'fill-2']) await (await blobs.stage(id)).append(Readable.from([layer]));
    await blobs.close();
    expect(await readdir(path.join(folder, 'staged'))).toHaveLength(3);

    const second = await startRegistry({ storage: folder });
    const client = new Client(second.url);
    try {
      expect(await readdir(path.join(folder, 'staged'))).toEqual([
        expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f-]{27}$/),
      ]);
      const answer = await client.put(`${location}?digest=${layerDigest}`, { body: layer.subarray(half) });
      expect(answer.status).toBe(201);
    } finally {
      await client.close();
      await second.close();
    }
  });
});
