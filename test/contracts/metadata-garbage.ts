import { expect, it } from 'vitest';
import { ConflictError } from '../../src/util/conflict-error.js';
import type { Candidate, Change, MetadataStore } from '../../src/ports/metadata/metadata.js';
import {
  at,
  collect,
  deleteManifest,
  digest,
  link,
  putManifest,
  repository,
  session,
  tag,
  unlink,
} from './metadata-samples.js';

const whole = { limit: 100 };

/** Writes without durability. */
export type Write = (...changes: Change[]) => Promise<void>;
/** All candidates as text, sorted. */
export type Candidates = () => Promise<string[]>;

/** Tests candidates and condemned bytes. */
export function garbage(current: () => MetadataStore, write: Write, candidates: Candidates): void {
  const link5: Candidate = { kind: 'link', at, digest: digest('l'), since: 5 };
  const bytes5: Candidate = { kind: 'bytes', digest: digest('l'), since: 5 };

  it('candidates move to later times, never to earlier ones, and can be deleted', async () => {
    await write({ type: 'candidate.put', candidate: link5 }, { type: 'candidate.put', candidate: bytes5 });
    await write(
      { type: 'candidate.put', candidate: { ...link5, since: 8 } },
      { type: 'candidate.put', candidate: { ...bytes5, since: 2 } },
    );
    expect(await candidates()).toEqual(['bytes l 5', 'link r/team/app l 8']);
    await write(
      { type: 'candidate.delete', candidate: { ...link5, since: 8 } },
      { type: 'candidate.delete', candidate: bytes5 },
    );
    expect(await candidates()).toEqual([]);
  });

  it('deleting a candidate with an outdated time keeps it', async () => {
    await write(link('l', 1), unlink('l', 5));
    await write(link('l', 6), unlink('l', 7));
    await write({ type: 'candidate.delete', candidate: bytes5 });
    expect(await candidates()).toEqual(['bytes l 7']);
  });

  it('isCandidate is true for bytes with a candidate, and false for a candidate of their link', async () => {
    await write({ type: 'candidate.put', candidate: link5 });
    expect(await current().isCandidate(digest('l'))).toBe(false);
    await write({ type: 'candidate.put', candidate: bytes5 });
    expect(await current().isCandidate(digest('l'))).toBe(true);
    await write({ type: 'candidate.delete', candidate: bytes5 });
    expect(await current().isCandidate(digest('l'))).toBe(false);
  });

  it('a link that was renewed while a manifest named it outlives a drop that was decided before', async () => {
    await write(link('l', 1), ...putManifest('m', { references: [digest('l')] }));
    const drop = (linkedAt: number): Promise<boolean> => {
      const require = [
        { type: 'link', at, digest: digest('l'), is: { linkedAt } },
        { type: 'unnamed', at, digest: digest('l') },
      ] as const;
      return current().tryApply([unlink('l', 8)], { durable: false, require });
    };
    await write(link('l', 3));
    expect(await candidates()).toEqual([]);
    await write(deleteManifest('m', 5));
    expect(await candidates()).toEqual(['bytes m 5', 'link r/team/app l 5']);
    expect(await drop(1)).toBe(false);
    expect(await current().link(at, digest('l'))).toMatchObject({ linkedAt: 3 });
    expect(await drop(3)).toBe(true);
    expect(await current().link(at, digest('l'))).toBeUndefined();
  });

  it('condemned bytes refuse links and manifests until they are forgotten', async () => {
    await write({ type: 'bytes.condemn', digest: digest('l') });
    expect(await current().condemned()).toEqual([digest('l')]);
    await expect(write(link('l', 1))).rejects.toThrow(ConflictError);
    await expect(write(...putManifest('l'))).rejects.toThrow(ConflictError);
    await write(...putManifest('m', { references: [digest('l')] }));
    await write({ type: 'bytes.forget', digest: digest('l') }, link('l', 1));
    expect(await current().condemned()).toEqual([]);
    await expect(write({ type: 'bytes.condemn', digest: digest('k') }, link('k', 1))).rejects.toThrow(ConflictError);
    expect(await current().condemned()).toEqual([]);
  });
}

/** Tests the content of deleted repositories. */
export function deletedRepositories(current: () => MetadataStore, write: Write, candidates: Candidates): void {
  const remove: Change = { type: 'repository.delete', name: 'r', when: 20 };
  const fill = () =>
    write(link('l', 1), link('k', 1), ...putManifest('m', { references: [digest('k')] }, 't'), {
      type: 'session.put',
      session: session('1', at),
    });

  it('are absent immediately, with all their content', async () => {
    await fill();
    await write(remove);
    const store = current();
    expect(await store.repository('r')).toBeUndefined();
    expect(await store.link(at, digest('l'))).toBeUndefined();
    expect(await store.manifest(at, digest('m'))).toBeUndefined();
    expect([await store.session(session('1', at).id), await collect(store.sessions())]).toEqual([undefined, []]);
    expect((await store.imagesLinking(digest('l'), whole)).items).toEqual([]);
    expect((await candidates()).filter((text) => text.startsWith('link'))).toEqual([]);
    await expect(write(link('l', 1))).rejects.toThrow(ConflictError);
  });

  it('are empty when created again, during and after the purge', async () => {
    await fill();
    await write(remove, repository('r', 21));
    const check = async () => {
      expect(await current().repository('r')).toMatchObject({ createdAt: 21 });
      expect(await current().image(at)).toBeUndefined();
      expect(await current().session(session('1', at).id)).toBeUndefined();
      expect((await current().tags(at, whole)).items).toEqual([]);
    };
    await check();
    await write(link('l', 22));
    while (await current().purge(30));
    expect((await current().imagesLinking(digest('l'), whole)).items).toEqual([at]);
    await write(unlink('l', 40));
    await check();
  });

  it('are purged in steps, and leave candidates for their bytes', async () => {
    await fill();
    await write(...Array.from({ length: 1200 }, (_, i) => tag(`t${i}`, 'm')));
    await write(remove);
    let parts = 1;
    while (await current().purge(30)) parts += 1;
    expect(parts).toBeGreaterThan(1);
    expect(await candidates()).toEqual(['bytes k 30', 'bytes l 30', 'bytes m 30']);
    for (const name of ['k', 'l', 'm']) expect(await current().isReferenced(digest(name))).toBe(false);
    expect(await current().purge(31)).toBe(false);
  });
}
