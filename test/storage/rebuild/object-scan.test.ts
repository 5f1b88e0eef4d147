import type { Writable } from 'node:stream';
import { beforeEach, describe, expect, it } from 'vitest';
import { RegistryError } from '../../../src/protocol/errors.js';
import type { Digest } from '../../../src/protocol/digest.js';
import type { FoundObject } from '../../../src/storage/rebuild/found-objects.js';
import { ObjectScan } from '../../../src/storage/rebuild/object-scan.js';
import { MiB } from '../../support/content/bytes.js';
import { digest, imageManifest } from '../../support/content/content.js';

let recorded: string[];
let read: string[];
let scan: ObjectScan;
beforeEach(() => {
  recorded = [];
  read = [];
  scan = new ObjectScan();
});

/** Returns an object that a store has. @param failure what reading it throws */
function object(
  name: string,
  bytes: Buffer,
  more: { expected?: string; recorded?: string; failure?: Error } = {},
): FoundObject {
  const writeTo = async (sink: Writable): Promise<void> => {
    read.push(name);
    if (more.failure !== undefined) throw more.failure;
    await new Promise<void>((resolve, reject) => sink.write(bytes, (error) => (error ? reject(error) : resolve())));
  };
  return {
    name,
    modifiedAt: 1000,
    recorded: more.recorded as Digest | undefined,
    open: async () => ({
      content: { size: bytes.length, writeTo },
      expected: more.expected as Digest | undefined,
      record: async (found) => void recorded.push(found),
    }),
  };
}

async function run(objects: readonly FoundObject[], signal?: AbortSignal): Promise<void> {
  async function* listed(): AsyncGenerator<FoundObject> {
    yield* objects;
  }
  await scan.run(listed(), { signal });
}

describe('a scan of stored bytes', () => {
  it.each<[what: string, bytes: Buffer, isManifest: boolean]>([
    ['a manifest', imageManifest('a').bytes, true],
    ['a manifest after spaces', Buffer.from(`\n  ${imageManifest('a').bytes.toString()}`), true],
    ['the config of an image', Buffer.from(JSON.stringify({ os: 'linux', config: { Env: ['A=b'] } })), false],
    ['JSON that is cut off', imageManifest('a').bytes.subarray(0, -1), false],
    ['a layer', Buffer.from([0x1f, 0x8b, 8, 0]), false],
    ['nothing', Buffer.alloc(0), false],
    ['a manifest over 4 MiB', Buffer.concat([imageManifest('a').bytes, Buffer.alloc(4 * MiB, ' ')]), false],
  ])('recognizes %s', async (_what, bytes, isManifest) => {
    await run([object('o/1', bytes)]);
    expect(scan.found).toEqual(new Map([[digest(bytes), bytes.length]]));
    expect(recorded).toEqual([digest(bytes)]);
    expect([...scan.manifests.keys()]).toEqual(isManifest ? [digest(bytes)] : []);
    expect([scan.objects, scan.bytes]).toEqual([1, bytes.length]);
  });

  it('hashes with the algorithm of the digest that the bytes should have', async () => {
    const bytes = Buffer.from('content');
    await run([object('o/1', bytes, { expected: digest(bytes, 'sha512') })]);
    expect(recorded).toEqual([digest(bytes, 'sha512')]);
  });

  it('does not record bytes with another digest than expected, or that the disk cannot read', async () => {
    const eio = Object.assign(new Error('i/o error'), { code: 'EIO' });
    const expected = digest('what it was');
    await run([
      object('changed', Buffer.from('now'), { expected }),
      object('broken', Buffer.from('x'), { failure: eio }),
    ]);
    expect(scan.damaged.toSorted((a, b) => a.name.localeCompare(b.name))).toEqual([
      { name: 'broken', problem: 'unreadable', expected: undefined },
      { name: 'changed', problem: 'digest', expected },
    ]);
    expect([recorded, scan.found.size, scan.objects]).toEqual([[], 0, 2]);
  });

  it('skips bytes that are gone when they are read', async () => {
    await run([
      object('o/1', Buffer.from('1'), { failure: new RegistryError('BLOB_UNKNOWN') }),
      object('o/2', Buffer.from('2'), { failure: Object.assign(new Error('gone'), { code: 'ENOENT' }) }),
      { name: 'o/3', modifiedAt: 0, open: async () => undefined },
    ]);
    expect([scan.objects, scan.found.size, scan.damaged]).toEqual([0, 0, []]);
  });

  it('reads again what an earlier run recorded only if it may be a manifest', async () => {
    const [small, large] = [imageManifest('a').bytes, Buffer.alloc(4 * MiB + 1)];
    await run([
      object('small', small, { recorded: digest(small) }),
      object('large', large, { recorded: digest(large) }),
    ]);
    expect(read).toEqual(['small']);
    expect(scan.found.size).toBe(2);
    expect(scan.manifests.size).toBe(1);
  });

  it('ends with an error that does not concern one object, such as a refused request', async () => {
    const objects = Array.from({ length: 50 }, (_, i) =>
      object(`o/${i}`, Buffer.from(String(i)), i === 3 ? { failure: new Error('access denied') } : {}),
    );
    await expect(run(objects)).rejects.toThrow('access denied');
    expect(read.length).toBeLessThan(50);
  });

  it('stops when its signal aborts', async () => {
    const stopped = AbortSignal.abort(new Error('stopped'));
    await expect(run([object('o/1', Buffer.from('1'))], stopped)).rejects.toThrow('stopped');
    expect(recorded).toEqual([]);
  });
});
