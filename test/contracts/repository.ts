import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PageRequest } from '../../src/ports/pages.js';
import type { Repository, RepositoryWriter } from '../../src/ports/repository.js';
import { digestOf, type Digest } from '../../src/protocol/digest.js';
import { parseManifest, type ParsedManifest } from '../../src/protocol/manifests/manifest.js';
import { parseTag, type SessionId } from '../../src/protocol/names.js';
import { readBytes } from '../../src/util/streams/streams.js';
import { callerWho } from '../support/access/callers.js';
import {
  describeBytes,
  describeManifest,
  digest,
  imageManifest,
  manifestOf,
  someBytes,
  types,
} from '../support/content/content.js';

/** The initial content of an image. */
export interface Seed {
  readonly blobs?: readonly Buffer[];
  readonly manifests?: readonly { readonly manifest: ParsedManifest; readonly tags?: readonly string[] }[];
}

/** An empty repository under test. */
export interface RepositoryFixture {
  readonly repository: Repository;
  /** Stores content where the repository reads it: in itself, its upstream, or a member. */
  readonly seed: (image: string, content: Seed) => Promise<void>;
  /** Returns another image of the same registry that holds these blobs, from which the writer may mount. */
  seedMountSource?(blobs: readonly Buffer[]): Promise<{ readonly repository: string; readonly image: string }>;
  /** Closes and removes everything. */
  dispose(): Promise<void>;
}

const caller = callerWho('user', () => true);
const stranger = callerWho('stranger', () => false);
const name = 'team/app';
const unknownDigest = digestOf(Buffer.from('unknown content'));
const unknownSession = '00000000-0000-4000-8000-ffffffffffff' as SessionId;

const config = Buffer.from('{"architecture":"amd64"}');
const layer = someBytes('layer', 150_000);
const image = manifestOf(types.ociImage, {
  config: describeBytes(types.ociConfig, config),
  layers: [describeBytes(types.ociLayer, layer)],
});
const parsedImage = parseManifest(image.bytes, image.type);
const wholeImage: Seed = { blobs: [config, layer], manifests: [{ manifest: parsedImage, tags: ['v1', 'latest'] }] };

/** Tests the contract of `Repository`, which local, remote and virtual repositories must fulfill. */
export function repositoryContract(kind: string, create: () => Promise<RepositoryFixture>): void {
  describe(`${kind} fulfills the contract of Repository`, () => {
    let fixture: RepositoryFixture;
    beforeEach(async () => {
      fixture = await create();
    });
    afterEach(() => fixture.dispose());

    manifests(() => fixture);
    blobs(() => fixture);
    lists(() => fixture);
  });
}

/** Tests the contract of `RepositoryWriter`, for repositories that accept pushes. */
export function repositoryWriterContract(kind: string, create: () => Promise<RepositoryFixture>): void {
  describe(`${kind} fulfills the contract of RepositoryWriter`, () => {
    let fixture: RepositoryFixture;
    beforeEach(async () => {
      fixture = await create();
    });
    afterEach(() => fixture.dispose());

    uploads(() => fixture);
    mounts(() => fixture);
    pushes(() => fixture);
    deletions(() => fixture);
  });
}

type Current = () => RepositoryFixture;

async function blobOf({ repository }: RepositoryFixture, requested: Digest, range?: { start: number; end: number }) {
  const blob = await repository.getBlob(caller, name, requested);
  const content = await blob?.content(range);
  return content === undefined ? undefined : { size: blob?.size, bytes: await readBytes(content) };
}

function manifests(current: Current): void {
  it('getManifest() returns the pushed bytes by tag and by digest', async () => {
    const { repository, seed } = current();
    await seed(name, wholeImage);
    const info = { digest: parsedImage.digest, mediaType: image.type, size: image.bytes.length };
    for (const reference of [{ tag: parseTag('v1') }, { tag: parseTag('latest') }, { digest: parsedImage.digest }]) {
      expect(await repository.statManifest(caller, name, reference)).toMatchObject(info);
      const content = await repository.getManifest(caller, name, reference);
      expect(content).toMatchObject(info);
      expect(content?.bytes.equals(image.bytes)).toBe(true);
    }
  });

  it.each([types.ociImage, types.dockerImage, types.ociIndex, types.dockerIndex])(
    'getManifest() returns a manifest of type %s',
    async (type) => {
      const { repository, seed } = current();
      const shape = type.includes('index') || type.includes('list') ? { manifests: [] } : imageShape();
      const manifest = manifestOf(type, shape);
      await seed(name, { manifests: [{ manifest: parseManifest(manifest.bytes, type), tags: ['v1'] }] });
      const content = await repository.getManifest(caller, name, { tag: parseTag('v1') });
      expect(content).toMatchObject({ mediaType: type, digest: manifest.digest });
    },
  );

  it('getManifest() returns a manifest by its sha512 digest', async () => {
    const { repository, seed } = current();
    const manifest = parseManifest(image.bytes, image.type, image.sha512 as Digest);
    await seed(name, { manifests: [{ manifest }] });
    const content = await repository.getManifest(caller, name, { digest: manifest.digest });
    expect(content).toMatchObject({ digest: image.sha512, size: image.bytes.length });
    expect(await repository.getManifest(caller, name, { digest: parsedImage.digest })).toBeUndefined();
  });

  it('getManifest() returns undefined for an unknown tag, an unknown digest, and in another image', async () => {
    const { repository, seed } = current();
    await seed(name, wholeImage);
    const absent: [string, { tag: ReturnType<typeof parseTag> } | { digest: Digest }][] = [
      [name, { tag: parseTag('V1') }],
      [name, { digest: unknownDigest }],
      [name, { digest: digestOf(layer) }],
      ['team', { tag: parseTag('v1') }],
      ['team/app/more', { digest: parsedImage.digest }],
    ];
    for (const [where, reference] of absent) {
      expect(await repository.statManifest(caller, where, reference)).toBeUndefined();
      expect(await repository.getManifest(caller, where, reference)).toBeUndefined();
    }
  });
}

function blobs(current: Current): void {
  it('getBlob() returns a blob and its size', async () => {
    await current().seed(name, wholeImage);
    expect(await current().repository.statBlob(caller, name, digestOf(layer))).toMatchObject({ size: layer.length });
    const content = await blobOf(current(), digestOf(layer));
    expect(content?.size).toBe(layer.length);
    expect(content?.bytes.equals(layer)).toBe(true);
  });

  it.each([
    [0, 0],
    [0, 65_535],
    [65_536, 65_536],
    [1, 149_998],
    [149_999, 149_999],
    [0, 149_999],
  ])('getBlob() returns bytes %i to %i of a blob, and the size of the whole', async (start, end) => {
    await current().seed(name, wholeImage);
    const content = await blobOf(current(), digestOf(layer), { start, end });
    expect(content?.size).toBe(layer.length);
    expect(content?.bytes.equals(layer.subarray(start, end + 1))).toBe(true);
  });

  it('getBlob() returns an empty blob', async () => {
    const empty = Buffer.alloc(0);
    const holder = manifestOf(types.ociImage, { ...imageShape(), layers: [describeBytes(types.ociLayer, empty)] });
    const manifest = parseManifest(holder.bytes, holder.type);
    await current().seed(name, { blobs: [empty], manifests: [{ manifest }] });
    expect(await current().repository.statBlob(caller, name, digestOf(empty))).toMatchObject({ size: 0 });
    expect(await blobOf(current(), digestOf(empty))).toMatchObject({ size: 0 });
  });

  it('getBlob() returns a blob only in its own image', async () => {
    await current().seed(name, wholeImage);
    await current().seed('other', { manifests: [{ manifest: parsedImage, tags: ['v1'] }] });
    const { repository } = current();
    for (const [where, requested] of [
      ['other', digestOf(layer)],
      ['team', digestOf(layer)],
      [name, unknownDigest],
    ] as const) {
      expect(await repository.statBlob(caller, where, requested)).toBeUndefined();
      expect(await repository.getBlob(caller, where, requested)).toBeUndefined();
    }
  });
}

/** Reads all items in pages of `limit`. */
async function walk<T>(
  limit: number,
  list: (page: PageRequest) => Promise<{ readonly items: readonly T[]; readonly more: boolean } | undefined>,
  cursorOf: (item: T) => string,
): Promise<T[]> {
  const all: T[] = [];
  let page: PageRequest = { limit };
  for (;;) {
    const found = await list(page);
    if (found === undefined) throw new Error('the list does not exist');
    expect(found.items.length).toBeLessThanOrEqual(limit);
    all.push(...found.items);
    const last = found.items.at(-1);
    if (!found.more || last === undefined) return all;
    page = { limit, after: cursorOf(last) };
  }
}

function lists(current: Current): void {
  it('listTags() returns tags in byte order, in pages of any size, from any point', async () => {
    const tags = ['b', 'a', 'B', 'a.1', 'a-1', 'a_1', '10', '9', 'latest', 'Z'];
    await current().seed(name, { blobs: [config, layer], manifests: [{ manifest: parsedImage, tags }] });
    const { repository } = current();
    const sorted = [...tags].sort();
    for (const limit of [1, 3, 10, 100]) {
      const found = await walk(
        limit,
        (page) => repository.listTags(caller, name, page),
        (tag) => tag.name,
      );
      expect(found.map((tag) => tag.name)).toEqual(sorted);
    }
    const from = async (after: string) =>
      (await repository.listTags(caller, name, { limit: 2, after }))?.items.map((tag) => tag.name);
    expect(await from('a')).toEqual(['a-1', 'a.1']);
    // The name need not exist.
    expect(await from('a/')).toEqual(['a_1', 'b']);
    expect(await from('zzz')).toEqual([]);
  });

  it('listTags() returns undefined for an unknown image, and an empty list for one without tags', async () => {
    await current().seed(name, { blobs: [config, layer], manifests: [{ manifest: parsedImage }] });
    const { repository } = current();
    expect(await repository.listTags(caller, name, { limit: 10 })).toMatchObject({ items: [], more: false });
    expect(await repository.listTags(caller, 'team', { limit: 10 })).toBeUndefined();
  });

  it('listReferrers() returns the referrers of a subject in pages, even when the subject is missing', async () => {
    const subject = describeManifest(image);
    const signatures = ['one', 'two', 'three'].map((label) =>
      imageManifest(label, { subject, artifactType: `application/${label}`, annotations: { label } }),
    );
    const manifests = signatures.map(({ bytes, type }) => ({ manifest: parseManifest(bytes, type) }));
    await current().seed(name, { manifests });
    const { repository } = current();
    for (const limit of [1, 2, 10]) {
      const found = await walk(
        limit,
        (page) => repository.listReferrers(caller, name, parsedImage.digest, page),
        (referrer) => referrer.digest,
      );
      expect(found.map((referrer) => referrer.digest)).toEqual(signatures.map((signature) => signature.digest).sort());
      const one = found.find(({ digest }) => digest === signatures[0]?.digest);
      expect(one).toMatchObject({
        mediaType: types.ociImage,
        size: signatures[0]?.bytes.length,
        artifactType: 'application/one',
        annotations: { label: 'one' },
      });
    }
  });

  it('listReferrers() returns an empty list for a manifest without referrers and an unknown image', async () => {
    await current().seed(name, wholeImage);
    for (const where of [name, 'team']) {
      const found = await current().repository.listReferrers(caller, where, parsedImage.digest, { limit: 10 });
      expect(found).toMatchObject({ items: [], more: false });
    }
  });

  it('listImages() returns images in byte order, in pages', async () => {
    const images = ['team/app', 'team', 'team-b/app', 'a', 'team/app/more'];
    const { repository, seed } = current();
    for (const where of images) {
      await seed(where, wholeImage);
      // A cache lists only images that were requested.
      await repository.getManifest(caller, where, { tag: parseTag('v1') });
    }
    for (const limit of [1, 2, 10]) {
      const found = await walk(
        limit,
        (page) => repository.listImages(caller, page),
        (item) => item.image,
      );
      expect(found.map((item) => item.image)).toEqual([...images].sort());
    }
  });
}

function imageShape() {
  return { config: describeBytes(types.ociConfig, config), layers: [] };
}

function writerOf({ repository }: RepositoryFixture): RepositoryWriter {
  if (repository.writer === undefined) throw new Error('the repository has no writer');
  return repository.writer;
}

function source(bytes: Buffer, pieceBytes = 40_000): Readable {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += pieceBytes) pieces.push(bytes.subarray(at, at + pieceBytes));
  return Readable.from(pieces);
}

function uploads(current: Current): void {
  const start = () => writerOf(current()).startUpload(caller, name, 'sha256');
  const nothing = () => ({ source: source(Buffer.alloc(0)) });

  it('an upload accepts a blob in one request, as a stream, in chunks, or in the closing request', async () => {
    const writer = writerOf(current());
    const parts = [0, 50_000, 100_001, layer.length];
    await writer.putBlob(caller, 'whole', digestOf(layer), source(layer));
    const streamed = await writer.startUpload(caller, 'streamed', 'sha256');
    expect(streamed.size).toBe(0);
    expect(await writer.appendUpload(caller, 'streamed', streamed.id, { source: source(layer) })).toMatchObject({
      size: layer.length,
    });
    await writer.completeUpload(caller, 'streamed', streamed.id, digestOf(layer), nothing());
    const chunked = await writer.startUpload(caller, 'chunked', 'sha256');
    for (const [i, begin] of parts.slice(0, -1).entries()) {
      const end = (parts[i + 1] ?? 0) - 1;
      const chunk = { source: source(layer.subarray(begin, end + 1)), range: { start: begin, end } };
      if (i === 2) await writer.completeUpload(caller, 'chunked', chunked.id, digestOf(layer), chunk);
      else expect(await writer.appendUpload(caller, 'chunked', chunked.id, chunk)).toMatchObject({ size: end + 1 });
    }
    const closing = await writer.startUpload(caller, 'closing', 'sha256');
    await writer.completeUpload(caller, 'closing', closing.id, digestOf(layer), { source: source(layer) });
    for (const where of ['whole', 'streamed', 'chunked', 'closing']) {
      const content = await (await current().repository.getBlob(caller, where, digestOf(layer)))?.content();
      expect(content === undefined ? undefined : digestOf(await readBytes(content))).toBe(digestOf(layer));
    }
  });

  it('an upload accepts a sha512 digest, announced or not', async () => {
    const writer = writerOf(current());
    const requested = digest(layer, 'sha512') as Digest;
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const { id } = await writer.startUpload(caller, name, algorithm);
      await writer.completeUpload(caller, name, id, requested, { source: source(layer) });
      expect(await current().repository.statBlob(caller, name, requested)).toMatchObject({ size: layer.length });
    }
  });

  it('uploadStatus() returns the size of an upload until it is cancelled or complete', async () => {
    const writer = writerOf(current());
    const [cancelled, complete] = [await start(), await start()];
    await writer.appendUpload(caller, name, cancelled.id, { source: source(layer) });
    expect(await writer.uploadStatus(caller, name, cancelled.id)).toEqual({ id: cancelled.id, size: layer.length });
    await writer.cancelUpload(caller, name, cancelled.id);
    await writer.completeUpload(caller, name, complete.id, digestOf(layer), { source: source(layer) });
    for (const { id } of [cancelled, complete]) {
      await expect(writer.uploadStatus(caller, name, id)).rejects.toMatchObject({ code: 'BLOB_UPLOAD_UNKNOWN' });
    }
  });

  it('an upload is known only under the name of its image', async () => {
    const writer = writerOf(current());
    const { id } = await start();
    const expected = { code: 'BLOB_UPLOAD_UNKNOWN' };
    for (const [where, session] of [
      ['other', id],
      [name, unknownSession],
    ] as const) {
      await expect(writer.uploadStatus(caller, where, session)).rejects.toMatchObject(expected);
      await expect(writer.appendUpload(caller, where, session, nothing())).rejects.toMatchObject(expected);
      await expect(writer.completeUpload(caller, where, session, digestOf(layer), nothing())).rejects.toMatchObject(
        expected,
      );
      await expect(writer.cancelUpload(caller, where, session)).rejects.toMatchObject(expected);
    }
    expect(await writer.uploadStatus(caller, name, id)).toEqual({ id, size: 0 });
  });

  it('an upload rejects a chunk with the wrong start, and does not change', async () => {
    const writer = writerOf(current());
    const { id } = await start();
    await writer.appendUpload(caller, name, id, {
      source: source(layer.subarray(0, 100)),
      range: { start: 0, end: 99 },
    });
    for (const begin of [0, 99, 101]) {
      const chunk = { source: source(layer.subarray(0, 50)), range: { start: begin, end: begin + 49 } };
      await expect(writer.appendUpload(caller, name, id, chunk)).rejects.toMatchObject({ code: 'RANGE_INVALID' });
      expect(await writer.uploadStatus(caller, name, id)).toMatchObject({ size: 100 });
    }
  });

  it.each([49, 51])(
    'an upload rejects a chunk of 50 bytes that has %i, and returns to its earlier size',
    async (length) => {
      const writer = writerOf(current());
      const { id } = await start();
      await writer.appendUpload(caller, name, id, { source: source(layer.subarray(0, 100)) });
      const chunk = { source: source(layer.subarray(100, 100 + length)), range: { start: 100, end: 149 } };
      await expect(writer.appendUpload(caller, name, id, chunk)).rejects.toMatchObject({ code: 'SIZE_INVALID' });
      await writer.completeUpload(caller, name, id, digestOf(layer), { source: source(layer.subarray(100)) });
      expect((await blobOf(current(), digestOf(layer)))?.bytes.equals(layer)).toBe(true);
    },
  );

  it('an upload keeps the bytes that arrived before a stream failed', async () => {
    const writer = writerOf(current());
    const { id } = await start();
    await expect(
      writer.appendUpload(caller, name, id, { source: breaking(layer.subarray(0, 70_000)) }),
    ).rejects.toThrow();
    const { size } = await writer.uploadStatus(caller, name, id);
    expect(size).toBe(70_000);
    await writer.appendUpload(caller, name, id, { source: source(layer.subarray(size)) });
    await writer.completeUpload(caller, name, id, digestOf(layer), nothing());
    expect((await blobOf(current(), digestOf(layer)))?.bytes.equals(layer)).toBe(true);
  });

  it('an upload returns to its earlier size when the closing request fails, since clients resend its body', async () => {
    const writer = writerOf(current());
    const { id } = await start();
    await writer.appendUpload(caller, name, id, { source: source(layer.subarray(0, 1000)) });
    const broken = { source: breaking(layer.subarray(1000, 70_000)) };
    await expect(writer.completeUpload(caller, name, id, digestOf(layer), broken)).rejects.toThrow();
    expect(await writer.uploadStatus(caller, name, id)).toMatchObject({ size: 1000 });
    await writer.completeUpload(caller, name, id, digestOf(layer), { source: source(layer.subarray(1000)) });
    expect((await blobOf(current(), digestOf(layer)))?.bytes.equals(layer)).toBe(true);
  });

  it('an upload with the wrong digest is rejected, stores nothing and ends', async () => {
    const writer = writerOf(current());
    const { id } = await start();
    const complete = writer.completeUpload(caller, name, id, unknownDigest, { source: source(layer) });
    await expect(complete).rejects.toMatchObject({ code: 'DIGEST_INVALID' });
    await expect(writer.uploadStatus(caller, name, id)).rejects.toMatchObject({ code: 'BLOB_UPLOAD_UNKNOWN' });
    await expect(writer.putBlob(caller, name, unknownDigest, source(layer))).rejects.toMatchObject({
      code: 'DIGEST_INVALID',
    });
    for (const absent of [unknownDigest, digestOf(layer)]) {
      expect(await current().repository.statBlob(caller, name, absent)).toBeUndefined();
    }
  });

  it('putBlob() accepts the same blob several times, even concurrently', async () => {
    const writer = writerOf(current());
    const push = () => writer.putBlob(caller, name, digestOf(layer), source(layer));
    await push();
    await Promise.all([push(), push(), push()]);
    expect((await blobOf(current(), digestOf(layer)))?.bytes.equals(layer)).toBe(true);
  });

  it('an upload processes concurrent requests one after the other', async () => {
    const writer = writerOf(current());
    const { id } = await start();
    const parts = [0, 1, 2, 3].map((i) => ({ start: i * 1000, end: i * 1000 + 999 }));
    const appends = parts.map((range) =>
      writer.appendUpload(caller, name, id, { source: source(layer.subarray(range.start, range.end + 1)), range }),
    );
    expect((await Promise.all(appends)).map(({ size }) => size)).toEqual([1000, 2000, 3000, 4000]);
    const rest = { source: source(layer.subarray(4000)) };
    await writer.completeUpload(caller, name, id, digestOf(layer), rest);
    expect((await blobOf(current(), digestOf(layer)))?.bytes.equals(layer)).toBe(true);
  });
}

/** Returns a source that yields its bytes and then fails. */
function breaking(bytes: Buffer): Readable {
  return Readable.from(
    (async function* () {
      yield bytes;
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      throw new Error('the client left');
    })(),
  );
}

function mounts(current: Current): void {
  it('mountBlob() mounts a blob that the caller may pull from another image, with or without its name', async () => {
    const writer = writerOf(current());
    const from = await current().seedMountSource?.([layer, config]);
    expect(await writer.mountBlob(caller, name, digestOf(layer), from)).toBe(true);
    expect(await writer.mountBlob(caller, name, digestOf(config))).toBe(true);
    expect((await blobOf(current(), digestOf(layer)))?.bytes.equals(layer)).toBe(true);
    expect((await blobOf(current(), digestOf(config)))?.bytes.equals(config)).toBe(true);
  });

  it('mountBlob() returns false for a blob that the source lacks or that the caller may not pull', async () => {
    const writer = writerOf(current());
    const from = await current().seedMountSource?.([layer]);
    if (from === undefined) throw new Error('the fixture has no mount source');
    expect(await writer.mountBlob(caller, name, unknownDigest, from)).toBe(false);
    expect(await writer.mountBlob(caller, name, unknownDigest)).toBe(false);
    expect(await writer.mountBlob(caller, name, digestOf(layer), { ...from, image: 'unknown/image' })).toBe(false);
    expect(await writer.mountBlob(caller, name, digestOf(layer), { ...from, repository: 'unknown' })).toBe(false);
    expect(await writer.mountBlob(stranger, name, digestOf(layer), from)).toBe(false);
    expect(await writer.mountBlob(stranger, name, digestOf(layer))).toBe(false);
    expect(await current().repository.statBlob(caller, name, digestOf(layer))).toBeUndefined();
  });
}

function pushes(current: Current): void {
  const push = async (...tags: string[]): Promise<RepositoryWriter> => {
    const writer = writerOf(current());
    await writer.putBlob(caller, name, digestOf(config), source(config));
    await writer.putBlob(caller, name, digestOf(layer), source(layer));
    await writer.putManifest(caller, name, parsedImage, tags.map(parseTag));
    return writer;
  };

  it('putManifest() stores an image that can be pulled under all its tags', async () => {
    await push('v1', 'v1.0', 'latest');
    const { repository } = current();
    for (const tag of ['v1', 'v1.0', 'latest']) {
      const content = await repository.getManifest(caller, name, { tag: parseTag(tag) });
      expect(content?.bytes.equals(image.bytes)).toBe(true);
    }
    expect((await repository.listTags(caller, name, { limit: 10 }))?.items.map((tag) => tag.name)).toEqual([
      'latest',
      'v1',
      'v1.0',
    ]);
    expect((await repository.listImages(caller, { limit: 10 })).items).toMatchObject([
      { image: name, manifests: 1, tags: 3, bytes: image.bytes.length + config.length + layer.length },
    ]);
  });

  it('putManifest() moves a tag, and keeps the earlier manifest under its digest', async () => {
    const writer = await push('latest');
    const next = imageManifest('next');
    await writer.putManifest(caller, name, parseManifest(next.bytes, next.type), [parseTag('latest')]);
    const { repository } = current();
    expect(await repository.statManifest(caller, name, { tag: parseTag('latest') })).toMatchObject({
      digest: next.digest,
    });
    expect(await repository.statManifest(caller, name, { digest: parsedImage.digest })).toBeDefined();
  });

  it('putManifest() accepts the same manifest again, and adds tags', async () => {
    const writer = await push('v1');
    await writer.putManifest(caller, name, parsedImage, [parseTag('v2')]);
    const tags = await current().repository.listTags(caller, name, { limit: 10 });
    expect(tags?.items.map((tag) => tag.name)).toEqual(['v1', 'v2']);
  });

  it('putManifest() does not make blobs visible that the image does not hold', async () => {
    const from = await current().seedMountSource?.([layer]);
    expect(from).toBeDefined();
    const writer = writerOf(current());
    await writer.putManifest(caller, name, parsedImage, []);
    expect(await current().repository.statBlob(caller, name, digestOf(layer))).toBeUndefined();
    expect(await current().repository.getBlob(caller, name, digestOf(layer))).toBeUndefined();
  });
}

function deletions(current: Current): void {
  it('deleteTag() deletes a tag, and keeps its manifest', async () => {
    const { repository, seed } = current();
    await seed(name, wholeImage);
    const writer = writerOf(current());
    expect(await writer.deleteTag(caller, name, parseTag('v1'))).toBe(true);
    expect(await writer.deleteTag(caller, name, parseTag('v1'))).toBe(false);
    expect(await writer.deleteTag(caller, 'other', parseTag('latest'))).toBe(false);
    expect(await repository.statManifest(caller, name, { tag: parseTag('v1') })).toBeUndefined();
    expect(await repository.statManifest(caller, name, { tag: parseTag('latest') })).toBeDefined();
    expect(await repository.statManifest(caller, name, { digest: parsedImage.digest })).toBeDefined();
  });

  it('deleteManifest() deletes a manifest with its tags and its entries as a referrer, and keeps its blobs', async () => {
    const subject = { subject: describeManifest(image) };
    const signature = imageManifest('signature', subject);
    const { repository, seed } = current();
    await seed(name, wholeImage);
    await seed(name, { manifests: [{ manifest: parseManifest(signature.bytes, signature.type), tags: ['sig'] }] });
    const writer = writerOf(current());
    for (const gone of [parsedImage.digest, signature.digest as Digest]) {
      expect(await writer.deleteManifest(caller, 'other', gone)).toBe(false);
      expect(await writer.deleteManifest(caller, name, gone)).toBe(true);
      expect(await writer.deleteManifest(caller, name, gone)).toBe(false);
      expect(await repository.getManifest(caller, name, { digest: gone })).toBeUndefined();
    }
    for (const tag of ['v1', 'latest', 'sig']) {
      expect(await repository.statManifest(caller, name, { tag: parseTag(tag) })).toBeUndefined();
    }
    expect((await repository.listReferrers(caller, name, parsedImage.digest, { limit: 10 })).items).toEqual([]);
    expect((await repository.listImages(caller, { limit: 10 })).items).toEqual([]);
    expect(await repository.statBlob(caller, name, digestOf(layer))).toBeDefined();
  });

  it('deleteBlob() deletes a blob from one image, and other images keep it', async () => {
    const { repository, seed } = current();
    await seed(name, wholeImage);
    await seed('other', wholeImage);
    const writer = writerOf(current());
    expect(await writer.deleteBlob(caller, name, digestOf(layer))).toBe(true);
    expect(await writer.deleteBlob(caller, name, digestOf(layer))).toBe(false);
    expect(await repository.statBlob(caller, name, digestOf(layer))).toBeUndefined();
    expect(await repository.getBlob(caller, name, digestOf(layer))).toBeUndefined();
    expect(await repository.statBlob(caller, 'other', digestOf(layer))).toBeDefined();
  });

  it('deleted content can be pushed again', async () => {
    const { repository, seed } = current();
    await seed(name, wholeImage);
    const writer = writerOf(current());
    await writer.deleteManifest(caller, name, parsedImage.digest);
    await writer.deleteBlob(caller, name, digestOf(layer));
    await seed(name, wholeImage);
    expect(await repository.getManifest(caller, name, { tag: parseTag('v1') })).toBeDefined();
    expect((await blobOf(current(), digestOf(layer)))?.bytes.equals(layer)).toBe(true);
  });
}
