import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DeletionReport, DeletionRequest, ImageEditor, MovedTag } from '../../../../src/ports/editing.js';
import type { Digest } from '../../../../src/protocol/digest.js';
import { parseTag, type Tag } from '../../../../src/protocol/names.js';
import {
  anyone,
  Domain,
  imageOf,
  indexOf,
  isApplyOf,
  keyOf,
  once,
  pushImage,
  type Hook,
  type Image,
} from '../../../support/storage/domain.js';

const at = keyOf('r', 'app');
const tags = (...names: readonly string[]): readonly Tag[] => names.map(parseTag);
const byTags = (...names: readonly string[]): DeletionRequest => ({ tags: tags(...names), digests: [], all: false });

describe('bulk deletions and tag moves', () => {
  let domain: Domain;
  let one: Image;
  let other: Image;
  beforeEach(async () => {
    domain = await Domain.open();
    await domain.addRepository('r');
    one = imageOf('one', [Buffer.from('layer'), Buffer.from('of one')]);
    other = imageOf('other', [Buffer.from('layer')]);
    await pushImage(domain.writer('r'), 'app', one, 'v1', 'v2');
    await pushImage(domain.writer('r'), 'app', other, 'w1');
  });
  afterEach(() => domain.dispose());

  const editorWith = (hook: Hook): ImageEditor => domain.actor(hook).writer('r').editor;
  const remove = (request: DeletionRequest, hook?: Hook): Promise<DeletionReport> =>
    (hook === undefined ? domain.writer('r').editor : editorWith(hook)).delete(anyone, 'app', request, {
      dryRun: false,
    });
  const tagged = async (name: string): Promise<Digest | undefined> =>
    (await domain.metadata.tag(at, parseTag(name)))?.digest;
  const has = async (image: Image): Promise<boolean> =>
    (await domain.metadata.manifest(at, image.manifest.digest)) !== undefined;

  it('a tag that another push moves in the meantime stays, and so does the manifest that it named', async () => {
    const push = once(isApplyOf('manifest.delete'), () =>
      domain.writer('r').editor.moveTag(anyone, 'app', {
        tag: parseTag('v1'),
        reference: { digest: other.manifest.digest },
      }),
    );
    const report = await remove(byTags('v1', 'v2'), push);
    expect(report.refused).toEqual([{ tag: 'v1', digest: other.manifest.digest, reason: 'moved' }]);
    expect(report.stays).toEqual([{ digest: one.manifest.digest, because: 'changed' }]);
    expect(report.tags.map(({ tag }) => tag)).toEqual(['v2']);
    expect(report).toMatchObject({ manifests: [], freesBytes: 0 });
    expect([await tagged('v1'), await tagged('v2'), await has(one)]).toEqual([other.manifest.digest, undefined, true]);
  });

  it('a manifest that gets another tag in the meantime stays', async () => {
    const move = { tag: parseTag('new'), reference: { tag: parseTag('v1') } };
    const hook = once(isApplyOf('manifest.delete'), () => domain.writer('r').editor.moveTag(anyone, 'app', move));
    const report = await remove(byTags('v1', 'v2'), hook);
    expect(report.stays).toEqual([{ digest: one.manifest.digest, because: 'tag', by: 'new' }]);
    expect(report.tags.map(({ tag }) => tag)).toEqual(['v1', 'v2']);
    expect([await tagged('new'), await has(one)]).toEqual([one.manifest.digest, true]);
  });

  it('a manifest that an index begins to name in the meantime stays', async () => {
    const index = indexOf([one.manifest]);
    const hook = once(isApplyOf('manifest.delete'), () => domain.writer('r').putManifest(anyone, 'app', index, []));
    const report = await remove(byTags('v1', 'v2'), hook);
    expect(report.stays).toEqual([{ digest: one.manifest.digest, because: 'index', by: index.digest }]);
    expect(await has(one)).toBe(true);
  });

  it('reports a tag that is deleted in the meantime as unknown', async () => {
    const hook = once(isApplyOf('manifest.delete'), () => domain.writer('r').deleteTag(anyone, 'app', parseTag('v2')));
    const report = await remove(byTags('v1', 'v2'), hook);
    expect(report.refused).toEqual([{ tag: 'v2', reason: 'unknown' }]);
    expect(report.stays).toEqual([{ digest: one.manifest.digest, because: 'changed' }]);
  });

  it('gives up on a manifest that changes with every attempt', async () => {
    const { digest } = one.manifest;
    const extra = { tag: parseTag('extra'), reference: { digest } };
    const hook: Hook = async (method, args) => {
      const { editor } = domain.writer('r');
      if (isApplyOf('manifest.delete')(method, args)) await editor.moveTag(anyone, 'app', extra);
      // What each attempt reads is as planned.
      else if (method === 'manifest') await domain.writer('r').deleteTag(anyone, 'app', extra.tag);
    };
    const report = await remove(byTags('v1', 'v2'), hook);
    expect(report).toMatchObject({ refused: [{ digest, reason: 'busy' }], tags: [], manifests: [], freesBytes: 0 });
    expect([await tagged('v1'), await tagged('v2'), await has(one)]).toEqual([digest, digest, true]);
  });

  it('deletes an image of many manifests in several writes, attributes all of it, and frees the bytes', async () => {
    for (let i = 0; i < 250; i++) await pushImage(domain.writer('r'), 'app', imageOf(`${i}`, []), `t${i}`);
    const events: string[] = [];
    domain.runtime.events.on('manifest.deleted', ({ digest, by }) => events.push(`${by.principal} ${digest}`));
    domain.runtime.events.on('tag.deleted', ({ tag, by }) => events.push(`${by.principal} ${tag}`));
    const report = await remove({ tags: [], digests: [], all: true });
    expect([report.tags.length, report.manifests.length, report.stays, report.refused]).toEqual([253, 252, [], []]);
    expect(await domain.metadata.image(at)).toMatchObject({ manifests: 0, tags: 0 });
    expect(events).toHaveLength(505);
    expect(new Set(events.map((event) => event.split(' ')[0]))).toEqual(new Set(['anyone']));
    const journal = await domain.metadata.journal.read({ after: 0, limit: 5000 });
    expect(journal.filter(({ type }) => type === 'manifest.deleted')).toHaveLength(252);
    expect(journal.filter(({ type }) => type === 'tag.deleted')).toHaveLength(253);
    const before = [...domain.disk.blobs.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
    expect(report.freesBytes).toBe(before);
    expect(report.freesAt).toBe(domain.runtime.now() + domain.graceMs);
    await domain.collectAll();
    expect(domain.disk.blobs.size).toBe(0);
  });

  it('six pushes of one tag leave five manifests, which go with the image, and a collection frees all of it', async () => {
    const latest = Array.from({ length: 6 }, (_, i) => imageOf(`latest ${i}`, [Buffer.from(`layer ${i}`)]));
    for (const image of latest) await pushImage(domain.writer('r'), 'many', image, 'latest');
    const digests = latest.slice(0, 5).map(({ manifest }) => manifest.digest);
    const { editor } = domain.writer('r');
    const report = await editor.delete(anyone, 'many', { tags: [], digests, all: false }, { dryRun: false });
    expect(report.manifests).toHaveLength(5);
    await domain.collectAll();
    expect(digests.some((digest) => domain.has(digest))).toBe(false);
    expect(await domain.metadata.image(keyOf('r', 'many'))).toMatchObject({ manifests: 1, tags: 1 });
  });

  describe('a tag move', () => {
    const move = (expected: Digest | null | undefined, reference = 'w1', tag = 'v1'): Promise<MovedTag> =>
      domain.writer('r').editor.moveTag(anyone, 'app', {
        tag: parseTag(tag),
        reference: reference.startsWith('sha256:') ? { digest: reference as Digest } : { tag: parseTag(reference) },
        expected,
      });

    it('points a tag to another manifest of the image and records the move', async () => {
      const moved: object[] = [];
      domain.runtime.events.on('tag.moved', (event) => moved.push(event));
      expect(await move(one.manifest.digest)).toEqual({ digest: other.manifest.digest, was: one.manifest.digest });
      expect(await tagged('v1')).toBe(other.manifest.digest);
      expect(moved).toMatchObject([{ at, tag: 'v1', digest: other.manifest.digest, was: one.manifest.digest }]);
      const [last] = await domain.metadata.journal.moves(at, parseTag('v1'), { limit: 1 });
      expect(last).toMatchObject({ move: 2, digest: other.manifest.digest, was: one.manifest.digest });
      // The rollback is the same call.
      expect(await move(other.manifest.digest, one.manifest.digest)).toMatchObject({ digest: one.manifest.digest });
    });

    it('creates a tag, and changes nothing when the tag names the manifest already', async () => {
      expect(await move(null, 'w1', 'new')).toEqual({ digest: other.manifest.digest });
      expect(await move(undefined, 'w1', 'new')).toEqual({ digest: other.manifest.digest, was: other.manifest.digest });
      expect(await domain.metadata.journal.moves(at, parseTag('new'), { limit: 9 })).toHaveLength(1);
    });

    it.each([
      ['another digest', 'v1', (): Digest | null => other.manifest.digest, (): Digest | null => one.manifest.digest],
      ['no tag', 'v1', (): Digest | null => null, (): Digest | null => one.manifest.digest],
      ['a tag that does not exist', 'absent', (): Digest | null => one.manifest.digest, (): Digest | null => null],
    ] as const)('is refused when the request expects %s', async (_name, tag, expected, present) => {
      const moving = move(expected(), 'w1', tag);
      await expect(moving).rejects.toMatchObject({ code: 'CONFLICT', status: 409, detail: { tag, digest: present() } });
    });

    it.each(['absent', `sha256:${'0'.repeat(64)}`])('is refused for the unknown reference %s', async (reference) => {
      await expect(move(undefined, reference)).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN', status: 404 });
    });

    it('succeeds for exactly one of eight callers that expect the same', async () => {
      const moves = Array.from({ length: 8 }, () => move(one.manifest.digest));
      const results = await Promise.allSettled(moves);
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    });
  });
});
